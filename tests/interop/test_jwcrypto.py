"""Assertions and keys of ours in the hands of jwcrypto, and its keys in ours."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto.jwk import JWK, JWKSet
from jwcrypto.jws import InvalidJWSSignature
from jwcrypto.jwt import JWT, JWTExpired
from jwskate import SignedJwt

from airflow_okta_workflows.core.keys.generation import KeyType, generate_jwk, pem_of, public_jwk, thumbprint
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import SigningKey, load_signing_key
from airflow_okta_workflows.core.oauth.client_assertion import sign_client_assertion
from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.emulator.public_keys import parse_public_keys
from tests.conftest import CommandLine
from tests.interop.keys import ALGORITHMS, FORMS, KEYS, PASSPHRASE, new_key

CLIENT_ID = "0oajwcrypto"
TOKEN_URL = "https://acme.okta.com/oauth2/v1/token"
CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
KEY_TYPES: tuple[KeyType, ...] = ("p256", "rsa2048", "rsa4096")


def loaded(text: str, algorithm: str | None = None) -> SigningKey:
    return load_signing_key(parse_key_text(text), algorithm=algorithm, passphrase=Secret(PASSPHRASE))


def assertion(key: SigningKey, **changes: Any) -> str:
    fields: dict[str, Any] = {"client_id": CLIENT_ID, "token_url": TOKEN_URL, "now": time.time(), "lifetime": 300}
    return sign_client_assertion(key, jti="once", **{**fields, **changes})


def verified(token: str, key: JWK, algorithm: str) -> JWT:
    expected = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": TOKEN_URL, "jti": "once", "exp": None}
    return JWT(jwt=token, key=key, algs=[algorithm], check_claims=expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_verifies_our_assertions(algorithm: str, form: str) -> None:
    key = KEYS[ALGORITHMS[algorithm]]
    token = assertion(loaded(FORMS[form](key), algorithm))
    public = JWK(**key.export_public(as_dict=True))

    header = json.loads(verified(token, public, algorithm).header)
    # The library below requests-oauth2client, which shares no code with jwcrypto.
    SignedJwt(token).validate(public.export(as_dict=True), alg=algorithm, issuer=CLIENT_ID, audience=TOKEN_URL)

    assert header["alg"] == algorithm
    assert header.get("kid") == (key["kid"] if form.startswith("JWK") else None)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_verifies_none_with_another_key_or_after_its_end(algorithm: str) -> None:
    key = KEYS[ALGORITHMS[algorithm]]
    ours = loaded(key.export())

    with pytest.raises(InvalidJWSSignature):
        verified(assertion(loaded(key.export(), algorithm)), new_key(ALGORITHMS[algorithm]), algorithm)
    with pytest.raises(JWTExpired):
        verified(assertion(ours, now=time.time() - 900), key, ours.algorithm)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_it_loads_the_keys_that_we_generate(key_type: KeyType) -> None:
    ours = generate_jwk(key_type)
    private, public, pem = JWK(**ours), JWK(**public_jwk(ours)), JWK.from_pem(pem_of(ours).encode())

    assert {one.thumbprint() for one in (private, public, pem)} == {ours["kid"]}
    assert (private.has_private, public.has_private, pem.has_private) == (True, False, True)
    assert private.export_to_pem(private_key=True, password=None).decode() == pem_of(ours)


@pytest.mark.parametrize("name", ["key.jwk", "key.pem"])
def test_it_loads_what_the_command_line_writes(name: str, tmp_path: Path, okta_workflows: CommandLine) -> None:
    told = okta_workflows("keygen", "--type", "p256", "--out", str(tmp_path / name), "--output", "json").json
    text = (tmp_path / name).read_text()
    private = JWK.from_pem(text.encode()) if name.endswith("pem") else JWK.from_json(text)
    token = assertion(loaded(private.export()))

    assert private.thumbprint() == told["kid"]
    assert verified(token, JWK(**told["public_jwk"]), "ES256")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KEYS)
def test_we_load_its_private_keys(kind: str, form: str) -> None:
    key = KEYS[kind]

    ours = loaded(FORMS[form](key))

    assert ours.description == (f"EC {kind}" if kind != "RSA" else "RSA 2048")
    assert thumbprint(ours.key) == key.thumbprint()
    assert ours.kid == (key["kid"] if form.startswith("JWK") else None)


def test_we_load_its_public_keys() -> None:
    keys = JWKSet()
    for key in KEYS.values():
        keys.add(JWK(**key.export_public(as_dict=True)))
        ours = parse_public_keys(key.export_to_pem())

        assert [thumbprint(one) for one in ours.values()] == list(ours) == [key.thumbprint()]
    of_the_set = parse_public_keys(keys.export(private_keys=False))

    assert {kid: thumbprint(one) for kid, one in of_the_set.items()} == {
        key["kid"]: key.thumbprint() for key in KEYS.values()
    }


@given(st.sampled_from(list(CURVES)), st.integers(min_value=1), st.sampled_from(list(FORMS)))
def test_any_ec_key_that_it_exports_is_the_same_key_here(curve: str, number: int, form: str) -> None:
    # Small numbers have leading zeros, which a JWK keeps and DER may not.
    private = ec.derive_private_key(number % (2**255) or 1, CURVES[curve])
    theirs = JWK.from_pyca(private)

    ours = loaded(FORMS["JWK" if form == "PKCS#8, encrypted" else form](theirs))

    assert ours.key.private_numbers() == private.private_numbers()
    assert thumbprint(ours.key) == theirs.thumbprint()
