"""Keys as people have them: each form is the same key, and no part of it is left in a log that prints it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption

from airflow_okta_workflows.core.keys.encodings import decode_text
from airflow_okta_workflows.core.keys.parsing import KeyText, parse_key_text
from airflow_okta_workflows.core.keys.signing import SigningKey, load_signing_key
from airflow_okta_workflows.core.secret import Secret
from tests.unit.core.keys.key_forms import (
    AROUND,
    EC,
    ENCODINGS,
    FOR_PEM,
    JWK,
    PASSPHRASE,
    PEM_OF_JWK,
    PRINTED,
    RSA,
    RSA_JWK,
    TEXTS,
    WRITTEN,
    Format,
    body,
    certificate_pem,
    der,
    p12,
    pem,
    public_pem,
    relabelled,
)  # fmt: skip


def load(text: str, passphrase: str | None = PASSPHRASE, **options: Any) -> SigningKey:
    return load_signing_key(parse_key_text(text), passphrase=Secret(passphrase) if passphrase else None, **options)


def numbers(key: Any) -> Any:
    return key.public_key().public_numbers()


def fingerprint(text: str) -> str:
    return parse_key_text(text).fingerprint(None)


def assert_masked(key: KeyText, *printed: str) -> None:
    """Raise if masking the key's forms leaves a part of it in what is printed."""
    pieces = set(key.secret_forms())
    whole = key.text.reveal()
    members = json.loads(whole) if key.form == "jwk" else {}
    secret = "".join(members.get(name, "") for name in ("d", "p", "q")) if members else body(whole)
    # The beginning is the same for all keys of a type, public ones included.
    parts = {secret[at : at + 16] for at in range(0 if members else 50, len(secret) - 15)}
    for text in printed:
        for piece in sorted(pieces, key=len, reverse=True):
            text = text.replace(piece, "***")  # noqa: PLW2901  # one after the other, as a masker does
        assert not [part for part in parts if part in text]


@pytest.mark.parametrize("mangle", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_key_is_read_from_each_encoding(name: str, mangle: Any) -> None:
    text = mangle(TEXTS[name])
    key = parse_key_text(text)

    assert key.fingerprint(None) == fingerprint(TEXTS[name])
    assert load(text).algorithm
    assert_masked(key, text, repr(text), json.dumps(text))


@pytest.mark.parametrize("mangle", FOR_PEM.values(), ids=FOR_PEM)
@pytest.mark.parametrize("name", ["PKCS#8", "PKCS#1", "SEC1", "encrypted PKCS#8"])
def test_a_damaged_pem_of_which_nothing_is_lost_is_read(name: str, mangle: Any) -> None:
    text = mangle(TEXTS[name])
    key = parse_key_text(text)

    assert key.fingerprint(None) == fingerprint(TEXTS[name])
    assert_masked(key, text, repr(text))


def test_a_pem_whose_last_plus_became_a_space_is_read() -> None:
    keys = (ec.generate_private_key(ec.SECP256R1()) for _ in range(10_000))
    text = next(text for key in keys if body(text := pem(key)).endswith("+"))

    assert fingerprint(FOR_PEM["pluses and newlines became spaces"](text)) == fingerprint(text)


@pytest.mark.parametrize("how", ["dashes became typographic", "the last dashes lost"])
def test_a_damaged_pem_with_headers_of_which_nothing_is_lost_is_read(how: str) -> None:
    assert fingerprint(FOR_PEM[how](TEXTS["encrypted PKCS#1"])) == fingerprint(TEXTS["encrypted PKCS#1"])


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("name", TEXTS)
def test_a_file_is_read_in_each_character_set(name: str, write: Any) -> None:
    assert fingerprint(decode_text(write(TEXTS[name]))) == fingerprint(TEXTS[name])


@pytest.mark.parametrize("write", PRINTED.values(), ids=PRINTED)
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("key", [pem(RSA), pem(EC), json.dumps(JWK), JWK, body(pem(EC))], ids=["RSA", "EC", "JWK", "JWK object", "body"])  # fmt: skip
def test_the_one_key_within_json_is_taken(key: Any, around: Any, write: Any) -> None:
    text = write(around(key))
    found = parse_key_text(text)

    assert found.fingerprint(None) == fingerprint(key if isinstance(key, str) else json.dumps(key))
    assert_masked(found, text)
    assert not {"private_key", "client_id", "metadata"} & set(found.secret_forms())


def test_the_lines_of_a_pem_may_be_a_list() -> None:
    assert fingerprint(json.dumps({"key": pem(EC).splitlines()})) == fingerprint(pem(EC))


LABELS = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "private key", "Rsa Private Key",
          "KEY", "PKCS8 PRIVATE KEY", "PKCS-8 KEY", "ANY PRIVATE KEY", "OKTA KEY (prod)", "PUBLIC KEY", "CERTIFICATE"]  # fmt: skip


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("form", [Format.PKCS8, Format.TraditionalOpenSSL])
@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
def test_the_content_decides_and_not_the_label(key: Any, form: Any, label: str) -> None:
    for text in (relabelled(pem(key, form), label), relabelled(pem(key, form), label, "PRIVATE KEY")):
        assert numbers(load(text, None).key) == numbers(key)
        assert not parse_key_text(text).encrypted
        assert fingerprint(text) == fingerprint(pem(key, form))


@pytest.mark.parametrize("label", LABELS)
def test_an_encrypted_key_is_read_under_any_label(label: str) -> None:
    text = relabelled(pem(RSA, passphrase=PASSPHRASE), label)

    assert parse_key_text(text).encrypted
    assert numbers(load(text).key) == numbers(RSA)


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
def test_a_traditional_encrypted_key_is_read_under_any_label(key: Any) -> None:
    text = pem(key, Format.TraditionalOpenSSL, PASSPHRASE)

    for label in ("RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "rsa private key",
                  "OPENSSH PRIVATE KEY", "DSA PRIVATE KEY"):  # fmt: skip
        mislabelled = re.sub(r"(RSA|EC) PRIVATE KEY", label, text)
        assert numbers(load(mislabelled).key) == numbers(key)
        with pytest.raises(Exception, match="passphrase is wrong"):
            load(mislabelled, "wrong")


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
def test_der_and_its_base64_are_read(key: Any, passphrase: str | None) -> None:
    data = der(key, passphrase=passphrase)
    encoded = base64.b64encode(data).decode()
    with_spaces = encoded[:-1].replace("+", " ") + encoded[-1]  # at its end, a space would be lost
    for text in (decode_text(data), base64.encodebytes(data).decode(), base64.urlsafe_b64encode(data).decode(),
                 with_spaces, body(pem(key, passphrase=passphrase))):  # fmt: skip
        found = parse_key_text(text)
        assert numbers(load(text, passphrase).key) == numbers(key)
        assert found.encrypted == bool(passphrase)
        assert_masked(found, text)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_der_with_a_newline_after_it_is_read(end: bytes) -> None:
    for data in (der(RSA), der(EC), p12(RSA, None)):
        for text in (decode_text(data + end), base64.encodebytes(data + end).decode()):
            assert fingerprint(text) == fingerprint(decode_text(data))


def test_what_may_be_beside_the_key_does_not_matter() -> None:
    beside = certificate_pem() + public_pem(EC) + "# a comment\n"

    for text in (beside + pem(RSA), pem(RSA) + beside, certificate_pem() + pem(RSA) + certificate_pem(EC)):
        assert fingerprint(text) == fingerprint(pem(RSA))
    assert fingerprint(pem(RSA) + pem(RSA)) == fingerprint(pem(RSA)), "the same key twice is one key"


SAME = {
    "PKCS#8 and PKCS#1": pem(RSA) + pem(RSA, Format.TraditionalOpenSSL),
    "PKCS#8 and SEC1": pem(EC) + pem(EC, Format.TraditionalOpenSSL),
    "a PEM and its DER in base64": pem(RSA) + base64.encodebytes(der(RSA)).decode(),
    "a JWK and its PEM": json.dumps({"jwk": JWK, "pem": PEM_OF_JWK}),
    "a PEM and its JWK": PEM_OF_JWK + json.dumps(JWK),
    "a JWK of RSA, with and without primes": json.dumps([RSA_JWK, {name: RSA_JWK[name] for name in ("kty", "kid", "n", "e", "d")}]),
}  # fmt: skip


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_one_key_in_two_forms_is_one_key_and_both_forms_are_masked(text: str) -> None:
    key = parse_key_text(text)

    assert load(text).algorithm
    # With their quotes: the letters alone may be in the base64 of a random key.
    assert key.kid == (JWK["kid"] if '"crv"' in text else RSA_JWK["kid"] if '"kty"' in text else None)
    assert_masked(key, text, repr(text), json.dumps(text))
    for other in key.beside:
        assert set(other.secret_forms()) <= set(key.secret_forms())


def test_every_private_key_beside_the_one_that_is_taken_is_masked() -> None:
    enc = {**RSA_JWK, "kid": "enc", "use": "enc"}
    beside = {"an old one": ({**RSA_JWK, "kid": "old"}, RSA_JWK["d"]), "one that encrypts": (enc, RSA_JWK["d"])}

    for other, secret in beside.values():
        key = parse_key_text(json.dumps({"keys": [JWK, other]}), JWK["kid"])
        assert {JWK["d"], secret} <= set(key.secret_forms())
    openssh = RSA.private_bytes(Encoding.PEM, Format.OpenSSH, NoEncryption()).decode()
    assert set(openssh.splitlines()[1:-1]) <= set(parse_key_text(pem(EC) + openssh).secret_forms())


def public_jwk(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: jwk[name] for name in ("kty", "kid", "n", "e", "crv", "x", "y") if name in jwk}


def test_the_one_private_key_of_a_set_is_taken() -> None:
    others = [public_jwk(RSA_JWK), {**RSA_JWK, "kid": "enc", "use": "enc"}, {"kty": "oct", "k": "c2VjcmV0", "d": "x"}]
    for keys in ([*others, JWK], [JWK, *others], [JWK]):
        assert load(json.dumps({"keys": keys})).kid == JWK["kid"]
        assert load(json.dumps(keys)).kid == JWK["kid"]


def test_key_id_selects_one_of_several_in_a_set() -> None:
    keys = {"keys": [{**JWK, "kid": "old"}, {**RSA_JWK, "kid": "new"}]}

    assert parse_key_text(json.dumps(keys), "new").kid == "new"
    assert parse_key_text(json.dumps(keys), "old").kid == "old"
    for kid in ("other", None):
        with pytest.raises(Exception, match=r"^There are 2 private keys: kid old, kid new\."):
            parse_key_text(json.dumps(keys), kid)


def test_a_jwk_in_the_notations_of_other_languages_is_read() -> None:
    jwk = {**JWK, "ext": True, "alg": None}
    javascript = "{ " + ", ".join(f"{name}: '{value}'" for name, value in JWK.items()) + ", }"

    for text in (repr(jwk), repr({"keys": [jwk]}), javascript, f"key = {jwk!r}", json.dumps(JWK)[:-1] + ", }"):
        assert load(text).kid == JWK["kid"]


def test_a_jwk_whose_spaces_became_pluses_is_read() -> None:
    for text in (json.dumps(JWK), json.dumps(JWK, indent=2), repr(JWK), json.dumps({"keys": [JWK, ]}), "key = " + json.dumps(JWK)[:-1] + ", }"):  # fmt: skip
        assert fingerprint(text.replace(" ", "+").replace("key+=+", "key = ")) == fingerprint(json.dumps(JWK))
    assert load(json.dumps({"private_key": pem(EC), "limit": "1e+3"}).replace(" ", "+")).algorithm == "ES256"


def test_a_jwk_in_the_usual_base64_is_read() -> None:
    usual = {name: value.replace("-", "+").replace("_", "/") if name in ("d", "x", "y") else value for name, value in JWK.items()}  # fmt: skip
    padded = {**usual, "d": usual["d"] + "="}

    assert numbers(load(json.dumps(padded)).key) == numbers(load(json.dumps(JWK)).key)


@pytest.mark.parametrize("algorithm", ["PBESv1SHA1And3KeyTripleDESCBC", "PBESv2SHA256AndAES256CBC", None])
@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
def test_the_key_of_a_pkcs12_file_is_read(key: Any, algorithm: str | None) -> None:
    from cryptography.hazmat.primitives.serialization import pkcs12

    data = p12(key, algorithm=getattr(pkcs12.PBES, algorithm) if algorithm else None)
    for text in (decode_text(data), base64.encodebytes(data).decode(), f"-----BEGIN PKCS12-----\n{base64.encodebytes(data).decode()}-----END PKCS12-----"):  # fmt: skip
        found = parse_key_text(text)
        assert numbers(load(text).key) == numbers(key)
        assert found.encrypted
        assert_masked(found, text)
    with pytest.raises(Exception, match="passphrase is wrong"):
        load(decode_text(data), "wrong")
    with pytest.raises(Exception, match="is encrypted"):
        load(decode_text(data), None)


def test_the_key_of_a_pkcs12_file_without_a_passphrase_is_read() -> None:
    assert numbers(load(decode_text(p12(RSA, None)), None).key) == numbers(RSA)


@pytest.mark.parametrize("algorithm", ["PBESv1SHA1And3KeyTripleDESCBC", "PBESv2SHA256AndAES256CBC"])
@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
def test_the_key_of_a_pkcs12_file_with_an_empty_passphrase_is_read(key: Any, algorithm: str) -> None:
    from cryptography.hazmat.primitives.serialization import pkcs12

    data = p12(key, "\0", getattr(pkcs12.PBES, algorithm))
    opened: Any = pkcs12.load_key_and_certificates(data, b"")[0]

    assert numbers(opened) == numbers(key), "cryptography writes none with an empty passphrase, but this is the same"
    assert numbers(load(decode_text(data), None).key) == numbers(key)
    assert numbers(load(parse_key_text(decode_text(data)).text.reveal(), None).key) == numbers(key)


def test_the_alg_of_a_jwk_is_the_algorithm() -> None:
    assert load(json.dumps({**RSA_JWK, "alg": "RS512"})).algorithm == "RS512"
    assert load(json.dumps({**RSA_JWK, "alg": "RS512"}), algorithm="RS512").algorithm == "RS512"
    assert load(json.dumps({**RSA_JWK, "use": "sig", "key_ops": ["sign", "verify"]})).algorithm == "RS256"
