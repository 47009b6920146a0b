"""Each thing that is no usable private key has an error of its own, which names it and shows nothing of it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote_plus

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import pkcs12

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.keys.encodings import decode_text
from airflow_okta_workflows.core.keys.parsing import contains_private_key, parse_key_text
from airflow_okta_workflows.core.keys.pem import MOST_ROUNDS
from airflow_okta_workflows.core.keys.signing import load_signing_key
from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.emulator.org import PRIVATE_KEY_PLACE
from tests.unit.core.keys.key_forms import (
    EC,
    JWK,
    PASSPHRASE,
    RSA,
    RSA_JWK,
    Format,
    body,
    certificate,
    certificate_pem,
    der,
    p12,
    pem,
    public_pem,
    relabelled,
    rounds_of,
)  # fmt: skip
from tests.unit.core.keys.test_parsing import assert_no_piece


def fault(text: str, passphrase: str | None = None, **options: Any) -> CoreError:
    with pytest.raises(CoreError) as caught:
        load_signing_key(parse_key_text(text), passphrase=Secret(passphrase) if passphrase else None, **options)
    error = caught.value
    assert error.kind is ErrorKind.CONFIGURATION
    assert error.hint
    assert len(error.message) <= 120
    assert "\n" not in error.message
    assert error.__context__ is None, "the context may hold the whole key"
    for name in ("RSA-OAEP-256", "client_secret"):
        text = text.replace(name, "")
    assert_no_piece(str(error), text)
    return error


def openssh(key: Any) -> str:
    text: bytes = key.private_bytes(serialization.Encoding.PEM, Format.OpenSSH, serialization.NoEncryption())
    return text.decode()


def jwk(**members: Any) -> str:
    return json.dumps({**JWK, **members})


PUBLIC_DER = EC.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
OTHER_THINGS: dict[str, tuple[str, str]] = {
    "a public key under the label of a private one": (relabelled(public_pem(RSA), "PRIVATE KEY"), "is a public key"),
    "a certificate under the label of a private key": (relabelled(certificate_pem(), "RSA PRIVATE KEY"), "is a certificate"),
    "the base64 of a public key": (body(public_pem(EC)), "is a public key"),
    "the DER of a public key": (decode_text(PUBLIC_DER), "is a public key"),
    "the DER of a certificate": (decode_text(certificate().public_bytes(serialization.Encoding.DER)), "is a certificate"),
    "a certificate and a public key": (certificate_pem() + public_pem(RSA), "is a certificate"),
    "an escaped public key": (public_pem(RSA).replace("\n", "\\n"), "is a public key"),
    "a cut certificate": (certificate_pem()[:200], "is a certificate"),
    "an OpenSSH key": (openssh(RSA), "OpenSSH's own format"),
    "an OpenSSH key under another label": (relabelled(openssh(RSA), "PRIVATE KEY"), "OpenSSH's own format"),
    "the base64 of an OpenSSH key": (body(openssh(EC)), "OpenSSH's own format"),
    "an OpenSSH key in JSON": (json.dumps({"key": openssh(EC)}), "OpenSSH's own format"),
    "a PuTTY key": ("PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\n", "PuTTY's own format"),
    "a Java keystore": (decode_text(b"\xfe\xed\xfe\xed\0\0\0\2"), "Java keystore"),
    "a key of PGP": ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----", "'PGP PRIVATE KEY BLOCK'"),
    "Ed25519": (pem(ed25519.Ed25519PrivateKey.generate()), "type Ed25519"),
    "X25519": (pem(x25519.X25519PrivateKey.generate()), "type X25519"),
    "P-224": (pem(ec.generate_private_key(ec.SECP224R1())), "curve secp224r1"),
    "Brainpool": (pem(ec.generate_private_key(ec.BrainpoolP256R1())), "curve brainpoolP256r1"),
    "a JWK of secp256k1": (jwk(crv="secp256k1"), "curve 'secp256k1'"),
    "a JWK of Ed25519": (json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "a", "d": "b"}), "type 'OKP'"),
    "a JWK whose kid is a number": (jwk(kid=7), "lacks kid, or has a value there that is not a string"),
    "a JWK whose kid is a list": (jwk(kid=["a"]), "lacks kid, or has a value there that is not a string"),
    "a JWK to encrypt": (jwk(use="enc"), "is not for signatures: its member \"use\" is 'enc'"),
    "a JWK to verify": (jwk(key_ops=["verify"]), '"key_ops" does not include "sign"'),
    "a JWK to unwrap": (jwk(key_ops=["unwrapKey", "decrypt"]), '"key_ops" does not include "sign"'),
    "a JWK whose alg encrypts": (json.dumps({**RSA_JWK, "alg": "RSA-OAEP-256"}), "\"alg\" is 'RSA-OAEP-256'"),
    "a JWK whose alg Okta does not accept": (json.dumps({**RSA_JWK, "alg": "PS256"}), "\"alg\" is 'PS256'"),
    "a JWK whose alg is that of another type": (jwk(alg="RS256"), '"alg" is RS256, which does not fit the key'),
    "a JWK whose alg is that of another curve": (jwk(alg="ES384"), '"alg" is ES384, which does not fit the key'),
    "a set of public keys": (json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}] * 2}), "no private part"),
    "an empty set": ('{"keys": []}', "is not a JWK"),
    "a set with a damaged private key": (json.dumps({"keys": [JWK, {**RSA_JWK, "n": None}]}), "lacks n"),
    "a set of keys that encrypt": (json.dumps({"keys": [{**JWK, "use": "enc"}, {**RSA_JWK, "use": "enc"}]}), "not for signatures"),
    "an endless length": (decode_text(b"\x30\x80\x02\x01\x03\x30\x80\0\0\0\0"), "BER of indefinite length"),
    "a PKCS#12 file of certificates": (decode_text(pkcs12.serialize_key_and_certificates(b"a", None, certificate(), None, serialization.NoEncryption())), "No private key is found in this PKCS#12"),
    "a whole key and a cut one": (pem(RSA) + pem(EC)[:120], "END line is missing"),
    "a cut key before a whole one": (pem(RSA)[:120] + "\n" + pem(EC), "END line is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_THINGS)
def test_what_is_no_usable_key_is_named(name: str) -> None:
    text, sentence = OTHER_THINGS[name]

    assert sentence in fault(text).message


TWO = {
    "two PEMs": (pem(RSA) + pem(EC), "the first PEM block, the second PEM block"),
    "two PEMs and a certificate between": (pem(RSA) + certificate_pem() + pem(EC), "the first PEM block, the third PEM block"),
    "a PEM and an encrypted one": (pem(RSA) + pem(EC, passphrase=PASSPHRASE), "the first PEM block, the second PEM block"),
    "two JWKs": (json.dumps({"keys": [{**JWK, "kid": "abc"}, {**RSA_JWK, "kid": "def"}]}), "kid abc, kid def"),
    "two JWKs without kid": (json.dumps([{n: v for n, v in one.items() if n != "kid"} for one in (JWK, RSA_JWK)]), "the first JWK, the second JWK"),
    "two JWKs, one after the other": (json.dumps({**JWK, "kid": "abc"}) + "\n" + json.dumps({**RSA_JWK, "kid": "def"}), "kid abc, kid def"),
    "two members": (json.dumps({"data": {"old": pem(RSA), "new": pem(EC)}}), "data.old, data.new"),
    "a member and a JWK": (json.dumps({"a": pem(RSA), "b": {**JWK, "kid": "abc"}}), "a, kid abc"),
    "a member with two PEMs": (json.dumps({"data": {"pem": pem(RSA) + pem(EC)}}), "the first PEM block in data.pem, the second PEM block in data.pem"),
    "two PEMs in base64": (base64.b64encode((pem(RSA) + pem(EC)).encode()).decode(), "the first PEM block, the second PEM block"),
    "a PEM and a JWK": (pem(RSA) + json.dumps({**JWK, "kid": "abc"}), "the first PEM block, kid abc"),
    "a JWK and a PEM": (json.dumps({**JWK, "kid": "abc"}) + pem(RSA), "the first PEM block, kid abc"),
    "two JWKs and a comment between": (json.dumps({**JWK, "kid": "abc"}) + "\n# new\n" + json.dumps({**RSA_JWK, "kid": "def"}), "kid abc, kid def"),
    "two JWKs in YAML": (f"old: '{json.dumps({**JWK, 'kid': 'abc'})}'\nnew: '{json.dumps({**RSA_JWK, 'kid': 'def'})}'", "kid abc, kid def"),
    "two assignments of a JWK": (f"OLD='{json.dumps({**JWK, 'kid': 'abc'})}'\nNEW='{json.dumps({**RSA_JWK, 'kid': 'def'})}'", "kid abc, kid def"),
    "a PEM and DER in base64": (pem(RSA) + base64.b64encode(der(EC)).decode(), "the first PEM block, the first value in base64"),
    "DER in lines of base64 and a PEM": (base64.encodebytes(der(RSA)).decode() + "and the new key\n" + pem(EC), "the first PEM block, the first value in base64"),
    "a JWK and DER in base64": (json.dumps({**JWK, "kid": "abc"}) + "\nNEW=" + base64.b64encode(der(RSA)).decode(), "the first value in base64, kid abc"),
    "a JWK and a PEM in base64": (json.dumps({**JWK, "kid": "abc"}) + "\n" + base64.b64encode(pem(RSA).encode()).decode(), "the first PEM block in the first value in base64, kid abc"),
    "a PEM and a JWK in base64": (pem(RSA) + base64.b64encode(json.dumps({**JWK, "kid": "abc"}).encode()).decode(), "the first PEM block, kid abc in the first value in base64"),
    "two assignments of base64": (f"OLD={base64.b64encode(der(RSA)).decode()}\nNEW={base64.b64encode(der(EC)).decode()}", "the first value in base64, the second value in base64"),
    "a JWK in a PEM's comment": ("# " + json.dumps({**JWK, "kid": "abc"}) + "\n" + pem(RSA), "the first PEM block, kid abc"),
    "a URL-encoded PEM and JWK": (quote_plus(pem(RSA) + json.dumps({**JWK, "kid": "abc"})), "the first PEM block, kid abc"),
    "a PEM and a JWK that Python prints": (pem(RSA) + repr({**JWK, "kid": "abc"}), "the first PEM block, kid abc"),
    "one key under two kids": (json.dumps([{**JWK, "kid": "abc"}, {**JWK, "kid": "def"}]), "kid abc, kid def"),
    "two PEMs with escaped newlines": ((pem(RSA) + pem(EC)).replace("\n", "\\n"), "the first PEM block, the second PEM block"),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO)
def test_two_private_keys_are_refused_and_named(name: str) -> None:
    text, places = TWO[name]

    assert fault(text).message == f"There are 2 private keys: {places}."


def test_a_cut_jwk_beside_a_whole_one_is_refused() -> None:
    both = json.dumps({"keys": [JWK, RSA_JWK]})

    for text in (both[:-40], json.dumps(JWK) + json.dumps(RSA_JWK).replace('"', '\\"')[:-40]):
        assert fault(text).message == "The private key begins as a JWK but is not a whole JSON object."


def test_many_private_keys_are_counted() -> None:
    keys = [{**JWK, "kid": f"k{at}", "d": at * "A" + JWK["d"][at:]} for at in range(5)]

    assert fault(json.dumps(keys)).message == "There are 5 private keys: kid k0, kid k1, kid k2 and others."


def test_a_kid_that_could_be_a_key_is_not_shown() -> None:
    keys = [{**JWK, "kid": JWK["d"]}, RSA_JWK]

    assert JWK["d"][:9] not in fault(json.dumps(keys)).message


def test_json_without_a_key_names_its_members_and_never_their_values() -> None:
    secret = {"data": {"client_secret": "S3CRET-S3CRET", "list": [1, {"x": None}], pem(EC): "value", "y" * 60: 2}}
    error = fault(json.dumps(secret))

    assert error.message == "This JSON is not a JWK, and no member of it is a private key."
    assert "data.client_secret, data.list[0], data.list[1].x, data.…" in error.hint
    assert "S3CRET" not in str(error)
    assert "6 and 94 more" not in fault(json.dumps({"a": list(range(100))})).hint
    assert "a[5] and 94 more." in fault(json.dumps({"a": list(range(100))})).hint


PATHS = ["/opt/airflow/keys/okta.pem", "/opt/airflow/secret", "~/okta-key.jwk", "./key", "../keys/okta.p8", "okta.pem",
         "keys/okta-key.json", "file:///etc/okta.key", "C:\\keys\\okta.pem", "C:/keys/okta.pfx", "\\\\server\\keys\\okta",
         "$HOME/okta.pem", "${AIRFLOW_HOME}/okta", '"/opt/okta.pem"', " /opt/my keys/okta.pem\n", "/run/secrets/okta_private_key"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_told_apart(path: str) -> None:
    error = fault(path)

    assert error.message == "The private key is the path of a file, not a key."
    assert "set key_file to it" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "-",
        "hunter2",
        body(pem(RSA))[70:134],
        "/" + body(pem(RSA))[70:134],
        JWK["d"],
        "MOnugI7ElYc9z_pTJLnDwKr4amwG-YHQZDhg-i95hfA",
        "MDk0NTY3ODkwMTIzNDU2",
        "MIIBkongwrong",
    ],
    ids=lambda text: f"{len(text)} characters",
)
def test_what_is_neither_key_nor_path_is_said_to_be_neither(text: str) -> None:
    assert "neither a PEM" in fault(text).message


@pytest.mark.parametrize("text", [PRIVATE_KEY_PLACE, "<private key>", "'<paste it here>'", "<PRIVATE\nKEY>"])
def test_a_placeholder_is_told_apart(text: str) -> None:
    error = fault(text)

    assert error.message.startswith("The private key is a placeholder: ")
    assert PRIVATE_KEY_PLACE not in text or PRIVATE_KEY_PLACE in error.message
    assert error.hint == "OKW-1115: Paste the PEM or the JWK of the app's private key."
    assert JWK["d"] not in fault(f"<{JWK['d']}>").message


def test_the_alg_of_a_jwk_and_another_algorithm_of_the_connection_contradict() -> None:
    error = fault(json.dumps({**RSA_JWK, "alg": "RS512"}), algorithm="RS256")

    assert error.message == 'algorithm is RS256, but the JWK\'s member "alg" is RS512.'
    assert "Leave algorithm empty" in error.hint


ENCRYPTED: dict[str, str] = {
    "PKCS#8": pem(RSA, passphrase=PASSPHRASE),
    "PKCS#8 under another label": relabelled(pem(RSA, passphrase=PASSPHRASE), "RSA PRIVATE KEY"),
    "its base64 alone": body(pem(RSA, passphrase=PASSPHRASE)),
    "DER": decode_text(der(EC, passphrase=PASSPHRASE)),
    "PKCS#1": pem(RSA, Format.TraditionalOpenSSL, PASSPHRASE),
    "PKCS#12": decode_text(p12(RSA)),
    "in JSON": json.dumps({"key": pem(RSA, passphrase=PASSPHRASE)}),
}


@pytest.mark.parametrize("text", ENCRYPTED.values(), ids=ENCRYPTED)
def test_a_passphrase_that_is_missing_or_wrong_is_told(text: str) -> None:
    assert "is encrypted" in fault(text).message
    assert "key_passphrase" in fault(text).hint
    for wrong in ("wrong", "\ud800", "x" * 10_000):
        assert "the passphrase is wrong" in fault(text, wrong).message


def test_an_encrypted_dsa_key_is_named() -> None:
    text = pem(dsa.generate_private_key(2048), Format.TraditionalOpenSSL, PASSPHRASE)

    assert fault(text, PASSPHRASE).message == "A private key of type DSA is not supported."
    assert "the passphrase is wrong" in fault(text, "wrong").message


def test_many_rounds_work() -> None:
    key = parse_key_text(rounds_of(RSA, 300_000))

    assert key.derivation_rounds == 300_000
    assert load_signing_key(key, passphrase=Secret(PASSPHRASE)).description == "RSA 2048"


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes([tag, 0x82]) + len(content).to_bytes(2) + content


def algorithm(oid: str, *parameters: bytes) -> bytes:
    return element(0x30, element(6, bytes.fromhex(oid)), element(0x30, *parameters))


def number(value: int) -> bytes:
    return element(2, value.to_bytes(9))


SALT = element(4, b"saltsalt")
DERIVATIONS: dict[str, Any] = {
    "PBKDF2": lambda rounds: algorithm("2a864886f70d01050d", algorithm("2a864886f70d01050c", SALT, number(rounds)), algorithm("60864801650304012a", SALT)),
    "PBKDF2 with the key's length": lambda rounds: algorithm("2a864886f70d01050d", algorithm("2a864886f70d01050c", SALT, number(rounds), number(32)), algorithm("60864801650304012a", SALT)),
    "scrypt": lambda rounds: algorithm("2a864886f70d01050d", algorithm("2b06010401da47040b", SALT, number(rounds // 4 // 8), number(8), number(1)), algorithm("60864801650304012a", SALT)),
    "scrypt in parallel": lambda rounds: algorithm("2a864886f70d01050d", algorithm("2b06010401da47040b", SALT, number(2), number(1), number(rounds // 8)), algorithm("60864801650304012a", SALT)),
    "PKCS#12": lambda rounds: algorithm("2a864886f70d010c0103", SALT, number(rounds)),
    "MD5": lambda rounds: algorithm("2a864886f70d010503", SALT, number(rounds)),
}  # fmt: skip


@pytest.mark.parametrize("derivation", DERIVATIONS.values(), ids=DERIVATIONS)
def test_too_many_rounds_are_refused_before_any_is_done(derivation: Any) -> None:
    def encrypted(rounds: int) -> str:
        return base64.b64encode(element(0x30, derivation(rounds), element(4, b"x" * 64))).decode()

    assert parse_key_text(encrypted(MOST_ROUNDS)).derivation_rounds == MOST_ROUNDS
    for rounds in (MOST_ROUNDS + 128, 2**31, 2**64):
        for text in (encrypted(rounds), relabelled(encrypted(rounds), "RSA PRIVATE KEY")):
            error = fault(text, PASSPHRASE)
            assert error.message == "The private key's encryption takes more than 10,000,000 rounds of key derivation."
            assert "openssl pkcs8 -topk8" in error.hint


def test_an_encryption_whose_rounds_are_not_found_is_refused() -> None:
    unknown = element(0x30, algorithm("2a864886f70d01050d", SALT), element(4, b"x" * 64))

    assert fault(base64.b64encode(unknown).decode(), PASSPHRASE).message.endswith("encryption is not supported.")


UNUSUAL = {
    "2a83088c9a4b3d0101010104": "Camellia",
    "2a831a8c9a6e0101010c": "ARIA",
    "60864801650304012b": "AES in a mode that is not CBC",
    "2a811ccf550168 02": "SM4",
    "2b0601040182370a": "1.3.6.1.4.1.311.10",
}


@pytest.mark.parametrize("oid", UNUSUAL)
def test_a_cipher_of_pkcs8_that_is_not_supported_is_not_taken_for_a_wrong_passphrase(oid: str) -> None:
    derivation = algorithm("2a864886f70d01050c", SALT, number(2048))
    data = element(0x30, algorithm("2a864886f70d01050d", derivation, algorithm(oid, SALT)), element(4, b"x" * 64))
    text = base64.b64encode(data).decode()
    for written in (text, relabelled(text, "PRIVATE KEY")):
        for passphrase in (PASSPHRASE, None):
            error = fault(written, passphrase)

            assert error.message == (
                f"The private key cannot be decrypted: its encryption, {UNUSUAL[oid]}, may not be supported."
            )
            assert "openssl pkcs8 -topk8" in error.hint


def test_a_hash_function_of_pkcs8_that_is_not_supported_is_told() -> None:
    md5 = element(0x30, element(6, bytes.fromhex("2a864886f70d0206")), element(5))
    derivation = algorithm("2a864886f70d01050c", SALT, number(2048), md5)
    cipher = algorithm("60864801650304012a", SALT)
    data = element(0x30, algorithm("2a864886f70d01050d", derivation, cipher), element(4, b"x" * 64))

    assert "its encryption, 1.2.840.113549.2.6, may not" in fault(base64.b64encode(data).decode(), PASSPHRASE).message


@pytest.mark.parametrize(
    ("cipher", "message"),
    [
        ("AES-192-CBC,82AE4C810C9CF67736F256DEDFD6908E", "its encryption, AES-192-CBC, may not be supported"),
        ("DES-CBC,B3FC025CBF4DFB62", "its encryption, DES-CBC, may not be supported"),
        ("CAMELLIA-128-CBC,E6EBB46BD582BC7B09F50523004DEFDA", "The private key's encryption is not supported"),
        ("id-aes256-GCM,4071BCFFB5B7CE18CEBFE901", "The private key's encryption is not supported"),
    ],
)
def test_a_cipher_that_is_not_supported_is_not_taken_for_a_wrong_passphrase(cipher: str, message: str) -> None:
    text = re.sub("DEK-Info: .*", f"DEK-Info: {cipher}", pem(EC, Format.TraditionalOpenSSL, PASSPHRASE))
    for written in (text, text.replace("\n", "\r\n"), text.replace("\n", " ")):
        error = fault(written, PASSPHRASE)

        assert message in error.message
        assert "openssl pkcs8 -topk8" in error.hint


def test_a_search_for_keys_finds_each_form_and_nothing_that_is_none() -> None:
    for text in [pem(RSA), json.dumps(JWK), *ENCRYPTED.values(), pem(EC).replace("\n", "\\n"), pem(RSA) + pem(EC)]:
        assert contains_private_key(text)
    for text in [certificate_pem(), public_pem(EC), "hello", "", "x" * 200_000, certificate_pem() * 50]:
        assert not contains_private_key(text)
