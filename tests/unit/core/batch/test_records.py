"""What is kept of each invocation of a batch: small, and readable by the next try."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.batch.records import (
    LARGEST_CHECKPOINTED_RESULT,
    BatchRecord,
    error_line,
    in_words,
    item_label,
)
from airflow_okta_workflows.core.flows.outcome import Outcome


def test_a_record_as_the_task_returns_it_names_all_there_is() -> None:
    record = BatchRecord(Outcome.SUCCEEDED, 200, "e1", {"a": None})

    assert record.to_json() == {
        "outcome": "succeeded", "status_code": 200, "execution_id": "e1", "result": {"a": None}, "error": None,
    }  # fmt: skip
    assert "'a'" not in repr(record), "a result may be anybody's personal data"


def test_a_long_error_is_cut() -> None:
    short, long = (BatchRecord(Outcome.FAILED, error="x" * length).to_json()["error"] for length in (500, 501))

    assert short == "x" * 500
    assert long == "x" * 499 + "…"


def test_a_checkpoint_is_without_what_there_is_not() -> None:
    assert BatchRecord(Outcome.NOT_SENT).to_checkpoint() == {"outcome": "not_sent"}


@pytest.mark.parametrize("result", [0, False, "", [], {}])
def test_a_checkpoint_keeps_a_result_that_is_empty(result: Any) -> None:
    assert (
        BatchRecord.from_checkpoint(BatchRecord(Outcome.SUCCEEDED, 200, result=result).to_checkpoint()).result == result
    )


@pytest.mark.parametrize(
    ("characters", "kept"), [(LARGEST_CHECKPOINTED_RESULT - 2, True), (LARGEST_CHECKPOINTED_RESULT - 1, False)]
)
def test_a_large_result_is_stored_without_itself(characters: int, kept: bool) -> None:
    checkpoint = BatchRecord(Outcome.SUCCEEDED, 200, "e1", "x" * characters).to_checkpoint()
    read = BatchRecord.from_checkpoint(json.loads(json.dumps(checkpoint)))

    assert (read.outcome, read.status_code, read.execution_id) == (Outcome.SUCCEEDED, 200, "e1")
    assert (read.result is not None) is kept
    assert kept or f"{characters + 2} bytes was too large for a checkpoint" in str(read.error)
    assert len(json.dumps(checkpoint)) < LARGEST_CHECKPOINTED_RESULT + 500


@pytest.mark.parametrize("checkpoint", [{}, {"outcome": None}, {"outcome": "postponed"}, {"outcome": ["failed"]}])
def test_a_checkpoint_of_another_version_is_of_unknown_outcome(checkpoint: Any) -> None:
    record = BatchRecord.from_checkpoint({**checkpoint, "status_code": 200})

    assert record.outcome is Outcome.UNKNOWN
    assert "another version" in str(record.error)


@given(
    st.builds(
        BatchRecord,
        st.sampled_from(Outcome),
        st.none() | st.integers(100, 599),
        st.none() | st.text(max_size=50),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
            max_leaves=5,
        ).filter(lambda result: len(json.dumps(result)) <= LARGEST_CHECKPOINTED_RESULT),
        st.none() | st.text(max_size=500),
    )
)
def test_any_record_survives_its_note(record: BatchRecord) -> None:
    assert BatchRecord.from_checkpoint(json.loads(json.dumps(record.to_checkpoint()))) == record


def test_outcomes_are_told_in_words() -> None:
    assert in_words({Outcome.NOT_SENT: 1, Outcome.SUCCEEDED: 3, Outcome.UNKNOWN: 1}) == (
        "3 succeeded, 1 unknown, 1 not sent"
    )
    assert in_words({Outcome.FAILED: 7}) == "7 failed"
    assert in_words({}) == "nothing sent"


@pytest.mark.parametrize(
    ("index", "name", "label"),
    [
        (3, None, "Item 3"),
        (3, "ada@example.com", "Item 3 (ada@example.com)"),
        (3, 0, "Item 3 (0)"),
        (None, "ada", "Item (ada)"),
        (3, "two\nlines", "Item 3 (two\\nlines)"),
        (3, "x" * 81, f"Item 3 ({'x' * 79}…)"),
    ],
)
def test_an_item_is_called_by_its_place_and_its_item_key_on_one_line(index: Any, name: Any, label: str) -> None:
    assert item_label(index, name) == label


def test_an_error_is_one_line_with_what_the_flow_says() -> None:
    record = {"index": 1, "item": "ada", "error": "Flow 'x' returned 500.\nWhat to change: …\nThe flow says: no"}

    assert error_line(record) == "Item 1 (ada): Flow 'x' returned 500. The flow says: no"
