"""Tasks with a status flow: killed at any moment, and their triggerer too, each ends with exactly one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from airflow_okta_workflows.emulator import Answer
from tests.airflow_rest import until
from tests.e2e.reliability.stage import Stage
from tests.e2e.reliability.test_killed_tasks import KILLED, kill_figures, run_and_kill

# A whole Airflow, on two cores that may be busy.
pytestmark = pytest.mark.timeout(600)

Say = Callable[[str], None]


def test_each_killed_task_succeeds_with_one_run(stage: Stage, say: Say) -> None:
    tasks, ran, killed = run_and_kill(stage, "asked")

    states = Counter(task["state"] for task in tasks.values())
    say("with a status flow: " + kill_figures(killed, states, ran))
    assert killed >= KILLED // 2
    assert states == {"success": KILLED}
    assert len(ran) == sum(ran.values()) == KILLED
    assert "OktaFlowOutcomeUnknownError" not in stage.airflow.task_logs("asked")


def test_a_lost_response_takes_no_retry(stage: Stage, say: Say) -> None:
    stage.org.inject(Answer(504, b"upstream request timeout", after_run=True), flow="asked", times=KILLED)
    run_id = stage.airflow.trigger("asked_lost")

    assert stage.airflow.finished("asked_lost", run_id, within=240) == "success"
    tries = Counter(task["try_number"] for task in stage.airflow.tasks("asked_lost", run_id))
    ran = stage.runs("asked_lost")
    say(f"{KILLED} lost responses: {sum(ran.values())} runs of {len(ran)} keys, tries {dict(tries)}")
    assert tries == {1: KILLED}
    assert len(ran) == sum(ran.values()) == KILLED


def test_deferred_waits_survive_their_triggerer(stage: Stage, say: Say) -> None:
    run_id = stage.airflow.trigger("asked_deferred")
    until(
        lambda: stage.airflow.states("asked_deferred", run_id).get("deferred", 0) == KILLED or None,
        150,
        lambda: f"not all deferred: {stage.airflow.states('asked_deferred', run_id)}",
    )
    assert stage.airflow.kill_triggerers() >= 1
    stage.airflow.start_triggerer()
    stage.flows.ended.set()

    assert stage.airflow.finished("asked_deferred", run_id, within=240) == "success"
    ran = stage.runs("asked_deferred")
    say(f"{KILLED} deferred waits, triggerer killed: {sum(ran.values())} runs of {len(ran)} keys")
    assert len(ran) == sum(ran.values()) == KILLED
