"""One private key as a string: its normalized form, its fingerprint, and the parts to mask in logs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import Secret

# Separators in a pasted key: white space, escaped newlines, quotes, BEGIN and END lines, and punctuation of headers.
_PIECES = lazy_pattern(r"(?:\s|\\+[rn]?|%0[ADad]|%20|-----[A-Za-z ]+-----|[\"',:])+")
_HARMLESS = lazy_pattern(r"Proc-Type|ENCRYPTED|DEK-Info|[A-Z0-9-]+-CBC.*")
JWK_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "k")
_MIN_MASKED = 8
"""Fewest characters to mask; a shorter fragment reveals nothing, and masking it would hide unrelated log text."""


@dataclass(frozen=True)
class KeyText:
    """One private key as a string, normalized but not parsed.

    :param form: the format: ``pem`` or ``jwk``
    :param text: the normalized PEM, or the compact JSON of the JWK
    :param pasted: the strings in which the key was pasted: its own, then those that it was decoded from
    :param kid: the key id in the JWK; None for a JWK without one, or a PEM
    :param algorithm: the ``alg`` of the JWK; None for a JWK without one, or a PEM
    :param encrypted: whether a passphrase is needed
    :param unusual_encryption: the encryption if it may not be supported; empty if it is usual, or if there is none
    :param derivation_rounds: rounds of the key derivation that decrypts it; 0 if it is not encrypted
    :param source: where the key was found, for error messages; empty if unknown
    :param beside: other private keys, and other forms of this one, in the same pasted string: they are masked, too
    """

    form: Literal["pem", "jwk"]
    text: Secret
    pasted: tuple[Secret, ...] = ()
    kid: str | None = None
    algorithm: str | None = None
    encrypted: bool = False
    unusual_encryption: str = ""
    derivation_rounds: int = 0
    source: str = ""
    beside: tuple[KeyText, ...] = ()

    def decoded_from(self, text: str) -> KeyText:
        """Return this key with one more string to mask, unless the parts of this key are in that string as they are.

        :param text: a string that the key was decoded from, for example with URL encoding
        """
        if self.pasted and all(piece in text for piece in _pieces(self.pasted[-1])):
            return self
        if "BEGIN" in text and "END" in text:
            text = text[text.find("BEGIN") : text.rfind("END")]
        return replace(self, pasted=(*self.pasted, Secret(text)))

    def fingerprint(self, passphrase: Secret | None) -> str:
        """Return a hash that identifies this key and passphrase and reveals nothing about them.

        :param passphrase: the key's passphrase, if there is one
        """
        return self.derive(passphrase, "okta-workflows fingerprint").hex()

    def derive(self, passphrase: Secret | None, purpose: str) -> bytes:
        """Return 32 bytes that only a holder of this key and passphrase can derive (HKDF, RFC 5869).

        :param passphrase: the key's passphrase, if there is one
        :param purpose: what the bytes are for; each purpose has different bytes
        """
        pepper = passphrase.reveal() if passphrase else ""
        material = self.text.reveal().encode() + b"\0" + pepper.encode("utf-8", "surrogatepass")
        return _hkdf(material, purpose)

    def secret_forms(self) -> tuple[str, ...]:
        """Return the strings to mask so that logs show no part of this key, in whatever form it is printed.

        There are as few as possible, since each one slows down every log line. Masking a PEM line by line also masks
        it as a whole, with escaped newlines or without any.
        """
        text = self.text.reveal()
        if self.form == "jwk":
            members = json.loads(text)
            parts = [members[name] for name in JWK_PRIVATE_MEMBERS if isinstance(members.get(name), str)]
        else:
            parts = [line for line in text.splitlines() if not line.startswith("-----") and ":" not in line]
        layers = [_pieces(layer) for layer in self.pasted]
        if layers and "".join(layers[0]) == "".join(parts) and _uncovered(layers[0], parts):
            # The pasted PEM has another line width. Masks of both widths would overlap and leave remainders visible, so
            # only the pasted lines are masked; the normalized ones are never printed.
            parts = layers[0]
        uncovered = _uncovered([piece for layer in layers for piece in layer], parts)
        others = (form for key in self.beside for form in key.secret_forms())
        return tuple(dict.fromkeys(part for part in (*parts, *uncovered, *others) if len(part) >= _MIN_MASKED))


def _pieces(pasted: Secret) -> list[str]:
    return [piece for piece in _PIECES.split(pasted.reveal()) if not _HARMLESS.fullmatch(piece)]


def _hkdf(material: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(material)


# OpenSSL takes 2 ms to initialize at its first use in a process. A worker that imports the hook before it forks pays
# that once for all its tasks.
_hkdf(b"", "")


def _uncovered(pieces: list[str], masked: list[str]) -> list[str]:
    """Return the pieces in which masking leaves too many characters visible.

    :param pieces: the pieces of the pasted key
    :param masked: the strings to mask
    """
    # Few lengths occur: all lines of a PEM but the last have the same, and a JWK has few members.
    parts, lengths = set(masked), sorted({len(part) for part in masked}, reverse=True)
    return [piece for piece in pieces if _too_much_is_left(piece, parts, lengths)]


def _too_much_is_left(piece: str, parts: set[str], lengths: list[int]) -> bool:
    at = left = 0
    while at < len(piece) and left < _MIN_MASKED:
        length = next((length for length in lengths if piece[at : at + length] in parts), 0)
        at += length or 1
        left += not length
    return left >= _MIN_MASKED
