"""Private keys in PEM and DER. Only the content decides the format, since labels are often changed, cut or confused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.keys import der
from airflow_okta_workflows.core.keys.encodings import base64_readings, is_java_keystore, pem_lines
from airflow_okta_workflows.core.keys.found import Found, ordinal, other, problem
from airflow_okta_workflows.core.keys.key_text import KeyText
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import Secret, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_okta_workflows.core.keys.work import Work

MOST_ROUNDS = 10_000_000
"""Most rounds of a key derivation, which take a few seconds. Usual numbers are 2,048 to 1,000,000."""

# All repetitions are bounded, to avoid quadratic time. The dashes after the last label are often lost.
_MARKER = lazy_pattern(r"-{2,8}\s?(BEGIN|END)((?:[^-\r\n]|-(?!-)){0,64})(?:-{2,8}|-?\s*\Z)", re.IGNORECASE)
_HEADER = lazy_pattern(r"^[A-Za-z][A-Za-z0-9-]{0,40}:[^\n]*$", re.MULTILINE)
# RFC 1421 headers of an encrypted traditional key. The IV is as long as the cipher's block; if the newlines are lost,
# only that length separates it from the base64 that follows.
_ENCRYPTION = lazy_pattern(
    r"\s*Proc-Type:\s*4,\s*ENCRYPTED\s*DEK-Info:\s*"
    r"((?:AES-\d{3}-CBC),[0-9A-F]{32}|(?:DES-EDE3-CBC|DES-CBC),[0-9A-F]{16}|[A-Z0-9-]{1,40},)",
    re.IGNORECASE,
)

# cryptography takes others for a wrong passphrase; versions before 45 can read them.
_USUAL_CIPHERS = ("AES-128-CBC", "AES-256-CBC", "DES-EDE3-CBC")


def has_marker(text: str) -> bool:
    """Return whether a string has a BEGIN or END line, or a part of one.

    :param text: the string
    """
    if "-----BEGIN" in text or "-----END" in text:
        return True
    # The pattern is slow in a long run of dashes.
    upper = text.upper()
    return ("BEGIN" in upper or "END" in upper) and _MARKER.search(text) is not None


def find_in_pem(text: str, work: Work) -> tuple[list[Found], str]:
    """Return the results for the PEM blocks of a string, and the string without its whole blocks.

    :param text: the string, which may have lost its newlines
    :param work: the work of the search
    """
    found: list[Found] = []
    rest = text
    for index, (label, body, block) in enumerate(_blocks(text, work)):
        rest = rest if body is None else rest.replace(block, "\n", 1)
        for one in [_truncated(label, block)] if body is None else _read_block(label, body):
            key = one.key and replace(one.key, pasted=(Secret(block),))
            place = one.place or f"the {ordinal(index)} PEM block"
            unusable = KeyText("pem", Secret(block), (Secret(block),)) if one.problem and "PRIVATE" in label else None
            found.append(replace(one, key=key, place=place, unusable=unusable))
    return found or [_truncated("PRIVATE KEY", "END")], rest


def find_in_der(data: bytes, label: str = "") -> list[Found]:
    """Return the results for DER; an empty list if it is neither a key nor a certificate.

    :param data: the DER
    :param label: the label of the PEM that contained it; empty without a PEM
    """
    if data.startswith(b"openssh-key-v1"):
        return [
            other(
                configuration_error(
                    "This is a private key in OpenSSH's own format, which cannot sign a client assertion here.",
                    "OKW-1130: Convert a copy of the file with: ssh-keygen -p -m PKCS8 -f COPY",
                )
            )
        ]
    if is_java_keystore(data):
        return [
            problem(
                configuration_error(
                    "This is a Java keystore, not a private key.",
                    "OKW-1129: Convert it with: keytool -importkeystore -srckeystore FILE -destkeystore key.p12"
                    " -deststoretype PKCS12",
                )
            )
        ]
    if der.has_indefinite_length(data):
        return [
            problem(
                configuration_error(
                    "The private key is in BER of indefinite length, which is not supported.",
                    "OKW-1126: Convert it once with: openssl pkcs12 -in FILE -nocerts -out key.pem",
                )
            )
        ]
    announced = der.announced_length(data)
    if announced and not data[announced:].strip():
        # An editor has added a newline to a binary file.
        data = data[:announced]
    true_label = der.true_label(data)
    if true_label == der.PKCS12:
        return _find_in_pkcs12(data)
    if true_label in der.PRIVATE_LABELS:
        return [_private_key(data, true_label)]
    if true_label or (label and label not in der.PRIVATE_LABELS):
        return [_not_private(true_label or label)]
    return [_damaged(data)]


def _blocks(text: str, work: Work) -> Iterator[tuple[str, str | None, str]]:
    """Yield label, content and whole string of each PEM block; the content is None if its BEGIN or END is missing."""
    begin: re.Match[str] | None = None
    for marker in _MARKER.finditer(text):
        work.spend()
        is_begin = marker[1].upper() == "BEGIN"
        if begin and is_begin:
            yield _label(begin), None, "BEGIN"
        elif begin:
            yield _label(begin), text[begin.end() : marker.start()], text[begin.start() : marker.end()]
        elif not is_begin:
            yield _label(marker), None, "END"
        begin = marker if is_begin else None
    if begin:
        yield _label(begin), None, "BEGIN"


def _label(marker: re.Match[str]) -> str:
    # URL encoding turns spaces into pluses.
    return " ".join(re.split(r"[\s+_]+", marker[2].strip(" +\t").upper()))


def _truncated(label: str, present: str) -> Found:
    if "PUBLIC" in label or "CERTIFICATE" in label:
        return _not_private(label)
    missing = "END" if present == "BEGIN" else "BEGIN"
    return problem(
        configuration_error(
            f"The private key is truncated: its {missing} line is missing.",
            "OKW-1125: Paste the key again, first and last line included.",
        )
    )


def _read_block(label: str, body: str) -> list[Found]:
    if encryption := _ENCRYPTION.match(body):
        return [_traditional_key(label, encryption[1].upper(), body[encryption.end() :])]
    readings = list(base64_readings(_HEADER.sub("", body)))
    for data in readings:
        if len(data) == der.announced_length(data):
            return find_in_der(data, label)
    if readings:
        return find_in_der(readings[0], label)
    if label in der.PRIVATE_LABELS:
        return [_not_base64()]
    return [_not_private(label)]


def _traditional_key(label: str, encryption: str, body: str) -> Found:
    if encryption.endswith(","):
        return _unsupported_encryption()
    # The right reading is a multiple of the cipher's block, which is as long as the IV; a wrong one usually is not.
    block = len(encryption.partition(",")[2]) // 2
    data = next((data for data in base64_readings(body) if len(data) % block == 0), None)
    if data is None:
        return _not_base64()
    # Only the label says what the encrypted content is; otherwise both formats are tried once there is a passphrase.
    label = der.SEC1 if label == der.SEC1 else der.PKCS1
    text = _pem(label, f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {encryption}\n\n{pem_lines(data)}")
    cipher = encryption.partition(",")[0]
    unusual = "" if cipher in _USUAL_CIPHERS else cipher
    return Found(key=KeyText("pem", Secret(text), encrypted=True, unusual_encryption=unusual, derivation_rounds=1))


def _unsupported_encryption() -> Found:
    return problem(
        configuration_error(
            "The private key's encryption is not supported.",
            "OKW-1128: Encrypt it again with: openssl pkcs8 -topk8 -in FILE -out key.pem",
        )
    )


def _private_key(data: bytes, label: str) -> Found:
    key = KeyText("pem", Secret(_pem(label, pem_lines(data))))
    if label != der.ENCRYPTED:
        return Found(key=key)
    rounds = der.derivation_rounds(data)
    if rounds is None:
        return _unsupported_encryption()
    if rounds > MOST_ROUNDS:
        return problem(
            configuration_error(
                f"The private key's encryption takes more than {MOST_ROUNDS:,} rounds of key derivation.",
                "OKW-1127: Encrypt it again, with fewer: openssl pkcs8 -topk8 -in FILE -out key.pem",
            )
        )
    unusual = der.unusual_encryption(data)
    return Found(key=replace(key, encrypted=True, unusual_encryption=unusual, derivation_rounds=rounds))


def _find_in_pkcs12(data: bytes) -> list[Found]:
    keys = der.pkcs12_keys(data)
    if not keys:
        return [
            problem(
                configuration_error(
                    "No private key is found in this PKCS#12 file.",
                    "OKW-1126: Convert it once with: openssl pkcs12 -in FILE -nocerts -out key.pem",
                )
            )
        ]
    return [
        replace(found, place=f"the {ordinal(index)} key of the PKCS#12 file")
        for index, key in enumerate(keys)
        for found in find_in_der(key)
    ]


def _pem(label: str, content: str) -> str:
    return f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n"


def _not_base64() -> Found:
    return problem(
        configuration_error(
            "The private key is damaged: what is between its BEGIN and END lines is not base64, or is not complete.",
            "OKW-1124: Paste the key again, whole.",
        )
    )


def _damaged(data: bytes) -> Found:
    announced = der.announced_length(data)
    if announced is None:
        return problem(
            configuration_error(
                "The private key is damaged: its content does not begin as a key does.",
                "OKW-1124: Paste the key again, whole.",
            )
        )
    if len(data) < announced:
        return problem(
            configuration_error(
                f"The private key is truncated: {len(data)} of its {announced} bytes are there.",
                "OKW-1125: Paste the key again, first and last line included.",
            )
        )
    return problem(
        configuration_error(
            "The private key cannot be read: it is damaged or not complete.", "OKW-1124: Paste the key again, whole."
        )
    )


def _not_private(label: str) -> Found:
    if label.endswith("PUBLIC KEY"):
        return other(
            configuration_error(
                "This is a public key.",
                "OKW-1123: Give the private key that belongs to it; the public one stays in Okta.",
            )
        )
    if "CERTIFICATE" in label:
        return other(
            configuration_error(
                "This is a certificate, not a private key.", "OKW-1122: Give the private key that belongs to it."
            )
        )
    # CERTIFICATE is the longest word of any label; a longer one of a damaged PEM may be a piece of the key.
    most = 40 if all(len(word) <= len("CERTIFICATE") for word in label.split()) else 0
    return other(
        configuration_error(
            f"A PEM of type {shown(label, most)} is not supported.",
            "OKW-1121: Give an RSA or EC private key: PKCS#8, PKCS#1 or SEC1.",
        )
    )
