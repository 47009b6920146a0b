"""Tasks, batches and triggerers that are killed, and a cold token cache."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.core.flows.idempotency_key import derive_key
from tests.airflow_rest import until
from tests.e2e.reliability.stage import FLOW_SECONDS, Stage

# A whole Airflow, on two cores that may be busy.
pytestmark = pytest.mark.timeout(600)

Say = Callable[[str], None]
KILLED, SENSORS, MANY, BATCH, DEFERRED, FROM_FILE = 20, 50, 200, 150, 20, 300


def kill_when(stage: Stage, dag_id: str, stop: threading.Event) -> None:
    """Kill the first try of each task with SIGKILL, each at another moment of its life.

    Even ones by the time since the task began, which is mostly before it sends; odd ones by the time since the flow
    began to run, up to about its response.
    """
    seen: dict[Path, float] = {}
    while not stop.wait(0.01):
        for path in stage.pids.glob(f"{dag_id}-*-1"):
            index = int(path.name.split("-")[1])
            since = (
                seen.setdefault(path, time.monotonic()) if index % 2 == 0 else stage.flows.began.get((dag_id, index))
            )
            if since is not None and time.monotonic() >= since + 0.17 * (index // 2):
                pid = int(path.read_text())
                path.rename(path.with_suffix(".killed"))
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    path.with_suffix(".killed").rename(path.with_suffix(".survived"))


def run_and_kill(stage: Stage, dag_id: str) -> tuple[dict[int, dict[str, Any]], Counter[str | None], int]:
    """Run a DAG whose tasks get killed; return its tasks, how often each key ran, and how many were killed."""
    stop = threading.Event()
    killer = threading.Thread(target=kill_when, args=(stage, dag_id, stop))
    killer.start()
    try:
        run_id = stage.airflow.trigger(dag_id)
        stage.airflow.finished(dag_id, run_id, within=240)
    finally:
        stop.set()
        killer.join()
    tasks = {task["map_index"]: task for task in stage.airflow.tasks(dag_id, run_id)}
    return tasks, stage.runs(dag_id), len(list(stage.pids.glob(f"{dag_id}-*.killed")))


def kill_figures(killed: int, states: Counter[str], ran: Counter[str | None]) -> str:
    """Say what came of the killed tasks."""
    return f"{killed} of {KILLED} tasks killed: {dict(states)}; {sum(ran.values())} runs of {len(ran)} keys, at most {max(ran.values())} each"


def test_a_killed_task_never_runs_its_flow_twice(stage: Stage, say: Say) -> None:
    tasks, ran, killed = run_and_kill(stage, "killed")

    states = Counter(task["state"] for task in tasks.values())
    say(kill_figures(killed, states, ran))
    assert len(tasks) == KILLED
    assert killed >= KILLED // 2
    assert max(ran.values()) == 1
    # Whoever succeeded has run exactly once; whoever failed says why, and was not sent again.
    assert set(states) <= {"success", "failed"}
    assert len(ran) >= states["success"]
    logs = stage.airflow.task_logs("killed")
    assert states["failed"] >= 1, "some were killed while the flow ran"
    assert "OktaFlowOutcomeUnknownError" in logs
    for index, task in tasks.items():
        if task["state"] == "failed":
            folder = stage.airflow.home / "logs" / "dag_id=killed"
            last = [path.read_text() for path in folder.rglob(f"map_index={index}/*.log")]
            assert any("cut off while it invoked" in text for text in last), index


def test_a_killed_idempotent_task_sends_again_under_its_key(stage: Stage, say: Say) -> None:
    tasks, ran, killed = run_and_kill(stage, "killed_idempotent")

    states = Counter(task["state"] for task in tasks.values())
    say("idempotent: " + kill_figures(killed, states, ran))
    assert killed >= KILLED // 2
    assert states == {"success": KILLED}
    assert len(ran) == KILLED
    assert max(ran.values()) == 2, "some were killed while the flow ran"


def test_a_failed_run_is_followed_by_the_next_ordinal_and_a_clearing_by_hand_by_a_new_identity(
    stage: Stage,
) -> None:
    run_id = stage.airflow.trigger("cleared")
    assert stage.airflow.finished("cleared", run_id, within=90) == "success"
    stage.airflow.clear("cleared", run_id)
    until(lambda: len(stage.org.flows["second_try"].runs) > 2, 60, "the cleared task did not run")
    assert stage.airflow.finished("cleared", run_id, within=90) == "success"

    first, second, third, fourth = [str(run.idempotency_key) for run in stage.org.flows["second_try"].runs]
    assert second == derive_key(first, 1)
    assert third not in (first, second)
    assert fourth == derive_key(third, 1)


def test_deferred_sensors_survive_their_triggerer(stage: Stage, say: Say) -> None:
    run_id = stage.airflow.trigger("sensors")
    until(
        lambda: stage.airflow.states("sensors", run_id).get("deferred", 0) == SENSORS or None,
        150,
        lambda: f"not all deferred: {stage.airflow.states('sensors', run_id)}",
    )
    assert stage.airflow.kill_triggerers() >= 1
    stage.airflow.start_triggerer()
    stage.flows.finished.set()

    assert stage.airflow.finished("sensors", run_id, within=240) == "success"
    states = stage.airflow.states("sensors", run_id)
    say(f"{SENSORS} deferred sensors, triggerer killed and another started: {states}")
    assert states == {"success": SENSORS}


def test_two_hundred_tasks_ask_for_one_token(stage: Stage, say: Say) -> None:
    for path in (stage.airflow.home / "tokens").iterdir():
        path.unlink()
    before = len(stage.org.token_requests)
    run_id = stage.airflow.trigger("many")

    assert stage.airflow.finished("many", run_id, within=550) == "success"
    say(f"{MANY} tasks of a real Airflow, cold: {len(stage.org.token_requests) - before} token request(s)")
    assert len(stage.org.flows["quick"].runs) == MANY
    assert len(stage.org.token_requests) - before == 1


def test_a_batch_goes_on_where_a_kill_left_it(stage: Stage, say: Say) -> None:
    run_id = stage.airflow.trigger("batch")
    until(lambda: stage.flows.began.get(("batch", BATCH // 2)), 90, "the batch did not get half-way")
    stage.kill("batch")

    assert stage.airflow.finished("batch", run_id, within=120) == "success"
    ran = stage.runs("batch")
    records = stage.airflow.xcom("batch", run_id, "batch")
    outcomes = Counter(record["outcome"] for record in records)
    say(f"batch of {BATCH}, killed half-way: {dict(outcomes)}; {sum(ran.values())} runs of {len(ran)} keys")
    assert max(ran.values()) == 1
    assert [record["index"] for record in records] == list(range(BATCH))
    assert set(outcomes) == {"succeeded", "unknown"}
    # Open at the time of the kill, about to be sent, or returned and not stored yet.
    assert 1 <= outcomes["unknown"] <= 10 * (FLOW_SECONDS + 3)
    assert {record["key"] for record in records if record["outcome"] == "succeeded"} <= set(ran)
    assert all(record["result"] == record["index"] for record in records if record["outcome"] == "succeeded")


def test_a_batch_from_file_to_file_goes_on_where_a_kill_left_it(stage: Stage, say: Say) -> None:
    source, written = stage.pids / "leavers.csv", stage.pids / "records.jsonl"
    source.write_text("n,dag\n" + "".join(f"{n},files\n" for n in range(FROM_FILE)))
    run_id = stage.airflow.trigger("files")
    until(lambda: len(stage.runs("files")) >= FROM_FILE // 2 or None, 120, "the batch did not get half-way")
    stage.kill("files")
    before = written.read_text().splitlines()

    assert stage.airflow.finished("files", run_id, within=180) == "success"
    ran = stage.runs("files")
    records = [json.loads(line) for line in written.read_text().splitlines()]
    xcom = stage.airflow.xcom("files", run_id, "files")
    say(f"batch of {FROM_FILE} from file to file, killed with {len(before)} lines written: {xcom['counts']}")
    assert max(ran.values()) == 1
    assert [(record["index"], record["item"]) for record in records] == [(n, str(n)) for n in range(FROM_FILE)]
    assert set(xcom["counts"]) <= {"succeeded", "unknown"}
    assert xcom["counts"].get("unknown", 0) <= 10 * 3
    assert {record["key"] for record in records if record["outcome"] == "succeeded"} <= set(ran)
    assert 1 <= len(before) < FROM_FILE
    with closing(sqlite3.connect(stage.airflow.home / "airflow.db")) as database:
        rows = database.execute("SELECT key FROM task_state_store WHERE task_id = 'files'").fetchall()
    assert rows == [("okta_workflows_batch_0",)], "which says that the batch is done"


def test_deferred_invocations_survive_their_triggerer(stage: Stage, say: Say) -> None:
    run_id = stage.airflow.trigger("deferred")
    until(
        lambda: len([place for place in stage.flows.began if place[0] == "deferred"]) >= DEFERRED // 2 or None,
        120,
        "the triggerer did not invoke",
    )
    assert stage.airflow.kill_triggerers() >= 1
    stage.airflow.start_triggerer()

    assert stage.airflow.finished("deferred", run_id, within=240) == "success"
    ran = stage.runs("deferred")
    say(f"{DEFERRED} deferred invocations, triggerer killed: {sum(ran.values())} runs of {len(ran)} keys")
    assert len(ran) == DEFERRED
    assert max(ran.values()) <= 2, "once before the triggerer was killed, and once after"
