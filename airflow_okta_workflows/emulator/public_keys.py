"""Public keys in the formats that users have, for a local org that knows only the public half of a key."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.keys.algorithms import EC_ALGORITHMS
from airflow_okta_workflows.core.keys.generation import thumbprint
from airflow_okta_workflows.core.keys.rsa_numbers import require_size

if TYPE_CHECKING:
    from collections.abc import Mapping

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

MAX_BYTES = 100_000
"""Maximum size of a public key in bytes; a larger file is not a key."""

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_FORMS = "OKW-1911: Give a PEM public key, a certificate, a JWK or a JWK set."
_PRIVATE = "This is a private key, and a public one is enough: nothing here may sign with it."
_PUBLIC_OF_PEM = "OKW-1910: Give the public part, which this command prints: openssl pkey -in FILE -pubout"
_PUBLIC_OF_JWK = (
    "OKW-1909: Give the public part, which this command prints: jq 'del(.. | .d?, .p?, .q?, .dp?, .dq?,"
    " .qi?, .oth?)' FILE"
)
_DAMAGED = "The public key cannot be read: it is damaged, or not complete."


def parse_public_keys(data: bytes | str | Mapping[str, Any]) -> dict[str, PublicKey]:
    """Return public keys by kid.

    The kid of a key without one, such as a PEM, is its thumbprint (RFC 7638).

    :param data: a PEM public key, a certificate, both also as DER, a JWK or a JWK set
    :raises CoreError: if it is none of these, or contains a private key or a key that Okta does not accept
    """
    if not isinstance(data, (bytes, str)):
        return _from_jwks(dict(data))
    if len(data) > MAX_BYTES:
        raise configuration_error(f"The public key has more than {MAX_BYTES} bytes, more than any key.", _FORMS)
    if isinstance(data, bytes) and data[:1] == b"\x30":
        return _by_thumbprint(_from_der(data))
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    text = text.strip().strip("\ufeff\"'").strip()
    if text.startswith("{"):
        return _from_jwks(_json_object(text))
    text = re.sub(r"(?:\\r)?\\n", "\n", text)
    if "PRIVATE KEY-----" in text:
        raise configuration_error(_PRIVATE, _PUBLIC_OF_PEM)
    if "-----BEGIN " in text:
        return _by_thumbprint(_from_pem(text.encode("utf-8", "replace")))
    if re.match(r"(?:ssh-|ecdsa-sha2-)\S+ ", text):
        raise configuration_error(
            "This is an OpenSSH public key, which Okta does not take.",
            "OKW-1908: Give it as a PEM, which this command prints: ssh-keygen -e -m PKCS8 -f FILE",
        )
    raise configuration_error("This is not a public key.", _FORMS)


def _from_der(data: bytes) -> object:
    for load in (load_der_public_key, lambda data: x509.load_der_x509_certificate(data).public_key()):
        with suppress(ValueError, UnsupportedAlgorithm):
            return load(data)
    raise configuration_error("This is neither a public key nor a certificate.", _FORMS)


def _from_pem(data: bytes) -> object:
    with suppress(ValueError, UnsupportedAlgorithm):
        if b"-----BEGIN CERTIFICATE-----" in data:
            return x509.load_pem_x509_certificate(data).public_key()
        return load_pem_public_key(data)
    raise configuration_error(_DAMAGED, "OKW-1907: Copy it again, first and last line included.")


def _json_object(text: str) -> dict[str, Any]:
    # A JSONDecodeError contains the whole document, which may be a private key, so it must not become the context of
    # another error.
    value: object = None
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
    if isinstance(value, dict):
        return value
    raise configuration_error(_DAMAGED, "OKW-1906: Copy the JWK again, from { to }.")


def _from_jwks(value: dict[str, Any]) -> dict[str, PublicKey]:
    members = value.get("keys") if isinstance(value.get("keys"), list) else [value]
    jwks = [jwk for jwk in members or [] if isinstance(jwk, dict)]
    if any(not _PRIVATE_MEMBERS.isdisjoint(jwk) for jwk in jwks):
        raise configuration_error(_PRIVATE, _PUBLIC_OF_JWK)
    found: dict[str, PublicKey] = {}
    for jwk in jwks:
        if jwk.get("use", "sig") == "sig":
            for derived, key in _by_thumbprint(_from_jwk(jwk)).items():
                kid = jwk.get("kid")
                found[kid if isinstance(kid, str) and kid else derived] = key
    if not found:
        raise configuration_error("This JWK set has no key for signatures.", _FORMS)
    return found


def _from_jwk(jwk: dict[str, Any]) -> object:
    algorithms: dict[Any, Any] = {"RSA": jwt.algorithms.RSAAlgorithm, "EC": jwt.algorithms.ECAlgorithm}
    kind = jwk.get("kty")
    algorithm = algorithms.get(kind if isinstance(kind, str) else None)
    if algorithm is None:
        raise configuration_error("This JWK is neither of type RSA nor EC.", _FORMS)
    with suppress(jwt.PyJWTError, ValueError, TypeError, LookupError, AttributeError, UnsupportedAlgorithm):
        key: object = algorithm.from_jwk(jwk)
        return key
    raise configuration_error(_DAMAGED, "OKW-1906: Copy the JWK again, from { to }.")


def _by_thumbprint(key: object) -> dict[str, PublicKey]:
    """Return a key by its thumbprint, or raise if Okta does not accept such a key."""
    if isinstance(key, rsa.RSAPublicKey):
        require_size(key.key_size)
    elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in EC_ALGORITHMS:
        raise configuration_error(
            "Okta does not take a key of this type.", "OKW-1905: Use an RSA or EC key (P-256, P-384, P-521)."
        )
    return {thumbprint(key): key}
