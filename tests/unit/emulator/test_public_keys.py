"""A local org takes the public half of a key in the forms in which users have it, and no private key."""

from __future__ import annotations

import contextlib
import datetime
import json
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of, public_jwk
from airflow_okta_workflows.emulator.public_keys import MAX_BYTES, parse_public_keys

JWK, RSA_JWK = generate_jwk(), generate_jwk("rsa2048")
PUBLIC, RSA_PUBLIC = public_jwk(JWK), public_jwk(RSA_JWK)
PRIVATE_KEY: Any = jwt.algorithms.ECAlgorithm.from_jwk(JWK)
KEY = PRIVATE_KEY.public_key()
RSA_KEY: Any = jwt.algorithms.RSAAlgorithm.from_jwk(RSA_PUBLIC)


def encoded(key: Any, encoding: Encoding, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return bytes(key.public_bytes(encoding, form))


def certificate(encoding: Encoding) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "airflow")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, KEY, 1, begin, begin + datetime.timedelta(days=1))
    return bytes(builder.sign(PRIVATE_KEY, SHA256()).public_bytes(encoding))


PEM = encoded(KEY, Encoding.PEM)


@pytest.mark.parametrize(
    "data",
    [
        PEM,
        PEM.decode(),
        PEM.replace(b"\n", b"\r\n"),
        PEM.decode().replace("\n", "\\n"),
        b"\xef\xbb\xbf" + PEM,
        b"Bag Attributes: none\n" + PEM,
        encoded(KEY, Encoding.DER),
        certificate(Encoding.PEM),
        certificate(Encoding.PEM) + certificate(Encoding.PEM),
        certificate(Encoding.DER),
        json.dumps(PUBLIC),
        json.dumps(PUBLIC, indent=2).encode(),
        PUBLIC,
        {name: value for name, value in PUBLIC.items() if name not in ("kid", "use")},
        {**PUBLIC, "kid": ""},
        {"keys": [PUBLIC]},
        json.dumps({"keys": [PUBLIC, {**RSA_PUBLIC, "use": "enc"}]}),
    ],
    ids=lambda data: type(data).__name__,
)
def test_a_public_key_is_known_by_its_kid(data: Any) -> None:
    keys = parse_public_keys(data)

    assert {kid: encoded(key, Encoding.DER) for kid, key in keys.items()} == {JWK["kid"]: encoded(KEY, Encoding.DER)}


def test_a_set_may_have_several_keys_of_either_type() -> None:
    keys = parse_public_keys({"keys": [{**PUBLIC, "kid": "first"}, {**RSA_PUBLIC, "kid": "second"}]})
    pkcs1 = parse_public_keys(encoded(RSA_KEY, Encoding.PEM, PublicFormat.PKCS1))

    assert {kid: type(key).__name__ for kid, key in keys.items()} == {
        "first": "ECPublicKey",
        "second": "RSAPublicKey",
    }
    assert list(pkcs1) == [RSA_JWK["kid"]]


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (pem_of(JWK), "openssl pkey -in FILE -pubout"),
        (pem_of(JWK).replace("PRIVATE", "ENCRYPTED PRIVATE").encode(), "openssl pkey -in FILE -pubout"),
        (PEM.decode() + pem_of(JWK), "openssl pkey -in FILE -pubout"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "openssl pkey -in FILE -pubout"),
        (json.dumps(JWK), "jq "),
        (RSA_JWK, "jq "),
        ({"keys": [PUBLIC, JWK]}, "jq "),
        ({"kty": "oct", "k": "c2VjcmV0"}, "jq "),
    ],
)
def test_a_private_key_is_refused_with_the_command_that_prints_its_public_part(data: Any, command: str) -> None:
    with pytest.raises(CoreError, match="private key") as caught:
        parse_public_keys(data)

    assert command in caught.value.hint
    assert JWK["d"] not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a public key"),
        (b"root:x:0:0", "not a public key"),
        (b"ssh-rsa AAAA me@here", "OpenSSH public key"),
        (b"ecdsa-sha2-nistp256 AAAA me@here", "OpenSSH public key"),
        (PEM[:80], "damaged"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        (b"\x30\x03abc", "neither a public key nor a certificate"),
        (b"{", "damaged"),
        (b"[" * 5000, "not a public key"),
        (b'{"keys": []}', "no key for signatures"),
        (b'{"keys": [1, {"use": "enc"}]}', "no key for signatures"),
        ({"keys": 5}, "neither of type RSA nor EC"),
        ({**PUBLIC, "kty": ["EC"]}, "neither of type RSA nor EC"),
        ({**PUBLIC, "x": "AAAA"}, "damaged"),
        ({**PUBLIC, "crv": 5}, "damaged"),
        ({"kty": "RSA"}, "damaged"),
        (encoded(ec.generate_private_key(ec.SECP256K1()).public_key(), Encoding.PEM), "does not take"),
        (encoded(ed25519.Ed25519PrivateKey.generate().public_key(), Encoding.PEM), "does not take"),
        (encoded(rsa.generate_private_key(65537, 1024).public_key(), Encoding.PEM), "1024 bits"),
        (b"a" * (MAX_BYTES + 1), "more than any key"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_public_key_says_what_it_is(data: Any, said: str) -> None:
    with pytest.raises(CoreError, match=said) as caught:
        parse_public_keys(data)

    assert caught.value.hint


@given(
    st.binary()
    | st.text()
    | st.dictionaries(
        st.sampled_from([*PUBLIC, "keys", "n", "e"]), st.none() | st.text() | st.integers() | st.just("EC")
    )
    | st.binary().map(lambda data: b"\x30" + data)
    | st.text().map(lambda text: f"-----BEGIN PUBLIC KEY-----{text}-----END PUBLIC KEY-----")
)
def test_any_file_has_keys_or_a_reason(data: Any) -> None:
    with contextlib.suppress(CoreError):
        assert parse_public_keys(data)
