"""Decoding of a response body: its content coding (RFC 9110, section 8.4) and its charset.

HTTP libraries differ in what they accept as gzip, in whether a truncated stream is an error, and in which codings they
know. So both transports pass on the body as it was on the wire, and only this module decodes it.
"""

from __future__ import annotations

import codecs
import re
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.http.types import Headers, HttpResponse
from airflow_okta_workflows.core.patterns import lazy_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCEPT_ENCODING = "gzip, deflate"
"""Value of a request's ``Accept-Encoding``: the codings that :func:`http_response` decodes."""

_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15  # zlib's window bits
_MOST_MEMBERS = 16
"""Gzip members of one body. Each needs a new decoder, so decoding many empty members would be slow for their size."""

# Python decodes each of these in linear time. It knows others that take longer: punycode takes quadratic time.
_CHARSETS = frozenset(
    [
        *("ascii", "usascii", "utf8", "utf16", "utf16le", "utf16be", "utf32", "utf32le", "utf32be", "koi8r", "koi8u"),
        *("gbk", "gb2312", "gb18030", "big5", "shiftjis", "eucjp", "euckr", "windows874", "cp874"),
        *(f"{name}{number}" for name in ("iso8859", "latin") for number in range(1, 17)),
        *(f"{name}125{number}" for name in ("windows", "cp") for number in range(9)),
    ]
)
"""Names of charsets, reduced to letters and digits."""
_CHARSET_PARAMETER = lazy_pattern(r"charset\s*=\s*[\"']?([^\"';,\s]+)", re.IGNORECASE)
_SHOWABLE = lazy_pattern(r"[a-z0-9._:+-]{1,40}")


class UnreadableError(ValueError):
    """The reason why a body cannot be read, as a phrase about the response: "its compressed body is cut off".

    :param reason: the phrase
    :param beginning: as much of the decoded body as there is
    """

    def __init__(self, reason: str, beginning: bytes = b"") -> None:
        super().__init__(reason)
        self.beginning = beginning


def http_response(
    status: int, headers: Iterable[tuple[bytes, bytes]], raw: bytes, *, elapsed: float, limit: int
) -> HttpResponse:
    """Return a response with its content coding decoded; if that fails, ``unreadable`` gives the reason.

    :param status: the status code
    :param headers: the header fields, as they were on the wire
    :param raw: the body as it was on the wire; of a body that is too large, ``limit`` + 1 bytes are enough
    :param elapsed: seconds from sending the request to the end of the body
    :param limit: maximum size of the body in bytes, both encoded and decoded
    """
    read = Headers.decoded(headers)
    try:
        return HttpResponse(status, read, decode_content(raw, read.get("Content-Encoding", ""), limit), elapsed)
    except UnreadableError as error:
        return HttpResponse(status, read, error.beginning, elapsed, unreadable=str(error))


def decode_content(raw: bytes, content_encoding: str, limit: int) -> bytes:
    """Return a body with its content coding decoded, in time and memory linear in ``raw`` and ``limit``.

    :param raw: the body as it was on the wire
    :param content_encoding: the value of the header ``Content-Encoding``
    :param limit: maximum size of the body in bytes, both encoded and decoded
    :raises UnreadableError: if it is too large, cut off or broken, or has a coding that was not requested
    """
    if len(raw) > limit:
        raise _too_large(limit, b"" if content_encoding else raw)
    codings = [name for one in content_encoding.lower().split(",") if (name := one.strip()) not in ("", "identity")]
    if not codings or not raw:
        return raw
    if len(codings) > 1:
        raise UnreadableError("its body is compressed more than once")
    if codings[0] in ("gzip", "x-gzip"):  # RFC 9110, section 8.4.1.3: both names mean gzip
        return _inflate(raw, _GZIP, limit)
    if codings[0] == "deflate":
        # RFC 9110, section 8.4.1.2: some servers omit the zlib wrapper (RFC 1950, section 2.2).
        wrapped = raw[0] & 0x0F == 8 and int.from_bytes(raw[:2], "big") % 31 == 0
        return _inflate(raw, _ZLIB if wrapped else _RAW_DEFLATE, limit)
    raise UnreadableError(f"its content coding {_shown(codings[0])} was not requested")


def decode_text(body: bytes, content_type: str) -> str:
    """Return a body as a string, decoded with the charset that its content type names, or UTF-8 if it names none.

    :param body: the body
    :param content_type: the value of the header ``Content-Type``
    :raises UnreadableError: if the charset is not a common one
    """
    named = _CHARSET_PARAMETER.search(content_type)
    name = named[1].lower() if named else "utf-8"
    codec = _codec(name)
    if codec is None:
        raise UnreadableError(f"its charset {_shown(name)} is not one that is read")
    return body.decode(codec, "replace")


@lru_cache(maxsize=16)
def _codec(name: str) -> str | None:
    try:
        return codecs.lookup(name).name if "".join(filter(str.isalnum, name)) in _CHARSETS else None
    except (LookupError, ValueError):
        return None


def _inflate(raw: bytes, window_bits: int, limit: int) -> bytes:
    body = bytearray()
    for _ in range(_MOST_MEMBERS):
        decoder = zlib.decompressobj(window_bits)
        try:
            body += decoder.decompress(raw, limit + 1 - len(body))
        except zlib.error:
            raise UnreadableError("its compressed body is broken", bytes(body)) from None
        if len(body) > limit:
            raise _too_large(limit, body)
        if not decoder.eof:
            raise UnreadableError("its compressed body is cut off", bytes(body))
        raw = decoder.unused_data
        if not raw:
            return bytes(body)
        if window_bits != _GZIP:
            break
    raise UnreadableError("its compressed body is broken", bytes(body))


def _too_large(limit: int, body: bytes | bytearray) -> UnreadableError:
    return UnreadableError(f"the response is larger than max_response_bytes ({limit})", bytes(body[:limit]))


def _shown(name: str) -> str:
    return repr(name) if _SHOWABLE.fullmatch(name) else "that its header names"
