"""The idempotency key: one per wanted run, and another as soon as a run is known to have failed."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.flows.idempotency_key import (
    WantedRun,
    computed_identity,
    derive_key,
    packed_key,
    unpacked_key,
)

BASE: dict[str, Any] = {
    "dag_id": "dag",
    "run_id": "run",
    "task_id": "task",
    "map_index": -1,
    "max_tries": 3,
    "run_mark": "2026-01-01",
}
RUN = WantedRun("6f0d3c57-6d1c-4b1e-9f0e-6b8b7a0f4c11", 3)


def test_a_computed_identity_is_one_per_task_instance_run_and_clearing() -> None:
    others = [{name: other} for name, other in zip(BASE, ("dag2", "run2", "task2", 0, 4, "2026-01-02"), strict=True)]
    identities = [computed_identity(**{**BASE, **other}) for other in ({}, *others)]

    assert len(set(identities)) == len(identities)
    assert computed_identity(**BASE) == identities[0]
    assert all(UUID(identity) for identity in identities)


def test_ids_that_only_join_to_the_same_text_have_different_identities() -> None:
    assert computed_identity(**{**BASE, "dag_id": "a", "run_id": "b-c"}) != computed_identity(
        **{**BASE, "dag_id": "a-b", "run_id": "c"}
    )


def test_each_failed_run_is_followed_by_one_with_a_key_of_its_own() -> None:
    runs = [RUN]
    for _ in range(20):
        runs.append(runs[-1].after_failure())

    assert len({run.key for run in runs}) == 21
    assert runs[0].key == RUN.identity
    assert [run.key for run in runs] == [derive_key(RUN.identity, ordinal) for ordinal in range(21)]


@given(max_tries=st.none() | st.integers(0, 100), ordinal=st.integers(0, 1000))
def test_any_wanted_run_is_read_as_it_was_written(max_tries: int | None, ordinal: int) -> None:
    run = WantedRun(str(uuid4()), max_tries, ordinal)

    assert WantedRun.from_json(run.to_json()) == run
    assert run.to_json()["idempotency_key"] == run.key


@pytest.mark.parametrize(
    "changed",
    [
        {"identity": None},
        {"identity": "not a UUID"},
        {"identity": 7},
        {"ordinal": -1},
        {"ordinal": "1"},
        {"ordinal": None},
        {"max_tries": "3"},
    ],
)
def test_what_is_not_understood_is_no_wanted_run(changed: dict[str, Any]) -> None:
    assert WantedRun.from_json({**RUN.to_json(), **changed}) is None


def test_a_note_without_max_tries_is_no_wanted_run() -> None:
    value = RUN.to_json()
    del value["max_tries"]

    assert WantedRun.from_json(value) is None


@given(st.uuids())
def test_any_key_can_be_packed(key: UUID) -> None:
    assert packed_key(str(key)) == key.bytes
    assert unpacked_key(packed_key(str(key))) == str(key)


@pytest.mark.parametrize("text", ["", "00", "no uuid", "6f0d3c57-6d1c-5b1e-9f0e-6b8b7a0f4c1", "g" * 32])
def test_what_is_no_uuid_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"UUID|hexadecimal"):
        packed_key(text)
