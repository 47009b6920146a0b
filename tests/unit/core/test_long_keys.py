"""Texts as long as are read, of the kinds that pattern matching is slow with."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import sys
import textwrap

import pytest

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.core.keys.parsing import MAX_KEY_CHARS, contains_private_key, parse_key_text
from airflow_okta_workflows.core.keys.signing import load_signing_key

JWK = generate_jwk("rsa2048")
PEM = pem_of(JWK)
N = MAX_KEY_CHARS - 4000
LONG: dict[str, str] = {
    "backslashes": "\\" * N,
    "backslashes behind a key": PEM + "\\" * N,
    "backslashes in a key": PEM.replace("\n", "\\" * 1500 + "n", 30),
    "backslashes in a JWK": json.dumps(JWK)[:-1] + "\\" * N,
    "escaped newlines": "{" + "\\n" * (N // 2),
    "a BEGIN after the other": "-----BEGIN A-----" * (N // 17),
    "a BEGIN of each kind": "".join(f"-----BEGIN A{number}-----" for number in range(N // 23)),
    "ENDs of another": "-----BEGIN A-----" + "-----END B-----" * (N // 15),
    "dashes": "-" * N,
    "spaces in a label": "-----BEGIN " + " " * N,
    "half a marker behind a key": PEM + "-----A" * (N // 6),
    "spaces in a header": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type:" + " " * N,
    "quotes behind a key": PEM + "'\\" * (N // 2),
    "a cipher's name": PEM + "A-" * (N // 2),
    "one character on a line": "-----BEGIN PRIVATE KEY-----\n" + "A\n" * (N // 2) + "-----END PRIVATE KEY-----",
    "a public key of OpenSSH": "ecdsa-sha2-" + "x" * N,
    "URL encoding of URL encoding": "%25" * (N // 3),
    "percent signs": "%" * N,
    "ampersands": "&#" * (N // 2),
    "an escape that is not whole": "\\u00" * (N // 4),
    "single quotes": "{" + "'\\" * (N // 2),
    "double quotes in single quotes": "{'" + '"' * N,
    "a name as long as all": "{" + "x" * N,
    "a constant after the other": "{" + "None " * (N // 5),
    "commas": "{" + ", " * (N // 2),
    "lists in lists": "[" * N,
    "objects in objects": '{"a":' * (N // 5),
    "objects in objects, long names": '{"'
    + "a" * (N // 2)
    + '":'
    + '{"b":' * 900
    + '["x",' * 5
    + '"x"'
    + "]" * 5
    + "}" * 901,
    "many small objects": "{}" * (N // 2),
    "many small strings": "[" + '"-----BEGIN A",' * (N // 16) + '""]',
    "many strings of base64": "[" + ",".join(['"MIIB"'] * (N // 7)) + "]",
    "strings in strings": json.dumps(json.dumps(json.dumps(json.dumps(["%41" * (N // 8)])))),
    "dashes of word processors": "\u2014" * N,
    "spaces in base64": "MII " * (N // 4),
    "lost backslashes": "n" * N,
    "a path": "/" + "a." * (N // 2),
    "a path, short": "a." * 250,
    "a header in each line": "-----BEGIN PRIVATE KEY-----\n" + "A:\n" * (N // 3) + "-----END PRIVATE KEY-----",
    "zeros": "\0" * N,
}


def whole_der(size: int) -> str:
    return base64.b64encode(b"\x30\x83" + size.to_bytes(3) + random.Random(7).randbytes(size)).decode()


LONG |= {
    f"a PEM in lines of {width}": "\n".join(
        ["-----BEGIN PRIVATE KEY-----", *textwrap.wrap(whole_der(size), width), "-----END PRIVATE KEY-----"]
    )
    for width, size in ((1, 18_000), (9, 33_000), (48, 35_000), (64, 35_000), (10**6, 35_000))
}


def nested_der(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = b"\x30\x83" + len(data).to_bytes(3) + data
    return data


LONG |= {
    f"{name} of DER in base64": base64.b64encode(data).decode()
    for name, data in {
        "sequences in sequences": nested_der(7_000),
        "many elements": b"\x30\x83" + (35_000).to_bytes(3) + b"\x05\x00" * 17_500,
        "an endless length": b"\x30\x80" * 17_500,
        "numbers": b"\x30\x83" + (34_998).to_bytes(3) + b"\x02\x01\x00" * 11_666,
    }.items()
}


MANY = {
    "lists": "[],",
    "lists behind a key": json.dumps(JWK) + "\n" + "[]\n",
    "strings that are URL-encoded": '"%41",',
    "strings that begin as JSON": '"{",',
    "strings of base64": '"MIIB",',
    "strings as long as a key": f'"{"MIIB" * 20}",',
    "members": '"setting": "value", ',
    "short PEM lines": "--BEGIN--END",
    "BEGIN lines": "-----BEGIN X-----",
    "END lines": "-----END X-----",
    "PEM blocks": "-----BEGIN X-----MAA=-----END X-----",
    "braces": "{",
    "braces in quotes": "{'\\\"",
    "lists in lists": "[",
    "lists in lists, with strings": "['x',",
    "values in base64": "MIIBAAAAAAAAAAAAAAAAAAAAAAAA=",
    "values of JSON in base64": base64.b64encode(b'{"a": "a long string that is no key"}').decode() + " ",
    "strings that are JSON": json.dumps(json.dumps({"a": [json.dumps({"b": "MIIB" * 20})]})) + ",",
}
MOST_CALLS = 250_000
"""Function calls in about 30 ms; without limits to the search, there are more than a million."""


def calls_for(text: str) -> int:
    """Return how many functions, in Python and in C, are called to search a string."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with contextlib.suppress(CoreError):
            parse_key_text(text)
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("around", ["{}", "[{}", "[{}]", '{{"a": [{}]}}'], ids=lambda around: around.format("…"))
def test_no_text_takes_more_than_a_limited_number_of_steps(name: str, around: str) -> None:
    part = MANY[name]
    text = around.format((part * (MAX_KEY_CHARS // len(part)))[: MAX_KEY_CHARS - 10].rstrip(","))

    assert len(text) <= MAX_KEY_CHARS
    assert calls_for(text) < MOST_CALLS


@pytest.mark.parametrize("name", LONG)
def test_no_long_text_takes_more_than_a_limited_number_of_steps(name: str) -> None:
    assert calls_for(LONG[name]) < MOST_CALLS


def test_a_key_among_too_many_members_is_refused_by_a_clear_error() -> None:
    few = json.dumps({**{f"setting_{at}": "value" for at in range(500)}, "key": JWK})
    many = json.dumps({**{f"setting_{at}": "value" for at in range(1500)}, "key": JWK})

    assert parse_key_text(few).kid == JWK["kid"]
    with pytest.raises(CoreError, match="too many parts to search") as caught:
        parse_key_text(many)
    assert "Give the key alone" in caught.value.hint
    assert not contains_private_key(many), "a search beside the key's own field does not fail"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", LONG)
def test_no_text_takes_time_with_the_square_of_its_length(name: str) -> None:
    # With the square it would be minutes for each of them.
    assert len(LONG[name]) <= MAX_KEY_CHARS
    with contextlib.suppress(CoreError):
        for _ in range(10):
            key = parse_key_text(LONG[name])
            key.secret_forms()
        load_signing_key(key)
