"""Parsed private keys: which algorithms they sign with, and the signature of a client assertion."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

# The first signature imports it. So it is imported in a thread where there is an event loop, with the rest.
from cryptography.hazmat.backends.openssl import backend as _backend  # noqa: F401  # imported for its import alone
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.keys.algorithms import EC_ALGORITHMS, RSA_ALGORITHMS
from airflow_okta_workflows.core.keys.rsa_numbers import is_sound, require_size, rsa_key_from_jwk

if TYPE_CHECKING:
    from airflow_okta_workflows.core.keys.parsing import KeyText
    from airflow_okta_workflows.core.secret import Secret

_LONGEST_KID = 100
"""Characters; a kid is a thumbprint or a short name."""
_PROBE = {"probe": True}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class SigningKey:
    """Sign client assertions with one parsed private key.

    :param algorithm: the JWS algorithm, such as ``RS256``
    :param kid: the key id for the header, or None
    :param description: type and size, for people: ``RSA 2048`` or ``EC P-256``
    :param key: the parsed key
    """

    algorithm: str
    kid: str | None
    description: str
    key: PrivateKey = field(repr=False)

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as a signed JWT in compact form (RFC 7515, section 7.1).

        :param claims: the claims of the token
        """
        headers = {"kid": self.kid} if self.kid else None
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers=headers)


def load_signing_key(
    key_text: KeyText,
    *,
    passphrase: Secret | None = None,
    algorithm: str | None = None,
    kid: str | None = None,
) -> SigningKey:
    """Parse a private key and choose its algorithm.

    :param key_text: the key, as :func:`~airflow_okta_workflows.core.keys.parsing.parse_key_text` found it
    :param passphrase: for an encrypted PEM; ignored if the key is not encrypted
    :param algorithm: one of :data:`~airflow_okta_workflows.core.keys.algorithms.ALGORITHMS`; chosen by the key if None
    :param kid: the key id; taken from a JWK if None
    :raises CoreError: if the key cannot be read, is of an unsupported type, or does not fit the algorithm
    """
    key = _parse(key_text, passphrase)
    if isinstance(key, rsa.RSAPrivateKey):
        fitting: tuple[str, ...] = RSA_ALGORITHMS
        description = f"RSA {key.key_size}"
        require_size(key.key_size)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in EC_ALGORITHMS:
            raise configuration_error(
                f"The EC curve {key.curve.name} is not supported.", "Use P-256, P-384, P-521, or an RSA key."
            )
        fitting = (EC_ALGORITHMS[key.curve.name],)
        description = f"EC P-{key.curve.key_size}"
    else:
        kind = type(key).__name__.removesuffix("PrivateKey").lstrip("_")
        raise configuration_error(
            f"A private key of type {kind} is not supported.",
            "Use an RSA key or an EC key (P-256, P-384, P-521).",
        )
    if algorithm is not None and algorithm not in fitting:
        raise configuration_error(
            f"The algorithm {algorithm} does not fit the key, which is {description}.",
            f"Leave algorithm empty, or set it to {' or '.join(fitting)}.",
        )
    kid = kid or key_text.kid
    _require_kid(kid, key)
    signing_key = SigningKey(algorithm or fitting[0], kid, description, key)
    _require_sound(signing_key)
    return signing_key


def _parse(key_text: KeyText, passphrase: Secret | None) -> object:
    """Return whatever private key the text holds.

    Errors of the libraries are not chained: they, or the frames they come with, may hold parts of the key.
    """
    if key_text.encrypted and not passphrase:
        raise configuration_error("The private key is encrypted.", "Set key_passphrase to its passphrase.")
    error: CoreError | None = None
    key: object = None
    try:
        key = _load_jwk(key_text) if key_text.form == "jwk" else _load_asn1(key_text, passphrase)
    except UnsupportedAlgorithm:
        error = configuration_error(
            "The private key's type, curve or encryption is not supported.",
            "Use an RSA key or an EC key (P-256, P-384, P-521); encrypt it with AES, or not at all.",
        )
    except (ValueError, TypeError, KeyError, ArithmeticError, jwt.PyJWTError):
        if key_text.encrypted:
            error = configuration_error(
                "The private key cannot be decrypted: the passphrase is wrong, or the key is damaged.",
                "Check key_passphrase.",
            )
        else:
            error = configuration_error(
                "The private key cannot be read: it is damaged or not complete.",
                "Paste the key again, whole.",
            )
    if error is not None:
        raise error
    return key


def _load_asn1(key_text: KeyText, passphrase: Secret | None) -> object:
    # _require_sound finds what the library's check of the primes would, in a thousandth of the time.
    text = key_text.text.reveal()
    password = passphrase.reveal().encode() if passphrase and key_text.encrypted else None
    if key_text.form == "der":
        return serialization.load_der_private_key(base64.b64decode(text), password, unsafe_skip_rsa_key_validation=True)
    return serialization.load_pem_private_key(text.encode(), password, unsafe_skip_rsa_key_validation=True)


def _load_jwk(key_text: KeyText) -> object:
    jwk = json.loads(key_text.text.reveal())
    if jwk["kty"] == "RSA":
        if "oth" in jwk:
            raise UnsupportedAlgorithm("more than two primes")
        return rsa_key_from_jwk(jwk)
    if len(jwk["d"]) > _LONGEST_KID:
        raise ValueError
    return jwt.algorithms.ECAlgorithm.from_jwk(jwk)


# OpenSSL sets up its random numbers at their first use, for 1 to 2 ms. Whoever imports this module signs; an event loop
# imports it in a thread, and signs without that wait.
ec.generate_private_key(ec.SECP256R1())


def _require_sound(key: SigningKey) -> None:
    """Raise if a key is damaged, before anyone sees a signature of it."""
    try:
        if isinstance(key.key, rsa.RSAPrivateKey):
            sound = is_sound(key.key.private_numbers())
        else:
            # A signature on a curve is so cheap that one is made and verified.
            jwt.decode(key.sign(_PROBE), key.key.public_key(), algorithms=[key.algorithm])
            sound = True
    except (ValueError, TypeError, jwt.PyJWTError):
        sound = False
    if not sound:
        raise configuration_error(
            "The private key is damaged: what it signs does not verify.", "Paste the key again, whole."
        )


def _require_kid(kid: str | None, key: PrivateKey) -> None:
    """Raise if a kid is none: it goes to the org in the clear, and somebody may have put the private key there."""
    if kid is None:
        return
    secret = ""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        number = key.private_numbers().private_value
        secret = jwt.utils.base64url_encode(number.to_bytes((key.key_size + 7) // 8)).decode()
    if len(kid) > _LONGEST_KID or not kid.isprintable() or (secret and secret in kid):
        raise configuration_error(
            f"The kid is a value of {len(kid)} characters that is no kid.",
            "Copy it from the app's Public Keys tab, into key_id or into the JWK.",
        )
