from __future__ import annotations

import base64
import datetime
import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.keys.encodings import decode_text
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.core.keys.parsing import KeyText, parse_key_text
from airflow_okta_workflows.core.keys.signing import SigningKey, load_signing_key
from airflow_okta_workflows.core.secret import Secret
from tests.unit.core.keys.key_forms import p12

if TYPE_CHECKING:
    from collections.abc import Callable

Encoding, Format = serialization.Encoding, serialization.PrivateFormat
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
PASSPHRASE = "correct horse battery staple"


def pem(key: Any, form: Any = Format.PKCS8, passphrase: str | None = None) -> str:
    encryption: Any = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    text: bytes = key.private_bytes(Encoding.PEM, form, encryption)
    return text.decode()


PEMS = {
    "rsa-pkcs8": pem(RSA),
    "rsa-pkcs1": pem(RSA, Format.TraditionalOpenSSL),
    "ec-pkcs8": pem(EC),
    "ec-sec1": pem(EC, Format.TraditionalOpenSSL),
}
ENCRYPTED = {
    "rsa-pkcs8": pem(RSA, Format.PKCS8, PASSPHRASE),
    "rsa-pkcs1": pem(RSA, Format.TraditionalOpenSSL, PASSPHRASE),
    "ec-pkcs8": pem(EC, Format.PKCS8, PASSPHRASE),
    "ec-sec1": pem(EC, Format.TraditionalOpenSSL, PASSPHRASE),
}
JWK = generate_jwk("rsa2048")
EC_JWK = generate_jwk("p256")

MANGLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "literal \\n": lambda text: text.replace("\n", "\\n"),
    "doubly escaped": lambda text: text.replace("\n", "\\\\n"),
    "literal \\r\\n": lambda text: text.replace("\n", "\\r\\n"),
    "newlines lost": lambda text: text.replace("\n", ""),
    "newlines to spaces": lambda text: text.replace("\n", " "),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "blanks around": lambda text: f"\n \t{text}\n\n ",
    "indented": lambda text: text.replace("\n", "\n    "),
    "quoted": lambda text: f'"{text}"',
    "a BOM before": lambda text: "\ufeff" + text,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, wrapped": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64, URL-safe, unpadded": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
}


def load(text: str, passphrase: str | None = None, **kwargs: Any) -> SigningKey:
    return load_signing_key(parse_key_text(text), passphrase=Secret(passphrase) if passphrase else None, **kwargs)


def fault(text: str, passphrase: str | None = None, **kwargs: Any) -> CoreError:
    with pytest.raises(CoreError) as caught:
        load(text, passphrase, **kwargs)
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert_no_piece(str(caught.value), text)
    assert caught.value.__context__ is None, "the context may hold the whole key"
    return caught.value


def assert_no_piece(message: str, text: str) -> None:
    for piece in re.findall(r"[A-Za-z0-9+/_-]{12,}", text):
        if piece not in ("okta.workflows.invoke.manage",):
            assert piece not in message


@pytest.mark.parametrize("mangle", MANGLINGS.values(), ids=MANGLINGS)
@pytest.mark.parametrize("name", PEMS)
def test_a_pem_is_read_however_it_was_pasted(name: str, mangle: Any) -> None:
    expected = ("RS256", "RSA 2048") if name.startswith("rsa") else ("ES256", "EC P-256")

    key = load(mangle(PEMS[name]))

    assert (key.algorithm, key.description) == expected


@pytest.mark.parametrize("mangle", MANGLINGS.values(), ids=MANGLINGS)
@pytest.mark.parametrize("name", ENCRYPTED)
def test_an_encrypted_pem_is_read_however_it_was_pasted(name: str, mangle: Any) -> None:
    text = mangle(ENCRYPTED[name])

    assert parse_key_text(text).encrypted
    assert load(text, PASSPHRASE).algorithm in ("RS256", "ES256")


@pytest.mark.parametrize("mangle", MANGLINGS.values(), ids=MANGLINGS)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("jwk", [JWK, EC_JWK], ids=["rsa", "ec"])
def test_a_jwk_is_read_however_it_was_pasted(jwk: dict[str, Any], indent: int | None, mangle: Any) -> None:
    key = load(mangle(json.dumps(jwk, indent=indent)))

    assert key.kid == jwk["kid"]


@pytest.mark.parametrize(
    ("curve", "algorithm"), [(ec.SECP256R1(), "ES256"), (ec.SECP384R1(), "ES384"), (ec.SECP521R1(), "ES512")]
)
def test_each_curve_has_its_algorithm(curve: ec.EllipticCurve, algorithm: str) -> None:
    assert load(pem(ec.generate_private_key(curve))).algorithm == algorithm


def test_a_jwk_set_of_one_and_an_escaped_jwk_are_read() -> None:
    assert load(json.dumps({"keys": [JWK]})).kid == JWK["kid"]
    assert load(json.dumps(JWK).replace('"', '\\"')).kid == JWK["kid"]


def test_der_and_bare_base64_are_read() -> None:
    der = RSA.private_bytes(Encoding.DER, Format.PKCS8, serialization.NoEncryption())

    assert load(base64.b64encode(der).decode()).description == "RSA 2048"
    assert load("".join(PEMS["ec-sec1"].splitlines()[1:-1])).description == "EC P-256"


def test_a_key_is_found_beside_a_certificate_and_parameters() -> None:
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

    assert load(parameters + PEMS["ec-sec1"]).algorithm == "ES256"
    assert load(certificate() + PEMS["rsa-pkcs8"]).algorithm == "RS256"


def test_a_passphrase_for_a_plain_key_does_no_harm() -> None:
    assert load(PEMS["rsa-pkcs8"], PASSPHRASE).algorithm == "RS256"


def test_kid_and_algorithm_can_be_chosen() -> None:
    key = load(PEMS["rsa-pkcs8"], kid="mine", algorithm="RS512")

    assert (key.kid, key.algorithm) == ("mine", "RS512")


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "acme")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(RSA.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(RSA, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def public(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def openssh() -> str:
    return RSA.private_bytes(Encoding.PEM, Format.OpenSSH, serialization.NoEncryption()).decode()


def openssh_public() -> str:
    return RSA.public_key().public_bytes(Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


BROKEN: dict[str, tuple[str, str]] = {
    "empty": ("  ", "is empty"),
    "not a key": ("hello", "neither a PEM"),
    "base64 of something else": (base64.b64encode(b"\x00\xff\xfe" * 20).decode(), "neither a PEM"),
    "base64 of a text": (base64.b64encode(b"just some text, and no key").decode(), "neither a PEM"),
    "public PEM": (public(RSA), "is a public key"),
    "public key of OpenSSH": (openssh_public(), "OpenSSH public key"),
    "certificate": (certificate(), "is a certificate"),
    "OpenSSH": (openssh(), "OpenSSH's own format"),
    "another PEM": ("-----BEGIN DSA PRIVATE KEY-----\nMAA=\n-----END DSA PRIVATE KEY-----", "'DSA PRIVATE KEY'"),
    "a damaged label": ("-----BEGIN ENCRYPRIVATE KEY-----\nMAA=\n-----END ENCRYPRIVATE KEY-----", "of 16 characters"),
    "no END": (PEMS["rsa-pkcs8"].rsplit("-----END", 1)[0], "END line is missing"),
    "no BEGIN": (PEMS["rsa-pkcs8"].split("\n", 1)[1], "BEGIN line is missing"),
    "lines lost": ("\n".join([*PEMS["rsa-pkcs8"].split("\n")[:10], *PEMS["rsa-pkcs8"].split("\n")[-2:]]), "of its"),
    "DER cut": (
        base64.b64encode(base64.b64decode("".join(PEMS["ec-pkcs8"].split("\n")[1:-2]))[:50]).decode(),
        "of its",
    ),
    "not base64": (PEMS["rsa-pkcs8"].replace("a", "*"), "not base64"),
    "not a key's DER": (
        f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(b'0' + bytes([3, 1, 2, 3])).decode()}\n-----END PRIVATE KEY-----",
        "damaged or not complete",
    ),
    "DER without structure": (
        "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----",
        "does not begin as a key",
    ),
    "DER with a wild length": (
        "-----BEGIN PRIVATE KEY-----\nMIn/\n-----END PRIVATE KEY-----",
        "does not begin as a key",
    ),
    "Ed25519": (pem(ed25519.Ed25519PrivateKey.generate()), "type Ed25519"),
    "DSA": (pem(dsa.generate_private_key(2048)), "type DSA"),
    "secp256k1": (pem(ec.generate_private_key(ec.SECP256K1())), "curve secp256k1"),
    "RSA too short": (pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
    "encrypted": (ENCRYPTED["rsa-pkcs8"], "is encrypted"),
    "encrypted, traditional": (ENCRYPTED["rsa-pkcs1"].replace("\n", ""), "is encrypted"),
    "JWK cut": (json.dumps(JWK)[:200], "not a whole JSON object"),
    "JWK public": (json.dumps({k: JWK[k] for k in ("kty", "n", "e", "kid")}), "no private part"),
    "JWK symmetric": (json.dumps({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}), "'oct'"),
    "JWK OKP": (json.dumps({"kty": "OKP", "crv": "Ed25519", "d": "x", "x": "y"}), "'OKP'"),
    "JWK without modulus": (json.dumps({k: v for k, v in JWK.items() if k != "n"}), "lacks n"),
    "JWK of no texts": (json.dumps({**JWK, "n": 5}), "lacks n"),
    "JWK damaged": (json.dumps({**JWK, "d": JWK["p"]}), "damaged"),
    "JWK of an unknown curve": (json.dumps({**EC_JWK, "crv": "P-255"}), "curve 'P-255' is not supported"),
    "JWK set of two": (json.dumps({"keys": [JWK, EC_JWK]}), "2 private keys: kid "),
    "a whole file": ("x" * 200_000, "200000 characters"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_key_has_a_sentence_of_its_own(name: str) -> None:
    text, sentence = BROKEN[name]

    assert sentence in str(fault(text))


@pytest.mark.parametrize("name", ENCRYPTED)
def test_a_wrong_passphrase_says_so(name: str) -> None:
    found = fault(ENCRYPTED[name], "wrong")

    assert "passphrase is wrong" in str(found)
    assert "wrong horse" not in str(found)


def test_an_algorithm_that_does_not_fit_says_which_do() -> None:
    assert "RS256 or RS384 or RS512" in fault(PEMS["rsa-pkcs8"], algorithm="ES256").hint
    assert "ES256." in fault(PEMS["ec-sec1"], algorithm="RS256").hint


def test_a_key_whose_parts_do_not_belong_together_never_signs() -> None:
    # A flipped bit in the private exponent: the structure is whole, the signatures are worthless.
    numbers = RSA.private_numbers()
    damaged = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d ^ 4, numbers.dmp1 ^ 4, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)

    assert "damaged" in str(fault(pem(damaged)))


@pytest.mark.parametrize(
    "kid", [EC_JWK["d"], "x" + EC_JWK["d"], "x" * 101, "two\nlines"], ids=["d", "d in it", "long", "lines"]
)
def test_a_kid_that_could_be_the_key_is_refused(kid: str) -> None:
    for text in (json.dumps({**EC_JWK, "kid": "k"}), pem_of(EC_JWK)):
        with pytest.raises(CoreError, match=f"The kid is a value of {len(kid)} characters"):
            load(text, kid=kid)
    with pytest.raises(CoreError, match="which no kid is"):
        load(json.dumps({**EC_JWK, "kid": kid}))


def rewrapped(text: str, width: int) -> str:
    head, *body, tail = text.strip().splitlines()
    return "\n".join([head, *textwrap.wrap("".join(body), width), tail])


PASTES: dict[str, str] = {
    **{f"{name}, {how}": mangle(text) for name, text in PEMS.items() for how, mangle in MANGLINGS.items()},
    **{f"jwk, {how}": mangle(json.dumps(JWK, indent=1)) for how, mangle in MANGLINGS.items()},
    "encrypted": ENCRYPTED["rsa-pkcs1"],
    "76 columns": rewrapped(PEMS["rsa-pkcs8"], 76),
    "48 columns": rewrapped(PEMS["rsa-pkcs8"], 48),
}


@pytest.mark.parametrize("name", PASTES)
def test_masking_its_parts_hides_a_key_in_every_form(name: str) -> None:
    paste = PASTES[name]
    key = parse_key_text(paste)
    forms = key.secret_forms()
    tidy = key.text.reveal()
    body = [line for line in tidy.splitlines() if "-----" not in line and ":" not in line]
    printed = [paste, repr(paste), json.dumps({"key": paste}), paste.strip(), *paste.splitlines()]
    if "columns" not in name:
        printed += [tidy, repr(tidy), tidy.replace("\n", "\\n"), "".join(body), *body]

    for text in printed:
        left = text
        for form in sorted(forms, key=len):  # the least favourable order
            left = left.replace(form, "***")
        for public in (JWK["n"], JWK["kid"]):
            left = left.replace(public, "")
        left = re.sub(r"DEK-Info: \S+", "", left)
        assert not re.findall(r"[A-Za-z0-9+/_=]{12,}", left)
    assert len(forms) <= len(body) + len(paste.splitlines()) + 6


def test_the_members_of_a_jwk_are_masked_each() -> None:
    assert {JWK[name] for name in ("d", "p", "q", "dp", "dq", "qi")} <= set(
        parse_key_text(json.dumps(JWK)).secret_forms()
    )


def test_neither_repr_nor_pickle_shows_a_key() -> None:
    import pickle

    key = parse_key_text(PEMS["rsa-pkcs8"])
    line = PEMS["rsa-pkcs8"].splitlines()[3]

    assert line not in repr(key)
    assert line not in str(vars(key))
    assert "RSAPrivateKey" not in repr(load(PEMS["rsa-pkcs8"]))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)


def test_a_fingerprint_tells_keys_and_passphrases_apart() -> None:
    rsa_key, ec_key = parse_key_text(PEMS["rsa-pkcs8"]), parse_key_text(PEMS["ec-pkcs8"])
    prints = [
        rsa_key.fingerprint(None),
        rsa_key.fingerprint(Secret("a")),
        rsa_key.fingerprint(Secret("b")),
        ec_key.fingerprint(None),
    ]

    assert len(set(prints)) == 4
    assert parse_key_text(PEMS["rsa-pkcs8"].replace("\n", "\\n")).fingerprint(None) == prints[0]


@given(
    st.one_of(st.text(), st.text().map(lambda text: "{" + text), st.binary().map(base64.b64encode).map(bytes.decode))
)
def test_any_text_is_a_key_or_a_fault(text: str) -> None:
    _only_faults(text)


@given(
    st.one_of(
        st.binary(),
        st.tuples(st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"0\x80", b"-\0"]), st.binary()).map(
            b"".join
        ),
        st.tuples(st.just(p12(RSA)), st.integers(0, 1500), st.binary(max_size=3)).map(
            lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + 3 :]
        ),
    )
)
def test_any_file_is_a_key_or_a_fault(data: bytes) -> None:
    _only_faults(decode_text(data))


KEY_OR_TEXT = st.sampled_from([*PEMS.values(), json.dumps(EC_JWK), PEMS["ec-sec1"][:90], "/a/key.pem"]) | st.text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | KEY_OR_TEXT | st.just(EC_JWK),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    VALUES,
    st.sampled_from(
        [json.dumps, repr, lambda value: base64.b64encode(repr(value).encode("utf-8", "replace")).decode()]
    ),
)
def test_any_json_is_a_key_or_a_fault(value: Any, write: Callable[[Any], str]) -> None:
    _only_faults(write(value))


@given(
    st.sampled_from([*PEMS.values(), *ENCRYPTED.values(), json.dumps(JWK), json.dumps(EC_JWK)]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 40), st.text(max_size=3)), min_size=1, max_size=4),
)
def test_any_damage_to_a_key_is_a_key_or_a_fault(text: str, cuts: list[tuple[int, int, str]]) -> None:
    for start, length, put in cuts:
        text = text[:start] + put + text[start + length :]
    _only_faults(text)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "n", "e", "d", "p", "q", "dp", "dq", "qi", "crv", "x", "y", "kid", "oth"]),
        st.one_of(
            st.none(),
            st.integers(),
            st.text(max_size=8),
            st.sampled_from(["RSA", "EC", "P-256", "AQAB", EC_JWK["x"], JWK["n"], JWK["d"]]),
        ),
    )
)
def test_any_jwk_is_a_key_or_a_fault(jwk: dict[str, Any]) -> None:
    _only_faults(json.dumps(jwk))


def _only_faults(text: str) -> None:
    try:
        key = parse_key_text(text)
        assert isinstance(key, KeyText)
        load_signing_key(key, passphrase=Secret(PASSPHRASE))
    except CoreError as found:
        assert_no_piece(str(found), text)


def test_pem_of_gives_the_same_key() -> None:
    assert load(pem_of(JWK)).description == "RSA 2048"
    assert load(pem_of(EC_JWK)).description == "EC P-256"
