"""Seal texts under a key that only who has the private key can derive, so that they may lie in the open."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


def encrypt(data: bytes, key: bytes, context: bytes) -> bytes:
    """Encrypt and authenticate data (AES-256 in GCM, NIST SP 800-38D).

    :param data: what is sealed
    :param key: 32 bytes
    :param context: what it is for; it opens only with the same
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, data, context)


def decrypt(sealed: bytes, key: bytes, context: bytes) -> bytes | None:
    """Return what was sealed; None if it is damaged, or was sealed under another key or for something else.

    :param sealed: what :func:`seal` gave
    :param key: 32 bytes
    :param context: what it is for
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError):
        return None
