"""Whatever happens to a task, it comes to what the page says: with a status flow, with a person to ask, with neither."""

from __future__ import annotations

import re

import pytest

from docs.tables.status_tries import COLUMNS, NEVER, ROWS, Column, Row, cell, without_a_key
from tests.airflow_features import QUESTIONS, needs
from tests.pages import rows

HEAD, *SHOWN = rows("docs/reliability.md", "### Side by side")
CELLS = {(line[0], title): text for line in SHOWN for title, text in zip(HEAD, line, strict=True)}
WITH_STATUS = [column.title for column in COLUMNS if column.status]
PLAYED = [
    pytest.param(row, column, id=f"{row.name} - {column.title}", marks=[needs(QUESTIONS)] if column.asks else [])
    for row in ROWS
    for column in COLUMNS
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set by the rows, and put back afterwards.
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", "")


@pytest.mark.parametrize(("row", "column"), PLAYED)
def test_a_task_comes_to_what_the_page_says(row: Row, column: Column) -> None:
    assert cell(row, column) == CELLS[row.name, column.title]


def test_the_page_has_these_rows_and_columns() -> None:
    assert [line[0] for line in SHOWN] == [row.name for row in ROWS], "run: make reliability"
    assert HEAD[1:] == [column.title for column in COLUMNS], "run: make reliability"


@pytest.mark.parametrize("row", [row for row in ROWS if row.damage is not without_a_key], ids=lambda row: row.name)
def test_with_a_status_flow_the_page_says_exactly_once(row: Row) -> None:
    wanted = 2 if row.cleared or row.fails else 1
    once = "succeeds, 1 run" if wanted == 1 else "succeeds, 2 runs of 2 keys"

    found = {CELLS[row.name, title] for title in WITH_STATUS} - {NEVER}
    assert found == {once}


def test_the_page_says_unknown_and_twice_only_without_a_status_flow() -> None:
    (no_key,) = [row.name for row in ROWS if row.damage is without_a_key]
    for (name, title), text in CELLS.items():
        if title in WITH_STATUS and name != no_key:
            assert not re.search("unknown|not seen|of 1 key", text), (name, title)
