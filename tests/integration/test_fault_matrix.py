"""Each fault, in each way of invoking a flow, comes to what the matrix says; and the page says what the matrix says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.fault_matrix import BEGIN, ROWS, WAYS, Row, play

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set by the rows, and put back afterwards.
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_fault_comes_to_the_same_in_each_way(row: Row, way: str, world: Any) -> None:
    error, runs, _ = play(row, way, world.surroundings())

    assert (error, runs) == (row.error, row.runs)


def test_the_page_is_of_these_faults() -> None:
    table = PAGE.read_text().partition(BEGIN)[2]
    shown = re.findall(r"^\| (.+?) \| (yes)? \| (?:`(\w+)`|the answer) \| (\d) x ", table, re.MULTILINE)

    assert shown == [
        (row.name, "yes" if row.idempotent else "", row.error.__name__ if row.error else "", str(row.runs))
        for row in ROWS
    ], "run: make reliability"
