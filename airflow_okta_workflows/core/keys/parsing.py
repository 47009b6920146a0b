r"""Recognition of private keys as users paste them, normalized to a PEM, a JWK or DER.

Okta's console shows a JWK by default and offers a PEM; connection forms drop newlines, shells turn them into
``\n``, secret stores encode values in base64. Recognizing a key is cheap. The key itself is parsed in
:mod:`airflow_okta_workflows.core.keys.signing`, and only when something has to be signed.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.secret import Secret, shown

MAX_KEY_CHARS = 100_000
"""Maximum length of a pasted key; a longer string is some other file."""

_MARKER = re.compile(r"-----(BEGIN|END) ([A-Z0-9 ]+)-----")
_PRIVATE_LABELS = ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")
# No pattern may start to match at every character of a long run, since that takes quadratic time.
_ESCAPED_NEWLINE = re.compile(r"(?<!\\)(?:\\+[rn])+")
# RFC 1421 headers of an encrypted traditional key. The IV is as long as the cipher's block; only that length separates
# it from the base64 that follows if the newlines are lost.
_ENCRYPTION = re.compile(
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*"
    r"((?:AES-\d+-CBC),[0-9A-Fa-f]{32}|(?:DES-EDE3-CBC|DES-CBC),[0-9A-Fa-f]{16})"
)
# Separators in a pasted key: white space, escaped newlines, quotes, BEGIN and END lines, and punctuation of headers.
_PIECES = re.compile(r"(?:\s|\\+[rn]?|-----[A-Z ]+-----|[\"',:])+")
_HARMLESS = re.compile(r"Proc-Type|ENCRYPTED|DEK-Info|[A-Z0-9-]+-CBC.*")
_JWK_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "k")
_MIN_MASKED = 8
"""Characters; a shorter fragment reveals nothing, and masking it would hide unrelated parts of the logs."""

_NONE = Secret("")


@dataclass(frozen=True)
class KeyText:
    """One private key as a string, normalized but not parsed.

    :param form: the format: ``pem``, ``jwk`` or ``der``
    :param text: the normalized PEM, the compact JSON of the JWK, or the base64 of the DER
    :param pasted: the string as it was pasted
    :param kid: the key id in the JWK; None for a JWK without one, a PEM or DER
    :param encrypted: whether a passphrase is needed; known for a PEM, False for a JWK and for DER
    :param source: where the key was found, for people; empty if unknown
    """

    form: Literal["pem", "jwk", "der"]
    text: Secret
    pasted: Secret = _NONE
    kid: str | None = None
    encrypted: bool = False
    source: str = ""

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
        text, pasted = self.text.reveal(), self.pasted.reveal()
        if self.form == "jwk":
            members = json.loads(text)
            parts = [members[name] for name in _JWK_PRIVATE_MEMBERS if isinstance(members.get(name), str)]
            pieces = [] if "{" in pasted else pasted.split()
        else:
            parts = [line for line in text.splitlines() if not line.startswith("-----") and ":" not in line]
            pieces = [piece for piece in _PIECES.split(pasted) if not _HARMLESS.fullmatch(piece)]
        uncovered = _uncovered(pieces, parts)
        if uncovered and "".join(pieces) == "".join(parts):
            # The pasted PEM has another line width. Masks of both widths would overlap and leave remainders visible, so
            # only the pasted lines are masked; the normalized ones are never printed.
            parts, uncovered = [], pieces
        return tuple(dict.fromkeys(part for part in (*parts, *uncovered) if len(part) >= _MIN_MASKED))


def _hkdf(material: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(material)


# OpenSSL takes 2 ms to initialize at its first use in a process. A worker that imports the hook before it forks pays
# that once for all its tasks.
_hkdf(b"", "")


def parse_key_text(text: str) -> KeyText:
    r"""Return the private key in a pasted string.

    Accepts PEM (PKCS#8, PKCS#1, SEC1, encrypted or not) and JWK, with literal ``\n``, newlines lost or turned into
    spaces, CRLF, surrounding spaces or quotes, a certificate beside the key, or base64 around any of these; also DER
    in base64.

    :param text: the string as it was pasted or read from a file
    :raises CoreError: if it contains no usable private key; the message says what was found instead
    """
    if len(text) > MAX_KEY_CHARS:
        raise configuration_error(
            f"The private key is {len(text)} characters long, which no key is.", "Give the key alone."
        )
    return replace(_read(text, wrapped=False), pasted=Secret(text))


def _read(text: str, *, wrapped: bool) -> KeyText:
    text = text.strip().strip("\ufeff\"'").strip()
    if not text:
        raise configuration_error("The private key is empty.", "Paste the PEM or the JWK of the app's private key.")
    if text.startswith("{"):
        return _read_jwk(text)
    if "-----BEGIN" in text or "-----END" in text:
        return _read_pem(_ESCAPED_NEWLINE.sub("\n", text))
    if re.match(r"(ssh-(rsa|ed25519|dss)|ecdsa-sha2-\S+) ", text):
        raise configuration_error("This is an OpenSSH public key.", "Give the private key, as a PEM or a JWK.")
    if not wrapped and (decoded := _unwrap_base64(text)) is not None:
        return decoded
    raise configuration_error(
        "The private key is neither a PEM (-----BEGIN PRIVATE KEY-----) nor a JWK ({...}).",
        "Paste the whole key, first and last line included.",
    )


def _unwrap_base64(text: str) -> KeyText | None:
    data = _decode_base64(_ESCAPED_NEWLINE.sub("", text))
    if data is None:
        return None
    if data[:1] == b"\x30":
        _require_whole_der(data)
        return KeyText("der", Secret(base64.b64encode(data).decode()))
    try:
        inner = data.decode()
    except UnicodeDecodeError:
        return None
    return _read(inner, wrapped=True)


def _decode_base64(text: str) -> bytes | None:
    compact = re.sub(r"\s+", "", text).translate(str.maketrans("-_", "+/")).rstrip("=")
    if not compact:
        return None
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _read_pem(text: str) -> KeyText:
    blocks = _pem_blocks(text)
    label = next((label for label in blocks if label in _PRIVATE_LABELS), None)
    if label is None:
        raise _not_a_private_key(text, set(blocks))
    body = blocks[label]
    headers = ""
    if encryption := _ENCRYPTION.match(body):
        headers = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {encryption[1]}\n\n"
        body = body[encryption.end() :]
    data = _decode_base64(body)
    if data is None:
        raise configuration_error(
            "The private key is damaged: between its BEGIN and END lines there is something that is not base64,"
            " or a part is missing.",
            "Paste the key again, whole.",
        )
    encrypted = bool(headers) or label.startswith("ENCRYPTED")
    if not headers:
        _require_whole_der(data)
    encoded = base64.b64encode(data).decode()
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    pem = f"-----BEGIN {label}-----\n{headers}" + "\n".join(lines) + f"\n-----END {label}-----\n"
    return KeyText("pem", Secret(pem), encrypted=encrypted)


def _pem_blocks(text: str) -> dict[str, str]:
    """Return the content between BEGIN and END by label; of several blocks with the same label, the last."""
    blocks: dict[str, str] = {}
    begun: dict[str, int] = {}
    for marker in _MARKER.finditer(text):
        if marker[1] == "BEGIN":
            begun.setdefault(marker[2], marker.end())
        elif (start := begun.get(marker[2])) is not None:
            blocks[marker[2]] = text[start : marker.start()]
            begun.clear()
    return blocks


def _not_a_private_key(text: str, labels: set[str]) -> Exception:
    begun = {label for kind, label in _MARKER.findall(text) if kind == "BEGIN"}
    if "OPENSSH PRIVATE KEY" in begun:
        return configuration_error(
            "This is a private key in OpenSSH's own format, which cannot sign a client assertion here.",
            "Convert a copy of the file with: ssh-keygen -p -m PKCS8 -f COPY",
        )
    if any(label.endswith("PUBLIC KEY") for label in begun):
        return configuration_error(
            "This is a public key.", "Give the private key that belongs to it; the public one stays in Okta."
        )
    if any("CERTIFICATE" in label for label in begun):
        return configuration_error(
            "This is a certificate, not a private key.", "Give the private key that belongs to it."
        )
    if not labels:
        missing = "END" if begun else "BEGIN"
        return configuration_error(
            f"The private key is truncated: its {missing} line is missing.",
            "Paste the key again, first and last line included.",
        )
    return configuration_error(
        f"A PEM of type {shown(sorted(labels)[0])} is not supported.",
        "Give an RSA or EC private key: PKCS#8, PKCS#1 or SEC1.",
    )


def _require_whole_der(data: bytes) -> None:
    """Raise if data is shorter than the length in its DER header, or has no such header."""
    announced = _der_length(data)
    if announced is None:
        raise configuration_error(
            "The private key is damaged: its content does not begin as a key does.", "Paste it again, whole."
        )
    if len(data) < announced:
        raise configuration_error(
            f"The private key is truncated: {len(data)} of its {announced} bytes are there.",
            "Paste the key again, first and last line included.",
        )


def _der_length(data: bytes) -> int | None:
    if len(data) < 2 or data[0] != 0x30:
        return None
    if data[1] < 0x80:
        return 2 + data[1]
    count = data[1] & 0x7F
    if not 1 <= count <= 4 or len(data) < 2 + count:
        return None
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def _read_jwk(text: str) -> KeyText:
    jwk = _load_json_object(text)
    if jwk is None:
        # A shell or a form may have escaped quotes and newlines.
        jwk = _load_json_object(_ESCAPED_NEWLINE.sub(" ", text).replace('\\"', '"'))
    if jwk is None:
        raise configuration_error(
            "The private key begins as a JWK but is not a whole JSON object.",
            "Copy it again, from { to }.",
        )
    if isinstance(keys := jwk.get("keys"), list):
        if len(keys) != 1 or not isinstance(keys[0], dict):
            raise configuration_error(
                f"This is a JWK set of {len(keys)} keys.", "Give the one private key that the app uses."
            )
        jwk = keys[0]
    return _check_jwk(jwk)


def _load_json_object(text: str) -> dict[str, Any] | None:
    # A JSONDecodeError carries the whole document, so it must not become the context of another error.
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _check_jwk(jwk: dict[str, Any]) -> KeyText:
    kind = jwk.get("kty")
    needed = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}.get(kind) if isinstance(kind, str) else None
    if needed is None:
        shown = repr(kind) if isinstance(kind, str) and len(kind) <= 10 else "unknown"
        raise configuration_error(
            f"A JWK of type {shown} is not supported.",
            "Give an RSA or EC (P-256, P-384, P-521) private key.",
        )
    if not jwk.get("d"):
        raise configuration_error(
            'This JWK has no private part (its member "d").',
            "Okta shows the private key only once, when it is generated: give that one, or generate a new key.",
        )
    missing = [name for name in (*needed, "d") if not isinstance(jwk.get(name), str)]
    if missing:
        raise configuration_error(
            f"This JWK lacks {', '.join(missing)}, or holds something that is no text there.",
            "Copy it again, whole.",
        )
    kid = jwk.get("kid")
    tidy = {
        name: re.sub(r"\s+", "", value) if isinstance(value, str) and name != "kid" else value
        for name, value in jwk.items()
    }
    return KeyText(
        "jwk", Secret(json.dumps(tidy, separators=(",", ":"), sort_keys=True)), kid=str(kid) if kid else None
    )


def _uncovered(pieces: list[str], masked: list[str]) -> list[str]:
    """Return the pieces of which masking leaves too many characters visible.

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
