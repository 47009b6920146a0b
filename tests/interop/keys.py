"""Keys of jwcrypto, and the forms in which they are exported; RFC vectors that its package carries."""

from __future__ import annotations

import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import jwcrypto
from cryptography.hazmat.primitives import serialization
from jwcrypto.jwk import JWK

ALGORITHMS = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
}
"""Type or curve of the key that each algorithm takes."""
PASSPHRASE = "correct horse battery staple"


def new_key(kind: str) -> JWK:
    """Generate a key: RSA of 2048 bits, or EC on a curve."""
    made = JWK.generate(kty="RSA", size=2048) if kind == "RSA" else JWK.generate(kty="EC", crv=kind)
    return JWK(**made.export(as_dict=True), kid=made.thumbprint())


KEYS = {kind: new_key(kind) for kind in ("RSA", "P-256", "P-384", "P-521")}


def _traditional(key: JWK) -> str:
    loaded: Any = serialization.load_pem_private_key(key.export_to_pem(private_key=True, password=None), None)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem: bytes = loaded.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode()


def _pkcs8(key: JWK, passphrase: str | None = None) -> str:
    password = passphrase.encode() if passphrase else None
    pem: bytes = key.export_to_pem(private_key=True, password=password)
    return pem.decode()


FORMS = {
    "JWK": lambda key: str(key.export()),
    "JWK set": lambda key: json.dumps({"keys": [key.export(as_dict=True)]}),
    "PKCS#8": _pkcs8,
    "PKCS#8 on one line": lambda key: _pkcs8(key).replace("\n", "\\n"),
    "PKCS#8, encrypted": lambda key: _pkcs8(key, PASSPHRASE),
    "PKCS#1 or SEC1": _traditional,
}
"""Private keys as jwcrypto exports them, and PKCS#1 and SEC1 as OpenSSL writes them."""


@cache
def cookbook() -> dict[str, Any]:
    """Return the names of the tests that jwcrypto's package carries for RFC 7520."""
    return runpy.run_path(str(Path(jwcrypto.__file__).with_name("tests-cookbook.py")))
