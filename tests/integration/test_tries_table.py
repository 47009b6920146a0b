"""Whatever happens to a task, both operators do next what the matrix says; and the page says what the matrix says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from docs.tables.tries import BEGIN, ROWS, WAYS, Row, play
from tests.pages import ROOT


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set by the rows, and put back afterwards.
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_next_try_comes_to_the_same_in_each_way(row: Row, way: str, world: Any) -> None:
    assert play(row, way, world.runtime()) == (row.error, row.runs, row.keys)


def test_the_page_is_of_these_rows() -> None:
    table = (ROOT / "docs/reliability.md").read_text().partition(BEGIN)[2]
    shown = re.findall(r"^\| (.+?) \| (yes)? \| (?:`(\w+)`|the response) \| (\d) x \| (\d) \|$", table, re.MULTILINE)

    assert shown[: len(ROWS)] == [
        (
            row.name,
            "yes" if row.idempotent else "",
            row.error.__name__ if row.error else "",
            str(row.runs),
            str(row.keys),
        )
        for row in ROWS
    ], "run: make reliability"
