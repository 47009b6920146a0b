from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.core.secret import (
    is_plain,
    may_echo,
    may_hold_key,
    public_part,
    redact,
    redact_value,
    shown,
    without_keys,
)

TOKEN = 'eyJhbGciOi/JSUzI1+NiJ9.eyJz"dWIiO_iIwb2EifQ.c2lnbmF0d-XJl=='


def each_as(template: str) -> Callable[[str], str]:
    return lambda text: "".join(template.format(ord(char)) for char in text)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON as PHP writes it": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON, each character": each_as("\\u{:04x}"),
    "JSON, each character, in capitals": each_as("\\u{:04X}"),
    "JSON, one character": lambda text: "\\u0065" + text[1:],
    "a Python string": each_as("\\x{:02x}"),
    "URL": lambda text: quote(text, safe=""),
    "URL, each character": each_as("%{:02x}"),
    "URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": lambda text: text.replace('"', "&quot;"),
    "HTML, decimal": each_as("&#{};"),
    "HTML, hexadecimal": each_as("&#x{:X};"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "URL in JSON in JSON": lambda text: json.dumps(json.dumps(quote(text, safe=""))[1:-1])[1:-1],
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_a_secret_is_redacted_however_an_encoder_has_escaped_it(encode: Callable[[str], str]) -> None:
    echoed = encode(TOKEN)

    assert may_echo(f"100 % of \\d & {echoed} b", (TOKEN,))
    redacted = redact(f"100 % of \\d & {echoed} b", (TOKEN, "", "other"))
    assert redacted.startswith("100 % of \\d & ***")
    assert TOKEN[5:20] not in redacted
    assert redact_value({echoed: [echoed, {"a": echoed}, 5, None]}, (TOKEN,)) == {"***": ["***", {"a": "***"}, 5, None]}


def test_what_holds_no_secret_stays_as_it_is() -> None:
    text = 'a \\u0065 %41 &amp; "b" \\\\ c'

    assert redact(text, (TOKEN,)) == text
    assert not may_echo(text, (TOKEN,))
    assert redact_value(text, (TOKEN,)) == text


def test_a_value_is_redacted_at_any_depth() -> None:
    value: Any = TOKEN
    for _ in range(10_000):
        value = [value]

    redacted = redact_value(value, (TOKEN,))

    while isinstance(redacted, list):
        (redacted,) = redacted
    assert redacted == "***"


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_any_text_is_redacted_or_as_it_was(text: str, hidden: list[str]) -> None:
    found = redact(text, tuple(hidden))

    assert (found == text) is not may_echo(text, tuple(hidden)) or "***" in text


EC, RSA = generate_jwk("p256"), generate_jwk("rsa2048")
KEYS = {
    "PEM": pem_of(EC),
    "PEM on one line": pem_of(EC).replace("\n", " "),
    "a line of a PEM": pem_of(RSA).splitlines()[3],
    "JWK": json.dumps(EC),
    "d of P-256": EC["d"],
    "d in hexadecimal": base64.urlsafe_b64decode(EC["d"] + "=").hex(),
    "d of RSA": RSA["d"],
    "base64 of a PEM": base64.b64encode(pem_of(RSA).encode()).decode(),
    "an access token": "eyJhbGciOiJSUzI1NiIsImtpZCI6ImFiYyJ9.eyJpc3MiOiIwb2EiLCJzdWIiOiIwb2EifQ.c2lnbmF0dXJl",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_what_could_be_a_key_is_not_shown(key: str) -> None:
    assert may_hold_key(key)
    assert shown(key) == f"a value of {len(key)} characters"
    assert key not in without_keys(f"unrecognized arguments: {key}")


def test_no_line_of_a_pem_is_shown() -> None:
    for line in pem_of(RSA).splitlines()[1:-2]:
        assert shown(line) == f"a value of {len(line)} characters"


def test_a_random_string_of_the_length_of_a_client_secret_is_not_shown() -> None:
    # One in thousands has words in it by chance.
    assert sum(is_plain(secrets.token_urlsafe(30)) for _ in range(1000)) < 15


@pytest.mark.parametrize(
    "value",
    [
        "onboard",
        "onboard-employee-with-manager-approval-and-provisioning",
        "acme.workflows.okta.com",
        "internal-a0123456789abcdef0123456789abcdef-1234567890.us-east-1.elb.amazonaws.com:8443",
        "https://acme.workflows.okta.com/api/flo/0123456789abcdef0123456789abcdef/invoke",
        "/Users/AdaLovelace/Airflow-2/keys/OktaKey2024",
        "/var/lib/kubelet/pods/3f2b6a6e-33c7-4b76-9a2c-6f4f2e8c1f0b/volumes/okta-key.jwk",
        "GetAccessToken",
        "soon",
        5,
        True,
    ],
)
def test_words_hosts_paths_and_ids_are_shown(value: object) -> None:
    assert shown(value) == repr(str(value))


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("acme.okta.com/api/flo/a/invoke?clientToken=s3cret", "'acme.okta.com/api/flo/a/invoke?***'"),
        ("https://acme.okta.com/x#access_token=s3cret", "'https://acme.okta.com/x?***'"),
        ("acme.okta.com/x%3FclientToken%3Ds3cret", "'acme.okta.com/x?***'"),
        ("https://ada:s3cret@acme.okta.com/x", "'https://***@acme.okta.com/x'"),
        ("https://ada:s3/cret@acme.okta.com", "'https://***@acme.okta.com'"),
        ("ada:s3cret@acme.okta.com", "'***@acme.okta.com'"),
        ("https://ada@x:s3cret@acme.okta.com", "'https://***@acme.okta.com'"),
        ("two\nlines", "a value of 9 characters"),
        ("escape\x1b[2J", "a value of 10 characters"),
        ("word " * 50, "a value of 250 characters"),
    ],
)
def test_of_a_url_only_its_public_part_is_shown_and_never_a_second_line(value: str, quoted: str) -> None:
    assert shown(value) == quoted


def test_a_field_of_few_words_shows_no_more_than_that() -> None:
    assert shown("correct horse battery staple", 20) == "a value of 28 characters"
    assert shown("HS256", 20) == "'HS256'"


@given(st.text())
def test_any_text_is_shown_on_one_line(text: str) -> None:
    assert shown(text).isprintable()
    assert "?" not in public_part(text).partition("?")[2]


# By chance this last line has as few changes between kinds of characters as a name.
@pytest.mark.parametrize("last", ["G3tjv832AubeuvEWExsvxUUN", "aubeuvwexsvxuunA", "AubeuvExsvxuun12="])
def test_the_last_line_of_a_key_is_hidden_beside_the_others(last: str) -> None:
    key = f"-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCXskc83EL\n{last}"

    assert last not in without_keys(f"unrecognized arguments: {key}")


@given(st.binary(min_size=12, max_size=47))
def test_any_last_line_of_a_key_is_hidden_beside_the_others(tail: bytes) -> None:
    last = base64.b64encode(tail).decode()
    key = f"-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCXskc83EL\n{last}"

    # Only a line that is a single word in lower case could stay; a key has none.
    if not last[1:].strip("=").islower() or not last.strip("=").isalpha():
        assert last not in without_keys(f"unrecognized arguments: {key}")


def test_the_words_of_a_message_stay_beside_a_key() -> None:
    key = "-----BEGIN PRIVATE KEY-----"

    assert without_keys(f"unrecognized arguments: --idempotency-key {key} beside/another/path") == (
        "unrecognized arguments: --idempotency-key … PRIVATE KEY----- beside/another/path"
    )
