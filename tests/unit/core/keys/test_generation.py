from __future__ import annotations

import json

import jwt
import pytest

from airflow_okta_workflows.core.keys.generation import KeyType, generate_jwk, pem_of, public_jwk
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import SigningKey, load_signing_key


def load(text: str) -> SigningKey:
    return load_signing_key(parse_key_text(text))


@pytest.mark.parametrize(
    ("key_type", "description"), [("rsa2048", "RSA 2048"), ("rsa4096", "RSA 4096"), ("p256", "EC P-256")]
)
def test_a_generated_pair_signs_and_verifies(key_type: KeyType, description: str) -> None:
    jwk = generate_jwk(key_type)
    key = load(json.dumps(jwk))
    signed = key.sign({"sub": "x"})

    assert key.description == description == load(pem_of(jwk)).description
    assert key.kid == jwk["kid"]
    assert jwt.decode(signed, jwt.PyJWK(public_jwk(jwk), algorithm=key.algorithm)) == {"sub": "x"}


@pytest.mark.parametrize(
    ("key_type", "members"),
    [("rsa2048", {"kid", "use", "kty", "e", "n"}), ("p256", {"kid", "use", "kty", "crv", "x", "y"})],
)
def test_the_public_half_holds_nothing_private(key_type: KeyType, members: set[str]) -> None:
    assert set(public_jwk(generate_jwk(key_type))) == members


def test_no_kid_looks_like_an_option_of_a_command() -> None:
    # One thumbprint in 64 does: that none of these would by chance is one case in 2,600.
    assert not [kid for kid in (generate_jwk("p256")["kid"] for _ in range(500)) if kid.startswith("-")]
