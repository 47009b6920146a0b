"""Parsed private keys: choice of the algorithm, and signing of a client assertion."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

# cryptography imports this at the first signature. Imported here, it does not block an event loop, which imports this
# module in a thread.
from cryptography.hazmat.backends.openssl import backend as _backend  # noqa: F401  # imported only to be loaded
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.keys.algorithms import EC_ALGORITHMS, RSA_ALGORITHMS
from airflow_okta_workflows.core.keys.der import DSA, PKCS1, SEC1
from airflow_okta_workflows.core.keys.rsa_numbers import is_sound, require_size, rsa_key_from_jwk

if TYPE_CHECKING:
    from airflow_okta_workflows.core.keys.key_text import KeyText
    from airflow_okta_workflows.core.secret import Secret

_LONGEST_KID = 100
"""Most characters of a kid, which is a thumbprint or a short name."""
_PROBE = {"probe": True}
_EMPTY_PASSPHRASE = b"\0"
"""Passphrase with the same effect as an empty one, which cryptography does not accept, because HMAC and the derivation
of PKCS#12 fill a short one with zeros."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class SigningKey:
    """One parsed private key, which signs client assertions.

    :param algorithm: the JWS algorithm, such as ``RS256``
    :param kid: the key id for the JWT header, or None
    :param description: type and size, for messages: ``RSA 2048`` or ``EC P-256``
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
    """Parse a private key and choose its signature algorithm.

    :param key_text: the key from :func:`~airflow_okta_workflows.core.keys.parsing.parse_key_text`
    :param passphrase: for an encrypted PEM; ignored if the key is not encrypted
    :param algorithm: one of :data:`~airflow_okta_workflows.core.keys.algorithms.ALGORITHMS`; if None, the key decides
    :param kid: the key id; if None, that of the JWK
    :raises CoreError: if the key is damaged or cannot be decrypted, is of an unsupported type or size, or does not fit
        the algorithm, or if the kid is not plausible
    """
    key = _parse(key_text, passphrase)
    if isinstance(key, rsa.RSAPrivateKey):
        fitting: tuple[str, ...] = RSA_ALGORITHMS
        description = f"RSA {key.key_size}"
        require_size(key.key_size)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in EC_ALGORITHMS:
            raise configuration_error(
                f"The EC curve {key.curve.name} is not supported.", "OKW-1106: Use P-256, P-384, P-521, or an RSA key."
            )
        fitting = (EC_ALGORITHMS[key.curve.name],)
        description = f"EC P-{key.curve.key_size}"
    else:
        kind = type(key).__name__.removesuffix("PrivateKey").lstrip("_")
        raise configuration_error(
            f"A private key of type {kind} is not supported.",
            "OKW-1138: Use an RSA key or an EC key (P-256, P-384, P-521).",
        )
    if algorithm is not None and algorithm not in fitting:
        raise configuration_error(
            f"The algorithm {algorithm} does not fit the key, which is {description}.",
            f"OKW-1137: Leave algorithm empty, or set it to {' or '.join(fitting)}.",
        )
    if algorithm and key_text.algorithm and algorithm != key_text.algorithm:
        raise configuration_error(
            f'algorithm is {algorithm}, but the JWK\'s member "alg" is {key_text.algorithm}.',
            "OKW-1136: Leave algorithm empty, or give the JWK of a key for that algorithm.",
        )
    kid = kid or key_text.kid
    _require_kid(kid, key)
    signing_key = SigningKey(algorithm or key_text.algorithm or fitting[0], kid, description, key)
    _require_sound(signing_key)
    return signing_key


def public_numbers(key_text: KeyText) -> object | None:
    """Return the public numbers of a private key, which are the same in each of its forms; None if they are not known.

    :param key_text: the key, whose numbers are not known if it is encrypted or cannot be used
    """
    key: object = None
    with suppress(CoreError):
        key = None if key_text.encrypted else _parse(key_text, None)
    return key.public_key().public_numbers() if isinstance(key, PrivateKey) else None


def _parse(key_text: KeyText, passphrase: Secret | None) -> object:
    """Return the parsed private key, of any type.

    Errors of the libraries are not chained, since they or their frames may contain parts of the key.
    """
    error: CoreError | None = None
    key: object = None
    try:
        key = _load_jwk(key_text) if key_text.form == "jwk" else _load_pem(key_text, passphrase)
    except UnsupportedAlgorithm:
        error = configuration_error(
            "The private key's type, curve or encryption is not supported.",
            "OKW-1134: Use an RSA key or an EC key (P-256, P-384, P-521); encrypt it with AES, or not at all.",
        )
    except (ValueError, TypeError, KeyError, ArithmeticError, jwt.PyJWTError):
        if key_text.unusual_encryption:
            error = configuration_error(
                f"The private key cannot be decrypted: its encryption, {key_text.unusual_encryption}, may not be"
                " supported.",
                "OKW-1139: Encrypt it again with: openssl pkcs8 -topk8 -in FILE -out key.pem",
            )
        elif key_text.encrypted and not passphrase:
            error = configuration_error(
                "The private key is encrypted.", "OKW-1135: Set key_passphrase to its passphrase."
            )
        elif key_text.encrypted:
            error = configuration_error(
                "The private key cannot be decrypted: the passphrase is wrong, or the key is damaged.",
                "OKW-1133: Check key_passphrase.",
            )
        else:
            error = configuration_error(
                "The private key cannot be read: it is damaged or not complete.",
                "OKW-1124: Paste the key again, whole.",
            )
    if error is not None:
        raise error
    return key


def _load_pem(key_text: KeyText, passphrase: Secret | None) -> object:
    text = key_text.text.reveal()
    is_traditional = "Proc-Type" in text
    password = None
    if key_text.encrypted and passphrase:
        password = passphrase.reveal().encode("utf-8", "surrogatepass")
    elif key_text.encrypted and not is_traditional:
        # PKCS#12 files are often encrypted with an empty passphrase.
        password = _EMPTY_PASSPHRASE
    # The library's check of the primes is skipped: _require_sound finds a damaged key in a thousandth of the time.
    load = partial(serialization.load_pem_private_key, password=password, unsafe_skip_rsa_key_validation=True)
    if not is_traditional:
        return load(text.encode())
    # The label may be wrong, which only the decrypted content shows.
    label = SEC1 if SEC1 in text else PKCS1
    for other in dict.fromkeys((label, PKCS1, SEC1, DSA)):
        with suppress(ValueError, TypeError):
            return load(text.replace(label, other).encode())
    raise ValueError


def _load_jwk(key_text: KeyText) -> object:
    jwk = json.loads(key_text.text.reveal())
    if jwk["kty"] == "RSA":
        if "oth" in jwk:
            raise UnsupportedAlgorithm("more than two primes")
        return rsa_key_from_jwk(jwk)
    # A longer d is damaged: even that of P-521 has only 88 characters.
    if len(jwk["d"]) > _LONGEST_KID:
        raise ValueError
    return jwt.algorithms.ECAlgorithm.from_jwk(jwk)


# OpenSSL takes 1 to 2 ms to set up its random numbers at their first use. This module is imported only to sign, and an
# event loop imports it in a thread, so the setup does not block the loop.
ec.generate_private_key(ec.SECP256R1())


def _require_sound(key: SigningKey) -> None:
    """Raise if a key is damaged, before any of its signatures is sent."""
    try:
        if isinstance(key.key, rsa.RSAPrivateKey):
            sound = is_sound(key.key.private_numbers())
        else:
            # An EC signature is cheap enough to make and verify one.
            jwt.decode(key.sign(_PROBE), key.key.public_key(), algorithms=[key.algorithm])
            sound = True
    except (ValueError, TypeError, jwt.PyJWTError):
        sound = False
    if not sound:
        raise configuration_error(
            "The private key is damaged: what it signs does not verify.", "OKW-1124: Paste the key again, whole."
        )


def _require_kid(kid: str | None, key: PrivateKey) -> None:
    """Raise if a kid is not plausible: a JWT contains it unencrypted, and it may be a pasted private key."""
    if kid is None:
        return
    secret = ""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        number = key.private_numbers().private_value
        secret = jwt.utils.base64url_encode(number.to_bytes((key.key_size + 7) // 8)).decode()
    if len(kid) > _LONGEST_KID or not kid.isprintable() or (secret and secret in kid):
        raise configuration_error(
            f"The kid is a value of {len(kid)} characters, which no kid is.",
            "OKW-1132: Copy it from the app's Public Keys tab, into key_id or into the JWK.",
        )
