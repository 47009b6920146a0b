"""Each fault, in each way of invoking a flow, comes to what the matrix says; and the page says what the matrix says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.exceptions import OktaFlowNoResponseError, OktaFlowOutcomeUnknownError, outcome_of
from docs.tables.faults import BEGIN, ROWS, WAYS, Row, by_batch, by_status, by_trigger, play

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set by the rows, and put back afterwards.
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", "")
    monkeypatch.setenv("HTTPS_PROXY", "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_fault_comes_to_the_same_in_each_way(row: Row, way: str, world: Any) -> None:
    error, _, runs, _ = play(row, WAYS[way], world.runtime())

    assert (type(error) if error else None, runs) == (row.error, row.runs)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_fault_comes_to_the_same_in_a_batch(row: Row, world: Any) -> None:
    error, outcome, runs, _ = play(row, by_batch, world.runtime())

    found = outcome_of(error) if error else Outcome(outcome)
    if row.name == "a reserved name":
        assert found is Outcome.FAILED, "a payload that cannot be sent is a failed record"
    else:
        assert found is (outcome_of(row.error("")) if row.error else Outcome.SUCCEEDED)
    assert runs == row.runs


# What is invoked from a trigger is idempotent, and there is no other way to invoke it from there.
FROM_A_TRIGGER = [row for row in ROWS if row.idempotent or not issubclass(row.error or int, OktaFlowNoResponseError)]


@pytest.mark.parametrize("row", FROM_A_TRIGGER, ids=lambda row: row.name)
def test_each_fault_comes_to_the_same_in_a_trigger(row: Row, world: Any) -> None:
    error, _, runs, _ = play(row, by_trigger, world.runtime())

    assert (type(error) if error else None, runs) == (row.error, row.runs)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.idempotent], ids=lambda row: row.name)
def test_with_a_status_flow_an_unknown_outcome_is_found_out(row: Row, world: Any) -> None:
    error, result, runs, _ = play(row, by_status, world.runtime())

    if row.error in (None, OktaFlowOutcomeUnknownError):
        assert (error, result, runs) == (None, {"ok": True}, 1)
    else:
        assert (type(error), runs) == (row.error, row.runs)


def test_the_page_says_so() -> None:
    table = PAGE.read_text().partition(BEGIN)[2]
    shown = re.findall(r"^\| (.+?) \|  \| .+ \| (?:`(\w+)`|the response), (\d) x \|$", table, re.MULTILINE)

    assert shown == [
        (row.name, "", "1")
        if row.error in (None, OktaFlowOutcomeUnknownError)
        else (row.name, row.error.__name__, str(row.runs))
        for row in ROWS
        if not row.idempotent
    ], "run: make reliability"


def test_the_page_is_of_these_faults() -> None:
    table = PAGE.read_text().partition(BEGIN)[2]
    shown = re.findall(r"^\| (.+?) \| (yes)? \| (?:`(\w+)`|the response) \| (\d) x ", table, re.MULTILINE)

    assert shown == [
        (row.name, "yes" if row.idempotent else "", row.error.__name__ if row.error else "", str(row.runs))
        for row in ROWS
    ], "run: make reliability"
