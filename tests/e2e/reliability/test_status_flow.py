"""A flow with a status flow runs exactly once, whenever its task or its triggerer is killed, and nobody has to look."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from airflow_okta_workflows.emulator import Answer, HtmlError, Latency, Reset
from tests.airflow_rest import until
from tests.e2e.reliability.stage import Stage

# A whole Airflow, on two cores that may be busy.
pytestmark = pytest.mark.timeout(600)

Say = Callable[[str], None]
KILLED, DEFERRED, KILLED_DEFERRED, LOST, BATCH = 20, 20, 12, 8, 150
LOST_BY_AIRFLOW = 2
"""Most tries that Airflow itself may lose before they begin, on a busy machine; these are not killed again."""


def figures(stage: Stage, dag_id: str, run_id: str, begun: float) -> str:
    """Return what came of a DAG's tasks, in words."""
    tasks, ran = stage.airflow.tasks(dag_id, run_id), stage.runs(dag_id)
    states = Counter(task["state"] for task in tasks)
    tries = dict(sorted(Counter(task["try_number"] for task in tasks).items()))
    unknown = stage.airflow.task_logs(dag_id).count("OktaFlowOutcomeUnknownError")
    return (
        f"{dag_id}: {stage.asked.killed(dag_id)} of {len(tasks)} tasks killed: {dict(states)}; {ran.total()} runs of"
        f" {len(ran)} keys; {unknown} unknown; number of tasks by tries: {tries}; {time.monotonic() - begun:.0f} s"
    )


def test_a_task_killed_at_any_moment_runs_its_flow_exactly_once(stage: Stage, say: Say) -> None:
    begun = time.monotonic()
    run_id = stage.airflow.trigger("asked_killed")
    state = stage.airflow.finished("asked_killed", run_id, within=400)

    say(figures(stage, "asked_killed", run_id, begun))
    tasks = stage.airflow.tasks("asked_killed", run_id)
    assert state == "success", stage.airflow.failures("asked_killed", run_id)
    assert len(tasks) == KILLED
    assert stage.asked.killed("asked_killed") >= KILLED - LOST_BY_AIRFLOW
    assert {task["try_number"] for task in tasks} <= {2, 3}
    assert list(stage.runs("asked_killed").values()) == [1] * KILLED


def test_a_deferred_task_runs_its_flow_exactly_once_though_its_triggerer_is_killed(stage: Stage, say: Say) -> None:
    begun = time.monotonic()
    run_id = stage.airflow.trigger("asked_deferred")
    until(
        lambda: stage.airflow.states("asked_deferred", run_id) == {"deferred": DEFERRED},
        300,
        lambda: f"not all deferred: {stage.airflow.states('asked_deferred', run_id)}",
        stage.airflow.every,
    )
    assert stage.airflow.kill_triggerers() >= 1
    stage.airflow.start_triggerer()
    stage.asked.released.set()
    state = stage.airflow.finished("asked_deferred", run_id, within=240)

    say("triggerer killed, " + figures(stage, "asked_deferred", run_id, begun))
    tasks = stage.airflow.tasks("asked_deferred", run_id)
    assert state == "success", stage.airflow.failures("asked_deferred", run_id)
    assert stage.asked.killed("asked_deferred") >= KILLED_DEFERRED - LOST_BY_AIRFLOW
    assert {task["try_number"] for task in tasks} <= {1, 2, 3}
    assert list(stage.runs("asked_deferred").values()) == [1] * DEFERRED


def test_a_lost_response_needs_no_retry(stage: Stage, say: Say) -> None:
    begun = time.monotonic()
    for fault in (
        Reset(after_run=True),
        Answer(504, after_run=True),
        HtmlError(502, after_run=True),
        # Longer than the read time-out.
        Latency(10, after_run=True),
    ):
        stage.org.inject(fault, flow="asked_lost", times=LOST // 4)
    run_id = stage.airflow.trigger("asked_lost")
    state = stage.airflow.finished("asked_lost", run_id, within=240)

    say(figures(stage, "asked_lost", run_id, begun))
    tasks = stage.airflow.tasks("asked_lost", run_id)
    assert state == "success", stage.airflow.failures("asked_lost", run_id)
    assert [task["try_number"] for task in tasks] == [1] * LOST
    assert list(stage.runs("asked_lost").values()) == [1] * LOST


def test_a_batch_that_is_killed_half_way_runs_each_item_exactly_once(stage: Stage, say: Say) -> None:
    begun = time.monotonic()
    run_id = stage.airflow.trigger("asked_batch")
    before = until(
        lambda: runs if (runs := stage.runs("asked_batch").total()) >= BATCH // 2 else None,
        120,
        lambda: f"only {stage.runs('asked_batch').total()} items ran",
    )
    stage.kill("asked_batch")
    state = stage.airflow.finished("asked_batch", run_id, within=240)

    ran = stage.runs("asked_batch")
    records = stage.airflow.xcom("asked_batch", run_id, "asked_batch") if state == "success" else []
    outcomes = Counter(record["outcome"] for record in records)
    (task,) = stage.airflow.tasks("asked_batch", run_id)
    say(
        f"asked_batch: {BATCH} items, killed after {before} runs: task {state} in try {task['try_number']};"
        f" {dict(outcomes)}, {outcomes['unknown']} unknown; {ran.total()} runs of {len(ran)} keys;"
        f" {time.monotonic() - begun:.0f} s"
    )
    assert state == "success", stage.airflow.failures("asked_batch", run_id)
    assert before < BATCH
    assert task["try_number"] == 2
    assert outcomes == {"succeeded": BATCH}
    assert [record["result"] for record in records] == list(range(BATCH))
    assert ran == dict.fromkeys([record["key"] for record in records], 1)
