"""The rows of a batch's file, read as a stream: CSV with a header, JSON Lines, or a JSON list.

The functions parse what the caller reads. They never hold more than one row and one chunk. A row that cannot be parsed
is a row with a problem as long as the next one can be found; otherwise the whole source is refused.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LARGEST_ROW = 16 * 1024 * 1024
"""Bytes or characters of a row. It bounds the memory that a file without line ends can take."""
_MORE = f"more than {LARGEST_ROW // 1024 // 1024} MiB"

CSV, JSON_LINES, JSON_LIST = "csv", "jsonl", "json"
_FORMATS = {".csv": CSV, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES, ".json": JSON_LIST}
_OTHER_ENCODINGS = {
    # Before UTF-16, with whose mark that of UTF-32 begins.
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_NOT_UTF_8 = lazy_pattern("[\udc80-\udcff]")
"""What ``surrogateescape`` makes of a byte that is not UTF-8."""
_SPACE = lazy_pattern(r"[ \t\n\r]*")
_PLAIN_NAME = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]*")
_AFTER_VALUE = (",", "]", " ", "\t", "\n", "\r")
_LONGEST_TOKEN = 16
"""Characters of the longest token that the end of a chunk can cut, strings apart: ``-Infinity``, or an escape."""
_COLUMNS_SHOWN = 20
_SAVE_AS_UTF_8 = "OKW-1545: Save the file as UTF-8."


@dataclass(slots=True)
class Row:
    """One row of a source.

    :param number: its number in the source: the line or the element of a file, from 1; the position in a list, from 0
    :param payload: the payload
    :param problem: why there is no payload, or None
    :param line: the line of an element, from 1; None for any other row
    """

    number: int
    payload: Any = None
    problem: CoreError | None = None
    line: int | None = None

    @property
    def place(self) -> int | str:
        """The number, and the line of an element, for a message."""
        return self.number if self.line is None else f"{self.number} (line {self.line})"


def file_format(name: str) -> str:
    """Return the format of a file, from its name.

    :param name: the file's name; ``.gz`` at its end is ignored
    :raises CoreError: if the name does not show it
    """
    lower = name.lower().removesuffix(".gz")
    for suffix, kind in _FORMATS.items():
        if lower.endswith(suffix):
            return kind
    raise configuration_error(
        f"The file name {shown(name)} does not show the format of the payloads.",
        "OKW-1540: Name it .csv, .jsonl or .ndjson (one JSON value per line), or .json (one list). Each may end"
        " with .gz.",
    )


def csv_rows(lines: Iterable[bytes]) -> tuple[list[str], Iterator[Row]]:
    """Return the column names and the rows of a CSV file. Each payload is an object of strings.

    :param lines: the lines in UTF-8, with their ends; a line of more than ``LARGEST_ROW`` bytes may be in pieces
    :raises CoreError: if there is no usable header; also from the rows, if the rest of the file cannot be parsed
    """
    # Otherwise a cell may have 131,072 characters. The limit applies to the whole process, so it is never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_ROW))
    # strict: otherwise a cell with a stray quote becomes another value.
    reader = csv.reader(_require_no_large(_texts(lines)), strict=True)
    try:
        header = next((cells for cells in reader if cells), None)
    except csv.Error as error:
        raise _unreadable(reader.line_num, str(error)) from None
    if header is None:
        raise _empty()
    if _is_not_utf_8("".join(header)):
        raise configuration_error("The header of the CSV file is not in UTF-8.", _SAVE_AS_UTF_8)
    columns = [name.strip() for name in header]
    if "" in columns:
        raise configuration_error(
            "The header of the CSV file has an empty column name.",
            "OKW-1541: Give each column a name, in the first line of the file.",
        )
    check_names(columns)
    return columns, _csv_rows(reader, columns)


def _csv_rows(reader: Any, columns: Sequence[str]) -> Iterator[Row]:
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                raise _too_large(number) from None
            if "expected after" not in str(error):
                # An open quote, which hides where the next row begins.
                raise _unreadable(number, str(error)) from None
            yield Row(number, problem=_bad_row(f"It is not CSV: {_through(number, reader.line_num)}{error}."))
            continue
        if not cells:
            continue
        if len(cells) != len(columns):
            yield Row(number, problem=_bad_row(f"It has {len(cells)} cells, and the header {len(columns)}."))
            continue
        yield _row(number, dict(zip(columns, cells, strict=True)), "".join(cells))


def _through(first: int, last: int) -> str:
    return f"up to line {last}, " if last > first else ""


def json_lines_rows(lines: Iterable[bytes]) -> Iterator[Row]:
    """Return the rows of a file with one JSON value per line. Blank lines are skipped.

    :param lines: the lines in UTF-8, with their ends; a line of more than ``LARGEST_ROW`` bytes may be in pieces
    :raises CoreError: if the file is empty
    """
    number = 0
    for number, text in enumerate(_texts(lines), 1):
        if text is None:
            yield Row(number, problem=_bad_row(f"It has {_MORE}."))
            continue
        if text.isspace():
            continue
        try:
            payload = json.loads(text)
        except RecursionError:
            yield Row(number, problem=_bad_row("It is nested too deeply."))
        except json.JSONDecodeError as error:
            yield Row(number, problem=_bad_row(f"It is not JSON: {error.msg} at column {error.colno}."))
        except ValueError:
            yield Row(number, problem=_bad_row("It has a number that is too long."))
        else:
            yield _row(number, payload, text)
    if not number:
        raise _empty()


def json_list_rows(chunks: Iterable[bytes]) -> Iterator[Row]:
    """Return the elements of a file that is one JSON list.

    :param chunks: the file in UTF-8, in pieces of any size
    :raises CoreError: if it is not a list, or at the first element that is not JSON
    """
    text = _JsonText(codecs.iterdecode(_utf_8(chunks), "utf-8-sig", errors="surrogateescape"))
    if not (first := text.peek()):
        raise _empty()
    if first != "[":
        raise configuration_error(
            "The file is JSON, but not a list.",
            "OKW-1543: Write a list of payloads; name a file with one JSON value per line .jsonl.",
        )
    text.skip()
    if text.peek() == "]":
        text.skip()
    else:
        yield from _elements(text)
    if text.peek():
        raise _unreadable(text.line, "there is more after the list")


def _elements(text: _JsonText) -> Iterator[Row]:
    for number in count(1):
        text.peek()
        line = text.line
        payload, written = text.value()
        yield _row(number, payload, written, line)
        separator = text.peek()
        if separator not in (",", "]") or not separator:
            raise _unreadable(text.line, "the list is not closed" if not separator else "a comma is missing")
        text.skip()
        if separator == "]":
            return


class _JsonText:
    """Window over a JSON text, which contains one value at a time.

    :param chunks: the text in pieces
    """

    def __init__(self, chunks: Iterable[str]) -> None:
        self.line = 1
        """Line of the next character."""
        self._chunks = iter(chunks)
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """Return the next character that is not white space, or an empty string at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._advance(match.end() if match else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self) -> None:
        """Skip one character, which is not a line end."""
        self._at += 1

    def value(self) -> tuple[Any, str]:
        """Return the value that begins here, and its JSON."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos + _LONGEST_TOKEN >= len(self._text)
                if cut and self._more():
                    continue
                self._advance(min(error.pos, len(self._text)))
                raise _unreadable(self.line, error.msg) from None
            except RecursionError:
                raise _unreadable(self.line, "it is nested too deeply") from None
            except ValueError:
                raise _unreadable(self.line, "a number is too long") from None
            # A number may go on: 12 may be cut before .5, and 12. before 5.
            cut = end + _LONGEST_TOKEN >= len(self._text) and self._text[end : end + 1] not in _AFTER_VALUE
            if cut and self._more():
                continue
            written = self._text[self._at : end]
            self._advance(end)
            return value, written

    def _advance(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end

    def _more(self) -> bool:
        """Read on, at least as much as is already there, so that parsing a value of any size takes linear time."""
        parts = [self._text[self._at :]]
        wanted = len(parts[0])
        if wanted > LARGEST_ROW:
            raise _too_large(self.line)
        read = 0
        for chunk in self._chunks:
            parts.append(chunk)
            read += len(chunk)
            if read > wanted:
                break
        self._text, self._at = "".join(parts), 0
        return read > 0


def check_names(columns: Sequence[object]) -> None:
    """Raise if two columns have the same name, since a payload would have only one of them.

    :param columns: the names of the columns
    :raises CoreError: if one is repeated
    """
    repeated = next((name for name, times in Counter(columns).items() if times > 1), None)
    if repeated is not None:
        raise configuration_error(
            f"Two columns of the payloads have the same name: {shown(repeated, 60)}.",
            "OKW-1549: Rename one of them: in the query (SELECT … AS …), the frame, or the first line of the file.",
        )


def check_column(item_key: str, columns: Sequence[str]) -> None:
    """Raise if ``item_key`` names a column that does not exist.

    :param item_key: the expression
    :param columns: the names of the columns
    :raises CoreError: if it is a plain name and no column has it
    """
    name = item_key.strip()
    if _PLAIN_NAME.fullmatch(name) and name not in columns:
        known = ", ".join(shown(column) for column in columns[:_COLUMNS_SHOWN])
        more = f" and {len(columns) - _COLUMNS_SHOWN} more" if len(columns) > _COLUMNS_SHOWN else ""
        raise configuration_error(
            f"There is no column {shown(name)}, which item_key names.",
            "OKW-1544: Name one of the columns below, spelled as there. Nothing was sent.",
            detail=f"Columns: {known}{more}",
        )


def _utf_8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    first = True
    for chunk in chunks:
        if first and (
            name := next((_OTHER_ENCODINGS[mark] for mark in _OTHER_ENCODINGS if chunk.startswith(mark)), "")
        ):
            raise configuration_error(f"The file is in {name}, not in UTF-8.", _SAVE_AS_UTF_8)
        first = False
        yield chunk


def _texts(lines: Iterable[bytes]) -> Iterator[str | None]:
    """Return the text of each line; None for a line that is too large, whose pieces are skipped."""
    first, skips = True, False
    for piece in _utf_8(lines):
        large = len(piece) > LARGEST_ROW
        if not skips:
            # A byte that is not UTF-8 makes its own row one that cannot be sent.
            text = None if large else piece.decode("utf-8", "surrogateescape")
            yield text.removeprefix("\ufeff") if first and text else text
        first, skips = False, (large or skips) and not piece.endswith(b"\n")


def _require_no_large(texts: Iterable[str | None]) -> Iterator[str]:
    """Raise for a line that is too large: a quote in it may hide where the next row begins."""
    for number, text in enumerate(texts, 1):
        if text is None:
            raise _too_large(number)
        yield text


def _row(number: int, payload: Any, text: str, line: int | None = None) -> Row:
    """Return a row, which is a bad one if its text is not in UTF-8."""
    problem = configuration_error("It is not in UTF-8.", _SAVE_AS_UTF_8) if _is_not_utf_8(text) else None
    return Row(number, payload, problem, line)


def _is_not_utf_8(text: str) -> bool:
    return not text.isascii() and _NOT_UTF_8.search(text) is not None


def _bad_row(what: str) -> CoreError:
    return configuration_error(what)


def _unreadable(line: int, why: str) -> CoreError:
    return configuration_error(
        f"The file cannot be read from line {line} on: {why}.",
        "OKW-1542: Correct the file there: the rows after it cannot be separated. Nothing was sent.",
    )


def _too_large(line: int) -> CoreError:
    return _unreadable(line, f"a row has {_MORE}")


def _empty() -> CoreError:
    return configuration_error(
        "The file is empty.",
        "OKW-1546: Look at the task that writes it. A file without rows has a header (CSV), a blank line (JSON"
        " Lines) or [] (JSON). Nothing was sent.",
    )
