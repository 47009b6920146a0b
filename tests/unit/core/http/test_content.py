"""Content codings and charsets: whole and right, or an error that says why not; never half of it, never noise."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.http.content import UnreadableError, decode_content, decode_text, http_response

LIMIT = 10_000
TEXT = b'{"account": "00u1"}' * 20


# Without the time of day, which would be in the ids of the tests.
pack = partial(gzip.compress, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("raw", "coding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (TEXT, " , Identity"),
        (pack(TEXT), "gzip"),
        (pack(TEXT), "GZIP "),
        (pack(TEXT), "x-gzip"),
        (pack(TEXT), "identity, gzip"),
        (pack(TEXT[:50]) + pack(b"") + pack(TEXT[50:]), "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (raw_deflate(TEXT), "deflate"),
    ],
)
def test_a_coding_that_was_asked_for_is_undone(raw: bytes, coding: str) -> None:
    assert decode_content(raw, coding, LIMIT) == TEXT


@pytest.mark.parametrize("coding", ["", "gzip", "deflate", "br", "gzip, gzip"])
def test_an_empty_body_is_empty_whatever_its_coding(coding: str) -> None:
    assert decode_content(b"", coding, LIMIT) == b""


@pytest.mark.parametrize(
    ("raw", "coding", "why"),
    [
        (TEXT, "br", "content coding 'br' was not requested"),
        (TEXT, "zstd", "content coding 'zstd'"),
        (TEXT, "compress", "content coding 'compress'"),
        (TEXT, "<script>", "content coding that its header names"),
        (pack(pack(TEXT)), "gzip, gzip", "more than once"),
        (pack(TEXT), "gzip, br", "more than once"),
        (TEXT, "gzip", "broken"),
        (TEXT, "deflate", "broken"),
        (pack(TEXT) + b"noise", "gzip", "broken"),
        (zlib.compress(TEXT) + b"noise", "deflate", "broken"),
        (pack(TEXT) + pack(TEXT)[:15], "gzip", "cut off"),
        (pack(b"") * 17, "gzip", "broken"),
        (b"x" * (LIMIT + 1), "", "larger than max_response_bytes"),
        (b"x" * (LIMIT + 1), "gzip", "larger than max_response_bytes"),
        (pack(b"\0" * (LIMIT + 1)), "gzip", "larger than max_response_bytes"),
        (zlib.compress(b"\0" * (LIMIT + 1)), "deflate", "larger than max_response_bytes"),
        (raw_deflate(b"\0" * (LIMIT + 1)), "deflate", "larger than max_response_bytes"),
        (pack(b"\0" * LIMIT) + pack(b"\0"), "gzip", "larger than max_response_bytes"),
    ],
)
def test_anything_else_says_why(raw: bytes, coding: str, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        decode_content(raw, coding, LIMIT)


@pytest.mark.parametrize(
    ("raw", "coding", "beginning"),
    [
        (TEXT + b"x" * LIMIT, "", (TEXT + b"x" * LIMIT)[:LIMIT]),
        (pack(TEXT + b"x" * LIMIT), "gzip", (TEXT + b"x" * LIMIT)[:LIMIT]),
        (pack(TEXT)[:-4], "gzip", TEXT),
        (pack(TEXT) + b"noise", "gzip", TEXT),
        (pack(TEXT), "br", b""),
        (pack(TEXT) + b"x" * LIMIT, "gzip", b""),
    ],
)
def test_what_can_be_decoded_of_an_unreadable_body_is_kept(raw: bytes, coding: str, beginning: bytes) -> None:
    response = http_response(429, [(b"Content-Encoding", coding.encode())], raw, elapsed=0.0, limit=LIMIT)

    assert response.unreadable
    assert response.body == beginning


@pytest.mark.parametrize("compressed", [pack(TEXT), zlib.compress(TEXT), raw_deflate(TEXT)])
def test_no_beginning_of_a_compressed_body_is_taken(compressed: bytes) -> None:
    coding = "gzip" if compressed.startswith(b"\x1f\x8b") else "deflate"
    for length in range(1, len(compressed)):
        with pytest.raises(UnreadableError, match=r"cut off|broken"):
            decode_content(compressed[:length], coding, LIMIT)


def test_as_much_as_is_allowed_is_taken() -> None:
    assert len(decode_content(pack(b"\0" * LIMIT), "gzip", LIMIT)) == LIMIT


@given(st.binary(), st.text() | st.sampled_from(["gzip", "deflate", "x-gzip", "br"]))
def test_any_body_is_decoded_or_says_why_not(raw: bytes, coding: str) -> None:
    response = http_response(
        200, [(b"Content-Encoding", coding.encode("utf-8", "replace"))], raw, elapsed=0.0, limit=100
    )

    assert len(response.body) <= 100
    assert response.unreadable.isprintable()


@given(st.binary(max_size=LIMIT))
def test_any_body_comes_back_as_it_was(data: bytes) -> None:
    assert decode_content(pack(data), "gzip", LIMIT) == data
    assert decode_content(zlib.compress(data), "deflate", LIMIT) == data


@pytest.mark.parametrize(
    "charset",
    [
        "utf-8", "UTF8", "us-ascii", "ASCII", "iso-8859-1", "ISO_8859-15", "latin1", "windows-1252", "cp1250", "utf-16",
        "utf-16le", "UTF-16-BE", "utf-32", "koi8-r", "gb18030", "big5", "shift_jis", "euc-kr",
    ],
)  # fmt: skip
def test_a_common_charset_is_read(charset: str) -> None:
    body = "Zoe".encode(charset)

    assert decode_text(body, f"text/plain; charset={charset}").lstrip("\ufeff") == "Zoe"
    assert decode_text(body, f'text/plain;Charset = "{charset}" ; a=b').lstrip("\ufeff") == "Zoe"


@pytest.mark.parametrize(
    "charset",
    ["punycode", "idna", "unicode_escape", "raw_unicode_escape", "utf-7", "hex", "base64", "rot13", "zlib", "x"],
)
def test_any_other_charset_is_refused(charset: str) -> None:
    with pytest.raises(UnreadableError, match="its charset"):
        decode_text(b"abc", f"text/plain; charset={charset}")


def test_without_a_charset_it_is_utf_8() -> None:
    assert decode_text("ä".encode() + b"\xff", "text/plain") == "ä\ufffd"


@given(st.binary(), st.text())
def test_any_text_is_decoded_or_says_why_not(body: bytes, content_type: str) -> None:
    with suppress(UnreadableError):
        assert decode_text(body, content_type) is not None


def test_a_response_that_cannot_be_decoded_keeps_its_head() -> None:
    headers = [
        (b"Content-Encoding", b"br"),
        (b"X-Flo-Instance", b"e1"),
        (b"X-A", b"1"),
        (b"x-a", "ë".encode("latin-1")),
    ]

    response = http_response(503, headers, b"abc", elapsed=1.5, limit=LIMIT)

    assert (response.status, response.body, response.elapsed) == (503, b"", 1.5)
    assert "content coding 'br'" in response.unreadable
    assert response.headers["x-flo-instance"] == "e1"
    assert response.headers["X-A"] == "1, ë"
