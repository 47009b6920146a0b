"""Vectors of RFC 7515, 7517 and 7520, as jwcrypto's package carries them, through our keys and those of the local org."""

from __future__ import annotations

import json
from typing import Any

import jwcrypto.tests as vectors
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwcrypto.common import base64url_decode

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.keys.generation import thumbprint
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import load_signing_key
from airflow_okta_workflows.emulator.public_keys import parse_public_keys
from tests.interop.keys import cookbook

BOOK = cookbook()
ALGORITHMS = jwt.algorithms.get_default_algorithms()


def compact(example: dict[str, Any]) -> str:
    encoded = jwt.utils.base64url_encode
    parts = (example["protected"].encode(), example["payload"], example["signature"])
    return b".".join(encoded(part) for part in parts).decode()


SIGNED: dict[str, tuple[str, dict[str, Any], str]] = {
    "RFC 7515, A.2": ("RS256", vectors.A2_key, compact(vectors.A2_example)),
    "RFC 7515, A.3": ("ES256", vectors.A3_key, compact(vectors.A3_example)),
    "RFC 7515, A.4": ("ES512", vectors.A4_key, compact(vectors.A4_example)),
    "RFC 7520, 4.1": ("RS256", BOOK["RSA_Private_Key_3_4"], BOOK["JWS_compact_4_1_3"]),
    "RFC 7520, 4.3": ("ES512", BOOK["EC_Private_Key_3_2"], BOOK["JWS_compact_4_3_3"]),
}


@pytest.mark.parametrize("name", SIGNED)
def test_our_key_signs_and_the_public_half_verifies_as_in_the_rfc(name: str) -> None:
    algorithm, jwk, token = SIGNED[name]
    signed, _, signature = token.rpartition(".")
    private = load_signing_key(parse_key_text(json.dumps(jwk)))
    public = parse_public_keys({member: jwk[member] for member in ("kty", "n", "e", "crv", "x", "y") if member in jwk})
    judge = ALGORITHMS[algorithm]
    (key,) = public.values()
    own = judge.sign(signed.encode(), private.key)

    assert private.algorithm == algorithm
    assert private.kid == jwk.get("kid")
    assert judge.verify(signed.encode(), key, base64url_decode(signature))
    assert judge.verify(signed.encode(), key, own)
    # ECDSA signs with a random number.
    assert (own == base64url_decode(signature)) is algorithm.startswith("RS")
    assert not judge.verify(signed.encode() + b"x", key, base64url_decode(signature))


@pytest.mark.parametrize(
    ("private", "public"), [("RSA_Private_Key_3_4", "RSA_Public_Key_3_3"), ("EC_Private_Key_3_2", "EC_Public_Key_3_1")]
)
def test_the_keys_of_rfc_7520_are_pairs(private: str, public: str) -> None:
    ours = load_signing_key(parse_key_text(json.dumps(BOOK[private])))

    assert parse_public_keys(BOOK[public]) == {"bilbo.baggins@hobbiton.example": ours.key.public_key()}


def test_the_private_key_of_rfc_7517_for_signatures_is_found_beside_the_one_for_encryption() -> None:
    # A.2, and in A.1 the public halves.
    text = json.dumps(vectors.PrivateKeys)
    assert [jwk.get("use") for jwk in vectors.PrivateKeys["keys"]] == ["enc", None]

    ours = load_signing_key(parse_key_text(text))

    assert {ours.kid: ours.key.public_key()} == parse_public_keys(vectors.PublicKeys)
    with pytest.raises(CoreError, match="not for signatures"):
        parse_key_text(json.dumps(vectors.PrivateKeys["keys"][0]))


def test_the_public_keys_of_rfc_7517_are_those_for_signatures() -> None:
    keys = parse_public_keys(vectors.PublicKeys)

    assert list(keys) == ["2011-04-29"]
    assert isinstance(keys["2011-04-29"], rsa.RSAPublicKey)
    # RFC 7638, 3.1, has the thumbprint of this key.
    assert thumbprint(keys["2011-04-29"]) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
