"""The rows of a file: what is read, and what a damaged file is told by."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.batch.sources import (
    LARGEST_ROW,
    Row,
    check_column,
    csv_rows,
    file_format,
    json_lines_rows,
    json_list_rows,
)
from airflow_okta_workflows.core.errors import CoreError, ErrorKind


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def rows_of_csv(text: str | bytes) -> list[Row]:
    return list(csv_rows(io.BytesIO(text.encode() if isinstance(text, str) else text))[1])


def rows_of_lines(text: str) -> list[Row]:
    return list(json_lines_rows(io.BytesIO(text.encode())))


def rows_of_list(data: str | bytes, size: int = 7) -> list[Row]:
    return list(json_list_rows(chunks(data.encode() if isinstance(data, str) else data, size)))


def refusal(read: Any) -> str:
    with pytest.raises(CoreError) as caught:
        read()
    assert caught.value.kind is ErrorKind.CONFIGURATION
    return str(caught.value)


# ---- which format


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("A.CSV.GZ", "csv"), ("a.jsonl", "jsonl"), ("a.ndjson.gz", "jsonl"), ("a.b.json", "json")],
)
def test_the_name_tells_the_format(name: str, kind: str) -> None:
    assert file_format(name) == kind


@pytest.mark.parametrize("name", ["leavers", "leavers.xlsx", "leavers.gz", "csv"])
def test_another_name_is_refused_with_those_that_are_known(name: str) -> None:
    assert ".jsonl or .ndjson" in refusal(lambda: file_format(name))


# ---- CSV


def test_a_row_of_csv_is_an_object_of_texts_with_the_line_on_which_it_begins() -> None:
    read = rows_of_csv('\ufeffemail, name\r\nada@example.com,"Ada,\r\nLovelace"\r\n\r\n007,\r\n')

    assert [(row.number, row.payload) for row in read] == [
        (2, {"email": "ada@example.com", "name": "Ada,\r\nLovelace"}),
        (5, {"email": "007", "name": ""}),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a", "It has 1 cells, and the header 2."),
        ("a,b,c", "It has 3 cells"),
        ('"a"b,c', "It is not CSV: ',' expected"),
    ],
)
def test_a_damaged_row_of_csv_is_one_bad_row(line: str, said: str) -> None:
    good, bad, next_one = rows_of_csv(f"x,y\n1,2\n{line}\n3,4\n")

    assert (good.payload, next_one.payload) == ({"x": "1", "y": "2"}, {"x": "3", "y": "4"})
    assert bad.number == 3
    assert said in str(bad.problem)


def test_a_damaged_row_of_csv_says_how_many_lines_it_has_swallowed() -> None:
    bad, good = rows_of_csv('x,y\n1,"a\n2,"b"\n3,c\n')

    assert "up to line 3" in str(bad.problem)
    assert (bad.number, good.payload) == (2, {"x": "3", "y": "c"})


def test_a_cell_may_be_as_large_as_a_row() -> None:
    csv.field_size_limit(131_072)  # which is Python's own

    (row,) = rows_of_csv("x,y\n1," + "a" * 200_000 + "\n")

    assert len(row.payload["y"]) == 200_000


def test_the_process_limit_of_a_cell_is_never_lowered() -> None:
    before = csv.field_size_limit(2 * LARGEST_ROW)
    try:
        rows_of_csv("x\n1\n")
        assert csv.field_size_limit() == 2 * LARGEST_ROW
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("rest", ['1,"a\n2,b\n', '1,"' + "a\n" * (LARGEST_ROW // 2 + 1)])
def test_a_quote_that_is_not_closed_ends_the_reading(rest: str) -> None:
    assert "from line 3 on" in refusal(lambda: rows_of_csv(f"x,y\n0,0\n{rest}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The file is empty"),
        ("\n\n", "The file is empty"),
        ("a,,b\n", "an empty column name"),
        ("a,b,a\n", "the same name: 'a'"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(text: str, said: str) -> None:
    assert said in refusal(lambda: rows_of_csv(text))


def test_a_header_alone_is_no_rows() -> None:
    assert rows_of_csv("a,b\n") == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("read", [rows_of_csv, lambda data: rows_of_list(data, 99)])
def test_another_encoding_is_refused_by_its_name(encoding: str, read: Any) -> None:
    data = ("" if encoding in ("utf-16", "utf-32") else "\ufeff") + "a,b\n"

    assert f"The file is in {encoding[:6].upper()}, not in UTF-8" in refusal(lambda: read(data.encode(encoding)))


@pytest.mark.parametrize(
    "rows",
    [
        lambda: rows_of_csv(b"a\nB\xfcro\nb\n"),
        lambda: json_lines_rows([b'{"a": "B\xfcro"}\n', b'{"a": "b"}']),
        lambda: rows_of_list(b'[{"a": "B\xfcro"}, {"a": "b"}]'),
    ],
)
def test_a_byte_that_is_not_utf_8_spoils_its_own_row_only(rows: Any) -> None:
    first, second = rows()

    assert first.problem.one_line == "It is not in UTF-8. Save the file as UTF-8. (OKW-1545)"
    assert (second.payload, second.problem) == ({"a": "b"}, None)


def test_a_header_that_is_not_utf_8_is_refused() -> None:
    assert "The header of the CSV file is not in UTF-8" in refusal(lambda: rows_of_csv(b"B\xfcro\n1\n"))


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2)))
def test_any_cells_survive(cells: list[list[str]]) -> None:
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerows([["a", "b"], *cells])

    read = rows_of_csv(written.getvalue())

    assert [[row.payload["a"], row.payload["b"]] for row in read] == cells


@given(st.binary())
def test_any_bytes_are_rows_of_csv_or_refused(data: bytes) -> None:
    with contextlib.suppress(CoreError):
        rows_of_csv(data)


# ---- JSON Lines


def test_a_line_of_json_is_a_payload_or_a_bad_row_with_its_line() -> None:
    read = rows_of_lines('{"a": 1}\n\n{"a": \n[2]\r\n3')

    assert [(row.number, row.payload) for row in read if not row.problem] == [(1, {"a": 1}), (4, [2]), (5, 3)]
    (bad,) = (row for row in read if row.problem)
    assert bad.number == 3
    assert "It is not JSON: Expecting value at column" in str(bad.problem)


@pytest.mark.parametrize("line", ["[" * 100_000, "1" * 5_000])
def test_a_line_that_python_cannot_parse_is_a_bad_row(line: str) -> None:
    bad, good = rows_of_lines(f"{line}\n1")

    assert bad.problem
    assert good.payload == 1


def test_an_empty_file_of_json_lines_is_refused_and_a_blank_one_is_no_rows() -> None:
    assert "empty" in refusal(lambda: rows_of_lines(""))
    assert rows_of_lines("\n") == []


@pytest.mark.parametrize("pieces", [[b""], [b"x\n"], [b"x" * (LARGEST_ROW + 1), b"\n"]])
def test_a_line_that_is_too_large_is_a_bad_row_and_not_held(pieces: list[bytes]) -> None:
    large = [b"x" * (LARGEST_ROW + 1), *pieces] if pieces != [b""] else [b"x" * LARGEST_ROW + b"\n"]

    first, bad, last = json_lines_rows([b"1\n", *large, b"3"])

    assert [(row.number, row.payload) for row in (first, last)] == [(1, 1), (3, 3)]
    assert (bad.number, str(bad.problem)) == (2, "It has more than 16 MiB.")


def test_a_line_of_csv_that_is_too_large_ends_the_reading() -> None:
    lines = [b"x\n", b"1" * (LARGEST_ROW + 1), b"\n"]

    assert "from line 2 on: a row has more than 16 MiB" in refusal(lambda: list(csv_rows(lines)[1]))


# ---- JSON list


def test_elements_of_a_list_are_counted_and_have_the_line_on_which_they_begin() -> None:
    read = rows_of_list('\ufeff [\n {"a":\n "x,]"},\n\n 12.5 , null ]\n')

    assert [(row.place, row.payload) for row in read] == [
        ("1 (line 2)", {"a": "x,]"}),
        ("2 (line 5)", 12.5),
        ("3 (line 5)", None),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "The file is empty"),
        (" \n ", "The file is empty"),
        ('{"a": 1}', "not a list"),
        ("[1, 2", "from line 1 on: the list is not closed"),
        ("[1,\n2,\n]", "from line 3 on: Expecting value"),
        ("[1\n 2]", "from line 2 on: a comma is missing"),
        ("[1]\n[2]", "from line 2 on: there is more after the list"),
        ('[1, {"a": nul}, 3]', "from line 1 on: Expecting value"),
        ('[1, "abc', "from line 1 on: Unterminated string"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "1" * 5_000 + "]", "a number is too long"),
    ],
)
def test_a_list_that_cannot_be_read_on_is_refused(text: str, said: str) -> None:
    assert said in refusal(lambda: rows_of_list(text))


def test_an_empty_list_is_no_rows() -> None:
    assert rows_of_list(" [ ] ") == []


def test_a_damaged_list_is_not_read_to_its_end() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield b'[{"a": nope}, '
        while True:
            read += 1
            yield b'{"a": 1}, '

    assert "Expecting value" in refusal(lambda: list(json_list_rows(endless())))
    assert read < 10


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5
)


@given(st.lists(values), st.integers(1, 9), st.booleans(), st.sampled_from([None, 0, 2]))
def test_any_json_list_survives_in_any_pieces(payloads: list[Any], size: int, ascii_only: bool, indent: Any) -> None:
    data = json.dumps(payloads, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")

    assert [row.payload for row in rows_of_list(data, size)] == json.loads(json.dumps(payloads, ensure_ascii=True))


@given(st.binary() | st.text(alphabet='[]{}",:0123456789.eE+- \n\\untrfalsNI').map(str.encode), st.integers(1, 9))
def test_any_bytes_are_a_list_or_refused(data: bytes, size: int) -> None:
    try:
        read = [row.payload for row in rows_of_list(data, size)]
    except CoreError:
        return
    assert repr(read) == repr(json.loads(data.decode("utf-8-sig", "surrogateescape")))


@given(st.text(alphabet='[]{}",:0123456789.eE+- \n\\untrfalsNI'), st.integers(1, 9))
def test_what_json_takes_is_taken(text: str, size: int) -> None:
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(expected, list):
        assert repr([row.payload for row in rows_of_list(text, size)]) == repr(expected)


# ---- columns


def test_a_column_that_is_not_there_is_named_beside_those_that_are() -> None:
    check_column("email", ["email"])
    check_column("person.email", ["a"])
    said = refusal(lambda: check_column("mail", ["email", "name"]))

    assert "There is no column 'mail'" in said
    assert "Columns: 'email', 'name'" in said
