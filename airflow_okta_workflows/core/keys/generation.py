"""New key pairs, in the formats of Okta's console."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

if TYPE_CHECKING:
    from collections.abc import Mapping

KeyType = Literal["rsa2048", "rsa4096", "p256"]

_RSA_BITS = {"rsa2048": 2048, "rsa4096": 4096}
_PUBLIC_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}
"""Public members of a JWK, in the order of its thumbprint (RFC 7638)."""


def generate_jwk(key_type: KeyType = "p256") -> dict[str, Any]:
    """Generate a private key as a JWK (RFC 7517), with its thumbprint (RFC 7638) as its kid.

    :param key_type: ``rsa2048``, ``rsa4096`` or ``p256``
    """
    while True:
        jwk = _new_jwk(key_type)
        kid = _thumbprint(jwk)
        # As the value of --key-id on a command line, a kid that starts with a hyphen would be parsed as an option.
        if not kid.startswith("-"):
            return {"kid": kid, **jwk}


def thumbprint(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
) -> str:
    """Return the thumbprint of a key (RFC 7638), which :func:`generate_jwk` uses as the kid.

    :param key: an RSA or EC key, private or public
    """
    algorithm = jwt.algorithms.ECAlgorithm if hasattr(key, "curve") else jwt.algorithms.RSAAlgorithm
    public_key: Any = key.public_key() if hasattr(key, "public_key") else key
    return _thumbprint(algorithm.to_jwk(public_key, as_dict=True))


def public_jwk(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public half of a JWK as Okta's console accepts it: a signing key with its kid.

    :param jwk: the private JWK
    """
    return {"kid": jwk["kid"], "use": "sig", **_public_members(jwk)}


def pem_of(jwk: Mapping[str, Any]) -> str:
    """Return a private JWK as an unencrypted PKCS#8 PEM.

    :param jwk: the private JWK
    """
    algorithm = jwt.algorithms.ECAlgorithm if jwk["kty"] == "EC" else jwt.algorithms.RSAAlgorithm
    private_key: Any = algorithm.from_jwk(dict(jwk))
    pem: bytes = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()


def _new_jwk(key_type: KeyType) -> dict[str, Any]:
    if key_type == "p256":
        return jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS[key_type])
    return jwt.algorithms.RSAAlgorithm.to_jwk(private_key, as_dict=True)


def _public_members(jwk: Mapping[str, Any]) -> dict[str, Any]:
    return {name: jwk[name] for name in _PUBLIC_MEMBERS[jwk["kty"]]}


def _thumbprint(jwk: Mapping[str, Any]) -> str:
    text = json.dumps(_public_members(jwk), separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
