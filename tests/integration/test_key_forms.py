"""Keys as people have them, from a connection to a token: by the hook, by ``check``, and in what both print."""

from __future__ import annotations

import base64
import io
import json
import logging
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from cryptography.hazmat.primitives import serialization

from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaWorkflowsError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.conftest import CommandLine
from tests.unit.core.keys.key_forms import (
    AROUND,
    ENCODINGS,
    FOR_PEM,
    PASSPHRASE,
    WRITTEN,
    Format,
    body,
    certificate_pem,
    p12,
    relabelled,
    rounds_of,
)  # fmt: skip

Define = Callable[..., None]
OTHER = generate_jwk("rsa2048")


def parsed(jwk: dict[str, Any]) -> Any:
    return serialization.load_pem_private_key(pem_of(jwk).encode(), None)


def locked(jwk: dict[str, Any], encoding: Any = serialization.Encoding.PEM, form: Any = Format.PKCS8) -> bytes:
    data: bytes = parsed(jwk).private_bytes(encoding, form, serialization.BestAvailableEncryption(PASSPHRASE.encode()))
    return data


@pytest.fixture
def define(org: LocalOrg, monkeypatch: pytest.MonkeyPatch) -> Define:
    """Define the default connection with another password, and with more fields of extra."""
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "off")

    def connect(password: str | None = None, **extra: Any) -> None:
        fields = {**org.connection(**extra), "password": password}
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(fields))

    return connect


PASSWORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "relabelled": lambda jwk: relabelled(pem_of(jwk), "RSA PRIVATE KEY"),
    "the first line relabelled": lambda jwk: relabelled(pem_of(jwk), "RSA PRIVATE KEY", "PRIVATE KEY"),
    "encrypted": lambda jwk: locked(jwk).decode(),
    "encrypted, relabelled": lambda jwk: relabelled(locked(jwk).decode(), "EC PRIVATE KEY"),
    "encrypted, its body": lambda jwk: body(locked(jwk).decode()),
    "encrypted, PKCS#12": lambda jwk: base64.b64encode(p12(parsed(jwk))).decode(),
    "encrypted, in JSON": lambda jwk: json.dumps({"data": {"data": {"key": locked(jwk).decode()}}}),
    "Python": repr,
    "a set": lambda jwk: json.dumps({"keys": [{n: OTHER[n] for n in ("kty", "n", "e", "kid")}, jwk]}),
    **{f"JWK in {name}": partial(lambda put, jwk: json.dumps(put(jwk)), put) for name, put in AROUND.items()},
    **{name: partial(lambda mangle, jwk: mangle(pem_of(jwk)), one) for name, one in (ENCODINGS | FOR_PEM).items()},
}


def kid_of(jwk: dict[str, Any]) -> dict[str, Any]:
    return {"key_id": jwk["kid"]}


@pytest.mark.parametrize("form", PASSWORDS.values(), ids=PASSWORDS)
def test_a_key_in_the_connection_obtains_a_token(org: LocalOrg, define: Define, form: Any) -> None:
    define(form(org.private_jwk), key_passphrase=PASSPHRASE, **kid_of(org.private_jwk))

    assert OktaWorkflowsHook().get_access_token().value in org.tokens


FILES: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "encrypted DER": lambda jwk: locked(jwk, serialization.Encoding.DER),
    "PKCS#12": lambda jwk: p12(parsed(jwk)),
    "JSON": lambda jwk: json.dumps({"SecretString": json.dumps({"privateKey": pem_of(jwk)})}).encode(),
    "a chain": lambda jwk: (certificate_pem() + pem_of(jwk) + certificate_pem(parsed(jwk))).encode(),
    **{f"PEM in {name}": partial(lambda write, jwk: write(pem_of(jwk)), write) for name, write in WRITTEN.items()},
    **{f"JWK in {name}": partial(lambda write, jwk: write(json.dumps(jwk)), write) for name, write in WRITTEN.items()},
}


@pytest.mark.parametrize("form", FILES.values(), ids=FILES)
def test_a_key_file_obtains_a_token(org: LocalOrg, define: Define, tmp_path: Path, form: Any) -> None:
    file = tmp_path / "okta"
    file.write_bytes(form(org.private_jwk))
    define(key_file=str(file), key_passphrase=PASSPHRASE, **kid_of(org.private_jwk))

    assert OktaWorkflowsHook().get_access_token().value in org.tokens


@pytest.mark.parametrize("value", [lambda jwk: {"keys": [OTHER, jwk]}, lambda jwk: [jwk], lambda jwk: {"key": jwk}])
def test_private_key_in_extra_may_be_an_object_or_a_list(org: LocalOrg, define: Define, value: Any) -> None:
    define(private_key=value(org.private_jwk), **kid_of(org.private_jwk))

    assert OktaWorkflowsHook().get_access_token().value in org.tokens


def test_a_key_in_a_uri_may_be_encoded_as_in_a_form(org: LocalOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", f"okta-workflows://0oaabc:{quote_plus(pem_of(OTHER))}@acme.okta.com"
    )

    assert OktaWorkflowsHook().settings.signing_key.description == "RSA 2048"


def test_a_pkcs12_file_becomes_a_connection_with_a_pem(
    org: LocalOrg, okta_workflows: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSPHRASE + "\n"))
    file = tmp_path / "okta.p12"
    file.write_bytes(p12(parsed(OTHER)))
    command = ["connection", "--domain", "acme.okta.com", "--client-id", "0oaabc", "--key-file", str(file), "--offline"]
    ended = okta_workflows(*command)

    assert ended.code == 0, ended.err
    assert "RSA 2048, RS256" in ended.err
    assert "BEGIN ENCRYPTED PRIVATE KEY" in ended.out


# ---- errors, as a user sees them


def problems(define: Define, **fields: Any) -> tuple[str, ...]:
    define(**fields)
    with pytest.raises(OktaConfigurationError) as caught:
        OktaWorkflowsHook().get_access_token()
    return caught.value.problems or (str(caught.value),)


def test_a_path_in_the_keys_field_leads_to_key_file(define: Define, tmp_path: Path) -> None:
    for fields in ({"password": str(tmp_path / "okta.pem")}, {"private_key": "/opt/airflow/keys/okta"}):
        (problem,) = problems(define, **fields)
        assert problem.startswith("The private key is the path of a file, not a key. ")
        assert "set key_file to it" in problem


ELSEWHERE = ["key_id", "scope", "key_passphrase", "algorithm", "workflows_host", "verify", "http_proxy", "read_timeout"]
WHOLE_KEYS: dict[str, Callable[[dict[str, Any]], str]] = {
    "PEM": pem_of,
    "JWK": json.dumps,
    "one line": lambda jwk: pem_of(jwk).replace("\n", "\\n"),
    "encrypted": lambda jwk: locked(jwk).decode(),
    "in JSON": lambda jwk: json.dumps({"key": pem_of(jwk)}),
    "PKCS#12": lambda jwk: base64.b64encode(p12(parsed(jwk))).decode(),
}


@pytest.mark.parametrize("form", WHOLE_KEYS.values(), ids=WHOLE_KEYS)
@pytest.mark.parametrize("field", [*ELSEWHERE, "host", "login", "flows"])
def test_another_key_in_another_field_is_named_and_not_shown(
    org: LocalOrg, monkeypatch: pytest.MonkeyPatch, field: str, form: Any
) -> None:
    key = form(OTHER)
    for password in (json.dumps(org.private_jwk), None):
        connection = {**org.connection(), "password": password}
        if field in connection:
            connection[field] = key
        else:
            connection["extra"] = {**connection["extra"], field: {"a": key} if field == "flows" else key}
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
        with pytest.raises(OktaConfigurationError) as caught:
            OktaWorkflowsHook().get_access_token()
        name = {"host": "The Okta domain (Host)", "login": "The Client ID (Login)"}.get(field, field)
        assert f"{name} has a private key in it (not shown)." in str(caught.value)
        assert "Remove it there: the key belongs in Private key (Password) alone." in str(caught.value)
        assert_hidden(OTHER, key, str(caught.value))


@pytest.mark.parametrize("form", WHOLE_KEYS.values(), ids=WHOLE_KEYS)
def test_a_key_in_key_file_is_told_where_it_belongs(define: Define, form: Any) -> None:
    (problem,) = problems(define, key_file=form(OTHER))

    assert (
        "that is not a path. key_file takes the path of a file. Paste the key itself into Private key (Password)"
        in problem
    )
    assert_hidden(OTHER, form(OTHER), problem)


def assert_hidden(jwk: dict[str, Any], pasted: str, *texts: str) -> None:
    secret = {jwk["d"], *body(pem_of(jwk))[40:].split(), *(line for line in pasted.split() if len(line) > 40)}
    parts = {one[at : at + 16] for one in secret for at in range(0, len(one) - 15, 8)}
    for text in texts:
        assert not [part for part in parts if part in text]


BROKEN: dict[str, Callable[[dict[str, Any]], str]] = {
    "two keys": lambda jwk: pem_of(jwk) + pem_of(OTHER),
    "two keys in JSON": lambda jwk: json.dumps({"a": pem_of(jwk), "b": OTHER}),
    "a cut key in JSON": lambda jwk: json.dumps({"data": {"key": pem_of(jwk)[:150], pem_of(jwk): "x"}}),
    "a JWK to encrypt": lambda jwk: json.dumps({**jwk, "use": "enc"}),
    "a JWK whose kid is d": lambda jwk: json.dumps([{**jwk, "kid": jwk["d"]}, OTHER]),
    "a cut JWK": lambda jwk: json.dumps(jwk)[:-9],
    "a cut Python dict": lambda jwk: repr(jwk)[:-9],
    "an encrypted key": lambda jwk: locked(jwk).decode(),
    "a PKCS#12 file": lambda jwk: base64.b64encode(p12(parsed(jwk))).decode(),
    "a cut PKCS#12 file": lambda jwk: base64.b64encode(p12(parsed(jwk))[:-90]).decode(),
    "a line changed": lambda jwk: pem_of(jwk).replace("\n", "%0A").replace("A", "*", 20),
}


@pytest.mark.parametrize("form", BROKEN.values(), ids=BROKEN)
def test_neither_errors_nor_logs_nor_check_show_a_part_of_a_key_that_cannot_be_used(
    org: LocalOrg,
    define: Define,
    okta_workflows: CommandLine,
    caplog: pytest.LogCaptureFixture,
    form: Any,
) -> None:
    pasted = form(org.private_jwk)
    define(pasted, key_passphrase="wrong")
    with caplog.at_level(logging.DEBUG), pytest.raises(OktaWorkflowsError) as caught:
        OktaWorkflowsHook().get_access_token()
    seen = [str(caught.value), repr(vars(caught.value)), "".join(traceback.format_exception(caught.value)), caplog.text]
    for output in ("text", "json"):
        ended = okta_workflows("check", "--output", output)
        assert ended.code == 1
        seen += [ended.out, ended.err]
    seen.append(OktaWorkflowsHook().test_connection()[1])

    assert_hidden(org.private_jwk, pasted, *seen)
    assert org.token_requests == []


# ---- slow keys


def test_check_warns_of_a_key_that_is_slow_to_decrypt(
    org: LocalOrg, define: Define, okta_workflows: CommandLine
) -> None:
    define(rounds_of(parsed(org.private_jwk), 250_000), key_passphrase=PASSPHRASE, **kid_of(org.private_jwk))
    ended = okta_workflows("check", "--output", "json")
    key = next(step for step in ended.json["steps"] if step["step"] == "key")

    assert ended.code == 0
    assert key["result"] == "warning"
    assert "(250,000 rounds of key derivation)" in key["detail"]
    assert "openssl pkcs8 -topk8 -in FILE -out key.pem" in key["fix"]
    assert "openssl pkcs8" in OktaWorkflowsHook().test_connection()[1]
    assert "(OKW-1160)" in OktaWorkflowsHook().test_connection()[1]
    assert OktaWorkflowsHook().test_connection()[0]


@pytest.mark.parametrize("form", ["encrypted", "encrypted, PKCS#12"])
def test_check_does_not_warn_of_the_usual_encryption(
    org: LocalOrg, define: Define, okta_workflows: CommandLine, form: str
) -> None:
    define(PASSWORDS[form](org.private_jwk), key_passphrase=PASSPHRASE, **kid_of(org.private_jwk))
    ended = okta_workflows("check", "--output", "json")

    assert {step["result"] for step in ended.json["steps"]} <= {"passed", "skipped"}
