"""Authenticated encryption of data that is stored where others can read it.

The key is derived from the connection's private key, so only its holders can decrypt the data.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


def encrypt(data: bytes, key: bytes, context: bytes) -> bytes:
    """Encrypt and authenticate data (AES-256 in GCM, NIST SP 800-38D).

    :param data: the data to encrypt
    :param key: 32 bytes
    :param context: what the data is for; decryption needs the same value
    :return: the nonce, followed by the ciphertext with its tag
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, context)


def decrypt(encrypted: bytes, key: bytes, context: bytes) -> bytes | None:
    """Return decrypted data; None if it is damaged, or was encrypted with another key or context.

    :param encrypted: the result of :func:`encrypt`
    :param key: 32 bytes
    :param context: what the data is for
    """
    try:
        return AESGCM(key).decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        return None
