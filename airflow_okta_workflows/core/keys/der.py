"""Structure of keys in DER: just enough to recognize the format, without decrypting or validating the key.

The label or name of a file is often wrong, so only the content counts.
"""

from __future__ import annotations

from typing import NamedTuple

from airflow_okta_workflows.core.patterns import lazy_pattern

_INTEGER, _OCTETS, _OID, _SEQUENCE, _EXPLICIT = 0x02, 0x04, 0x06, 0x30, 0xA0
_FIRST_MEMBERS = (b"\x02", b"\x30", b"\x06")
"""Tags with which the content of a key, an encrypted key, a certificate, PKCS#12 or PKCS#7 can begin."""
_PKCS7 = bytes.fromhex("2a864886f70d0107")
_PKCS7_DATA = bytes.fromhex("2a864886f70d010701")
_KEY_BAGS = (bytes.fromhex("2a864886f70d010c0a0101"), bytes.fromhex("2a864886f70d010c0a0102"))
_PBES2 = bytes.fromhex("2a864886f70d01050d")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_LONGEST_OID = 16
_SCRYPT_WEIGHT = 4
"""Weight of one unit of scrypt's cost: it takes as long as one PBKDF2 round, but also 128 bytes of memory."""

_USUAL_ENCRYPTION = lazy_pattern(
    # AES-CBC, 3DES and RC2; PBKDF2 with SHA-1 or SHA-2; those of PKCS#5 and PKCS#12 that are still in use.
    r"2\.16\.840\.1\.101\.3\.4\.1\.(2|22|42)|1\.2\.840\.113549\.3\.[27]"
    r"|1\.2\.840\.113549\.2\.([7-9]|1[01])|1\.2\.840\.113549\.1\.(5\.3|12\.1\.[136])"
)
_ENCRYPTION_NAMES = {
    "2.16.840.1.101.3.4.1.": "AES in a mode that is not CBC",
    "1.2.392.200011.61.1.": "Camellia",
    "1.2.410.200046.1.1.": "ARIA",
    "1.2.410.200004.1.": "SEED",
    "1.2.156.10197.1.": "SM4",
}

PKCS8, ENCRYPTED, PKCS1, SEC1 = "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"
PRIVATE_LABELS = (PKCS8, ENCRYPTED, PKCS1, SEC1)
PKCS12, DSA = "PKCS12", "DSA PRIVATE KEY"


class _Element(NamedTuple):
    tag: int
    content: bytes
    whole: bytes


def true_label(data: bytes) -> str | None:
    """Return the PEM label that fits DER, such as ``RSA PRIVATE KEY``, or None for an unknown structure.

    :param data: the DER
    """
    parts = _sequence(data)
    if not parts:
        return None
    match [part.tag for part in parts]:
        case [0x02, 0x30, 0x04, *_]:
            return PKCS8
        case [0x02, 0x30] | [0x02, 0x30, 0x30] if _oid(parts[1].whole).startswith(_PKCS7):
            return PKCS12
        case [0x02, 0x04, *_]:
            return SEC1
        case [0x02, 0x02, 0x02, 0x02, 0x02, 0x02]:
            return DSA
        case [0x02, 0x02]:
            return "RSA PUBLIC KEY"
        case [0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, *_]:
            return PKCS1
        case [0x30, 0x04]:
            return ENCRYPTED
        case [0x30, 0x03]:
            return "PUBLIC KEY"
        case [0x30, 0x30, 0x03] | [0x06, 0xA0]:
            return "CERTIFICATE"
    return None


def announced_length(data: bytes) -> int | None:
    """Return the length in bytes that the header of DER announces, or None if there is no such header.

    :param data: the DER
    """
    header = _header(data)
    return sum(header) if header else None


def _header(data: bytes) -> tuple[int, int] | None:
    """Return the lengths of the header and of the content that it announces; None if there is no header."""
    if len(data) < 2 or data[0] != _SEQUENCE:
        return None
    if data[1] < 0x80:
        return 2, data[1]
    count = data[1] & 0x7F
    if not 1 <= count <= 4 or len(data) < 2 + count:
        return None
    return 2 + count, int.from_bytes(data[2 : 2 + count], "big")


def is_der(data: bytes) -> bool:
    """Return whether bytes begin as every key, certificate and PKCS#12 file in DER does, complete or not.

    The tag of the sequence is not enough: one random string in 256 begins with it, too.

    :param data: the bytes
    """
    header = (2, 0) if has_indefinite_length(data) else _header(data)
    return header is not None and data[header[0] : header[0] + 1] in _FIRST_MEMBERS


def has_indefinite_length(data: bytes) -> bool:
    """Return whether bytes begin as BER of indefinite length, in which some programs write PKCS#12.

    :param data: the bytes
    """
    return data[:2] == b"\x30\x80"


def pkcs12_keys(data: bytes) -> list[bytes]:
    """Return each private key of a PKCS#12 file (RFC 7292) as PKCS#8, encrypted or not, as it is in the file.

    Content that is encrypted as a whole is skipped; common programs put only certificates there.

    :param data: the DER of the file
    """
    keys: list[bytes] = []
    for info in _sequence(_data_of(_sequence(data)[1].whole)):
        for bag in _sequence(_data_of(info.whole)):
            parts = _sequence(bag.whole)
            if len(parts) > 1 and parts[0].tag == _OID and parts[0].content in _KEY_BAGS:
                keys.append(parts[1].content)
    return keys


def derivation_rounds(data: bytes) -> int | None:
    """Return the number of rounds in the key derivation of encrypted PKCS#8 (RFC 8018), or None if unknown.

    :param data: the DER
    """
    algorithm = _sequence(data)[0].whole
    if _oid(algorithm) == _PBES2:
        functions = _sequence(_sequence(algorithm)[1].whole)
        algorithm = functions[0].whole if functions else b""
    parts = _sequence(algorithm)
    numbers = [
        int.from_bytes(part.content, "big")
        for part in (_sequence(parts[1].whole) if len(parts) > 1 else ())
        if part.tag == _INTEGER
    ]
    if _oid(algorithm) == _SCRYPT and len(numbers) >= 3:
        return numbers[0] * numbers[1] * numbers[2] * _SCRYPT_WEIGHT
    return numbers[0] if numbers else None


def unusual_encryption(data: bytes) -> str:
    """Return the encryption of encrypted PKCS#8 if it may not be supported, or an empty string.

    :param data: the DER
    """
    algorithm = _sequence(data)[0].whole
    algorithms = [algorithm]
    if _oid(algorithm) == _PBES2:
        derivation, *algorithms = [part.whole for part in _sequence(_sequence(algorithm)[1].whole)]
        # The derivation's hash function, which is SHA-1 if it is not given.
        algorithms += [part.whole for part in _sequence(_sequence(derivation)[1].whole) if part.tag == _SEQUENCE]
    names = filter(None, (_dotted(_oid(one)) for one in algorithms))
    unusual = next((name for name in names if not _USUAL_ENCRYPTION.fullmatch(name)), "")
    return next((name for prefix, name in _ENCRYPTION_NAMES.items() if unusual.startswith(prefix)), unusual)


def _dotted(oid: bytes) -> str:
    """Return an object identifier as numbers (X.690, section 8.19), or an empty string if it is too long or empty."""
    if not 0 < len(oid) <= _LONGEST_OID:
        return ""
    numbers = [0]
    for byte in oid:
        numbers[-1] = numbers[-1] * 128 + (byte & 0x7F)
        if byte < 0x80:
            numbers.append(0)
    root = min(numbers[0] // 40, 2)
    return ".".join(map(str, (root, numbers[0] - 40 * root, *numbers[1:-1])))


def _data_of(info: bytes) -> bytes:
    """Return the octets of a ContentInfo, or none if they are encrypted or signed."""
    parts = _sequence(info)
    if len(parts) != 2 or parts[0].content != _PKCS7_DATA or parts[1].tag != _EXPLICIT:
        return b""
    octets = _elements(parts[1].content)
    return octets[0].content if len(octets) == 1 and octets[0].tag == _OCTETS else b""


def _oid(algorithm: bytes) -> bytes:
    parts = _sequence(algorithm)
    return parts[0].content if parts and parts[0].tag == _OID else b""


def _sequence(data: bytes) -> list[_Element]:
    """Return the elements of a SEQUENCE, or none if the data is anything else."""
    found = _elements(data)
    return _elements(found[0].content) if len(found) == 1 and found[0].tag == _SEQUENCE else []


def _elements(data: bytes) -> list[_Element]:
    """Return the elements that the data consists of, or none if it is not DER."""
    found: list[_Element] = []
    at = 0
    while at < len(data):
        length = data[at + 1] if at + 1 < len(data) else 0x80
        start = at + 2
        if length >= 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[start : start + count], "big") if 1 <= count <= 4 else len(data)
            start += count
        if start + length > len(data):
            return []
        found.append(_Element(data[at], data[start : start + length], data[at : start + length]))
        at = start + length
    return found
