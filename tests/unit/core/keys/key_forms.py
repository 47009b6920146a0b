"""One RSA and one EC key in the forms that people have, as strings and as files."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of

Encoding, Format = serialization.Encoding, serialization.PrivateFormat
PASSPHRASE = "correct horse battery staple"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
KEYS: dict[str, Any] = {"RSA": RSA, "EC": EC}
JWK = generate_jwk("p256")
RSA_JWK = generate_jwk("rsa2048")


def locked(passphrase: str | None) -> Any:
    return serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()


def pem(key: Any, form: Any = Format.PKCS8, passphrase: str | None = None) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, form, locked(passphrase))
    return text.decode()


def der(key: Any, form: Any = Format.PKCS8, passphrase: str | None = None) -> bytes:
    data: bytes = key.private_bytes(Encoding.DER, form, locked(passphrase))
    return data


def body(text: str) -> str:
    return "".join(line for line in text.splitlines() if not line.startswith("-----") and ":" not in line)


def relabelled(text: str, label: str, end: str | None = None) -> str:
    return f"-----BEGIN {label}-----\n{body(text)}\n-----END {label if end is None else end}-----\n"


def certificate(key: Any = RSA) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "acme")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def certificate_pem(key: Any = RSA) -> str:
    return certificate(key).public_bytes(Encoding.PEM).decode()


def public_pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def p12(key: Any, passphrase: str | None = PASSPHRASE, algorithm: Any = None, rounds: int = 2048) -> bytes:
    if passphrase is None:
        encryption: Any = serialization.NoEncryption()
    else:
        builder = Format.PKCS12.encryption_builder().kdf_rounds(rounds)
        encryption = (builder.key_cert_algorithm(algorithm) if algorithm else builder).build(passphrase.encode())
    return pkcs12.serialize_key_and_certificates(b"okta", key, certificate(key), [certificate(EC)], encryption)


def rounds_of(key: Any, rounds: int) -> str:
    """Return a PEM of encrypted PKCS#8 with a number of rounds, as it is in a PKCS#12 file."""
    from airflow_okta_workflows.core.keys.der import pkcs12_keys

    (data,) = pkcs12_keys(p12(key, algorithm=pkcs12.PBES.PBESv2SHA256AndAES256CBC, rounds=rounds))
    return relabelled(base64.b64encode(data).decode(), "ENCRYPTED PRIVATE KEY")


def spaces_for_pluses(text: str) -> str:
    return text.replace("+", " ")


ENCODINGS: dict[str, Callable[[str], str]] = {
    "URL-encoded": lambda text: quote(text, safe=""),
    "URL-encoded, in small letters": lambda text: quote(text, safe="").replace("%2B", "%2b").replace("%0A", "%0a"),
    "URL-encoded in part": lambda text: text.replace("+", "%2B").replace("\n", "%0A").replace("=", "%3D"),
    "URL-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "URL-encoded as a form": quote_plus,
    "base64 of a URL-encoded one": lambda text: base64.b64encode(quote_plus(text).encode()).decode(),
    "HTML": lambda text: text.replace("+", "&#43;").replace('"', "&quot;").replace("\n", "&#10;"),
    "Unicode escapes": lambda text: text.replace("+", "\\u002B").replace("/", "\\/").replace("\n", "\\n"),
    "a string of JSON": json.dumps,
    "a string of JSON, twice": lambda text: json.dumps(json.dumps(text)),
    "bytes of Python": lambda text: repr(text.encode()),
    "single quotes": lambda text: f"'{text}'",
    "typographic quotes": lambda text: "\u201c" + text.replace('"', "\u201d") + "\u201d",
    "a continued line": lambda text: text.replace("\n", "\\\n"),
    "an assignment": lambda text: f"OKTA_PRIVATE_KEY='{text}'",
    "an exported assignment": lambda text: "export OKTA_KEY=" + json.dumps(text),
    "an assignment of base64": lambda text: "OKTA_KEY = " + base64.b64encode(text.encode()).decode(),
    "YAML of base64": lambda text: "tls.key: " + base64.b64encode(text.encode()).decode(),
    "a data URL": lambda text: "data:application/x-pem-file;base64," + base64.b64encode(text.encode()).decode(),
    "an indented block of YAML": lambda text: "private_key: |\n  " + text.replace("\n", "\n  "),
    "a comment before it": lambda text: f"# the key of the app, don't lose it: 100 % secret\n{text}",
    "invisible characters": lambda text: "\u200b" + text.replace("\n", "\n\u200b") + "\u2060",
    "UTF-16 read as Latin-1": lambda text: text.encode("utf-16").decode("latin-1"),
    "UTF-16 read as UTF-8": lambda text: text.encode("utf-16").decode("utf-8", "replace"),
    "UTF-8 with a mark read as Latin-1": lambda text: text.encode("utf-8-sig").decode("latin-1"),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64, twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64, URL-encoded": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
}
FOR_PEM: dict[str, Callable[[str], str]] = {
    "pluses became spaces": spaces_for_pluses,
    "pluses and newlines became spaces": lambda text: spaces_for_pluses(text.strip().replace("\n", " ")),
    "spaces became pluses": lambda text: text.replace(" ", "+"),
    "backslashes lost": lambda text: text.strip().replace("\n", "n"),
    "dashes became typographic": lambda text: text.replace("-----", "\u2014\u2014-"),
    "the last dashes lost": lambda text: text.rstrip().rstrip("-"),
    "no spaces at all": lambda text: text.replace(" ", "").replace("\n", ""),
    "bag attributes before it": lambda text: f"Bag Attributes\n    friendlyName: okta\nKey Attributes: <No Attributes>\n{text}",
    "headers in it": lambda text: text.replace("KEY-----\n", "KEY-----\nComment: the app's\nX-Id: 7\n\n", 1),
}  # fmt: skip


AROUND: dict[str, Callable[[Any], Any]] = {
    "Vault, version 2": lambda key: {"request_id": "a1", "data": {"data": {"private_key": key}, "metadata": {"version": 3}}},
    "Vault, version 1": lambda key: {"lease_id": "", "data": {"key": key, "client_id": "0oa1b2c3d4e5f6g7h8i9"}},
    "a certificate store": lambda key: {"data": {"certificate": certificate_pem(), "private_key": key, "ca_chain": [certificate_pem(EC)]}},
    "Okta's SDK": lambda key: {"okta": {"client": {"orgUrl": "https://acme.okta.com", "clientId": "0oa", "scopes": ["okta.users.read"], "privateKey": key}}},
    "AWS": lambda key: {"ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:okta-AbCdEf", "SecretString": json.dumps({"private_key": key})},
    "AWS, the key alone": lambda key: {"Name": "okta", "SecretString": key if isinstance(key, str) else json.dumps(key)},
    "Google": lambda key: {"payload": {"data": base64.b64encode((key if isinstance(key, str) else json.dumps(key)).encode()).decode()}},
    "Kubernetes": lambda key: {"kind": "Secret", "data": {"tls.key": base64.b64encode((key if isinstance(key, str) else json.dumps(key)).encode()).decode(), "tls.crt": base64.b64encode(certificate_pem().encode()).decode()}},
    "a list": lambda key: [{"name": "okta"}, {"value": key}],
    "the same key twice": lambda key: {"current": key, "backup": key, "password": "TUlJRXZRSUJBREFOQmdrcWhraUc5dzBCQVFFRkFBU0NCS2N3"},
}  # fmt: skip
PRINTED: dict[str, Callable[[Any], str]] = {
    "JSON": json.dumps,
    "indented JSON": lambda value: json.dumps(value, indent=2),
    "Python": repr,
    "base64 of JSON": lambda value: base64.b64encode(json.dumps(value).encode()).decode(),
    "escaped JSON": lambda value: json.dumps(value).replace("\\", "\\\\").replace('"', '\\"'),
    "a comma too many": lambda value: json.dumps(value, indent=1).replace("\n}", ",\n}"),
}
WRITTEN: dict[str, Callable[[str], bytes]] = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-16 without a mark, big end first": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "UTF-32 without a mark": lambda text: text.encode("utf-32-be"),
    "UTF-16, Windows newlines": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "Latin-1": lambda text: "# Schl\u00fcssel\n".encode("latin-1") + text.encode(),
    "Windows-1252": lambda text: "# \u2013 cl\u00e9 \u2013\n".encode("cp1252") + text.encode(),
}
TEXTS: dict[str, str] = {
    "PKCS#8": pem(RSA), "PKCS#1": pem(RSA, Format.TraditionalOpenSSL), "SEC1": pem(EC, Format.TraditionalOpenSSL),
    "encrypted PKCS#8": pem(RSA, passphrase=PASSPHRASE), "encrypted PKCS#1": pem(RSA, Format.TraditionalOpenSSL, PASSPHRASE),
    "JWK": json.dumps(JWK), "JWK of RSA": json.dumps(RSA_JWK, indent=2),
}  # fmt: skip
PEM_OF_JWK = pem_of(JWK)
