r"""Encodings around a private key: character sets, escapes, URL encoding and base64.

Connection forms drop newlines, shells turn them into ``\n``, web clients encode a value once too often, and editors
write UTF-16. Each decoded result is a candidate: only a key in it shows that the guess was right.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from airflow_okta_workflows.core.keys.der import is_der
from airflow_okta_workflows.core.patterns import lazy_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKS = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    # A key begins with ASCII characters, so the zero bytes of the first one reveal the encoding.
    (b"\0\0\0", "utf-32-be"),
    (b"\0", "utf-16-be"),
)
_JAVA_KEYSTORE = b"\xfe\xed\xfe\xed"
# Invisible characters that web pages and editors add, and typographic quotes and dashes of word processors.
_TYPOGRAPHY = {
    **dict.fromkeys([0, 0xAD, 0x2028, 0x2029, 0x2060, 0xFEFF, *range(0x200B, 0x2010)]),
    **dict.fromkeys([0x201C, 0x201D, 0x201E, 0x201F, 0x2033], '"'),
    **dict.fromkeys([0x2018, 0x2019, 0x201A, 0x201B, 0x2032], "'"),
    **dict.fromkeys([0x2010, 0x2011, 0x2012, 0x2013, 0x2212], "-"),
    0x2014: "--",
}
# A byte order mark decoded with the wrong character set, then what configuration files put before a value.
_PREFIX = lazy_pattern(
    "^(?:ï»¿|ÿþ|þÿ|\ufffd{1,2})?"
    r"\s*(?:(?!PuTTY)(?:export\s+)?[A-Za-z_][\w.-]{0,60}\s*(?:=\s*(?=[^=\s])|:\s+))?"
    r"[\"']?(?:data:[\w/.+;-]{0,60};base64,|base64:)?"
)
# A pattern that could start to match at every character of a long run would take quadratic time.
_ESCAPE = lazy_pattern(r"(?<!\\)\\++(?:(?:u00|x)([0-9A-Fa-f]{2})|([rnt])|)")
# The first characters of DER, of a PEM and of JSON, in base64.
_BASE64_START = lazy_pattern(r"(?<![A-Za-z0-9+/_-])(?:M[A-P]|LS0|e[wy])[A-Za-z0-9+/_-]{20}")
_BASE64 = lazy_pattern(r"[A-Za-z0-9+/_\s-]+")
_LINE = 64
"""Characters per line of a PEM (RFC 7468)."""


def decode_text(data: bytes) -> str:
    """Return the content of a key file as a string; binary content, which DER and keystores are, as base64.

    :param data: the content
    """
    if is_der(data) or data.startswith(_JAVA_KEYSTORE):
        return base64.b64encode(data).decode()
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data.decode(codec, "replace")
    if data[1:2] == b"\0":
        return data.decode("utf-32-le" if data[2:4] == b"\0\0" else "utf-16-le", "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        # Comments may be in any superset of ASCII; the key itself is ASCII.
        return data.decode("latin-1")


def tidy(text: str) -> str:
    """Return a string without the quotes, spaces and invisible characters that surround a pasted key.

    :param text: the string
    """
    text = _PREFIX.sub("", text.translate(_TYPOGRAPHY).strip()).strip()
    if text[:2] in ("b'", 'b"'):
        text = text[1:]
    return text.strip("\"'`").strip()


def readings(text: str) -> Iterator[str]:
    """Yield a string unchanged, and then decoded by each kind of escape that occurs in it.

    :param text: the string
    """
    yield text
    # Some decoders appear twice, for strings that were encoded twice.
    for decode in (_from_json, _from_json, _without_escapes, _from_url, _from_url, _from_html, _without_escapes):
        decoded = decode(text)
        if decoded != text:
            text = decoded
            yield text


def base64_readings(text: str) -> Iterator[bytes]:
    """Yield the bytes that a string encodes in base64 (standard or URL-safe), then those after repairing likely damage.

    :param text: the string, which may contain white space
    """
    yield from _base64("".join(text.split()))
    stripped = text.strip()
    if " " in stripped:
        # Each plus of base64 became a space, and perhaps each newline, too.
        if "\n" not in stripped and set(stripped[_LINE :: _LINE + 1]) == {" "}:
            # The last character may be such a plus, before the space that was the last newline.
            for one in {stripped: None, text.lstrip().removesuffix(" "): None}:
                yield from _base64("".join(_lines(one, 0)).replace(" ", "+"))
        yield from _base64(re.sub(r"[\r\n]", "", text.strip("\r\n")).replace(" ", "+"))
        yield from _base64("".join(line.strip() for line in stripped.splitlines()).replace(" ", "+"))
    elif set(stripped[:: _LINE + 1]) == {"n"}:
        # A shell removed the backslash of each \\n.
        yield from _base64("".join(_lines(stripped.removesuffix("n"), 1)))


def base64_values(text: str) -> Iterator[tuple[str, bytes]]:
    """Yield each part of a string that may be a key, a PEM or JSON in base64, and the bytes that it encodes.

    Where base64 ends is not clear if words follow it, so there may be more bytes than those of the key.

    :param text: the string
    """
    for start in _BASE64_START.finditer(text):
        value = _BASE64.match(text, start.start())[0]  # type: ignore[index]  # it matches at least as much as the start
        compact = "".join(value.split())
        # No bytes are encoded in 4n + 1 characters.
        yield from ((value, data) for data in _base64(compact[: len(compact) - (len(compact) % 4 == 1)]))


def pem_lines(data: bytes) -> str:
    """Return bytes in base64, wrapped as in a PEM.

    :param data: the bytes
    """
    encoded = base64.b64encode(data).decode()
    return "\n".join(encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE))


def is_java_keystore(data: bytes) -> bool:
    """Return whether bytes are a keystore in Java's own format.

    :param data: the bytes
    """
    return data.startswith(_JAVA_KEYSTORE)


def _lines(text: str, first: int) -> list[str]:
    return [text[start : start + _LINE] for start in range(first, len(text), _LINE + 1)]


def _base64(text: str) -> Iterator[bytes]:
    compact = text.translate(str.maketrans("-_", "+/")).rstrip("=")
    if compact:
        try:
            data = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
        except (binascii.Error, ValueError):
            return
        yield data


def _from_json(text: str) -> str:
    """Return a string decoded as the inside of a JSON string; unchanged if it is not one."""
    if "\\" not in text:
        return text
    with suppress(ValueError):
        return str(json.loads(f'"{text}"', strict=False))
    return text


def _without_escapes(text: str) -> str:
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(escape: re.Match[str]) -> str:
    # Other backslashes are dropped: a PEM needs none, and in JSON they are left over from escaped quotes.
    return chr(int(escape[1], 16)) if escape[1] else "\n" if escape[2] else ""


def _from_url(text: str) -> str:
    if "%" not in text:
        return text
    # A plus means a space if base64's own pluses are encoded, if the BEGIN line has one, or in JSON.
    plus_is_space = "%2b" in text.lower() or "BEGIN+" in text or text.startswith(("%7", "%5"))
    return unquote_plus(text) if plus_is_space else unquote(text)


def _from_html(text: str) -> str:
    if "&" not in text:
        return text
    import html

    return html.unescape(text)
