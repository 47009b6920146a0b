"""The two promises, against a real Airflow that is being killed.

The tests share one Airflow and run in the order in which they stand; the last one searches everything it kept.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.core.key_generation import pem_of
from airflow_okta_workflows.emulator import FlowRequest, LocalOrg, ReturnError
from tests.airflow_rest import until
from tests.e2e.airflow_standalone import Airflow, files_below

# A whole Airflow, on two cores that may be busy.
pytestmark = pytest.mark.timeout(600)

Say = Callable[[str], None]
KILLED, SENSORS, MANY, BATCH, DEFERRED = 20, 50, 200, 150, 20
FLOW_SECONDS = 1.5
PASSPHRASE = "e2e-passphrase-0815"


class WatchedOrg(LocalOrg):
    """Keep the assertions, which the search at the end looks for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.assertions: list[str] = []

    def saw_assertion(self, assertion: str) -> None:
        self.assertions.append(assertion)


@dataclass
class Stage:
    """Hold the org and the Airflow that the tests share.

    :param org: the org
    :param airflow: the Airflow
    :param pids: the folder in which tasks leave their process ids
    :param began: when the slow flow began to run, by DAG and payload
    :param finished: set when the flows that sensors wait for have finished
    """

    org: WatchedOrg
    airflow: Airflow
    pids: Path
    finished: threading.Event = field(default_factory=threading.Event)
    began: dict[tuple[str, int], float] = field(default_factory=dict)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home, pids = tmp_path_factory.mktemp("airflow-e2e"), tmp_path_factory.mktemp("pids")
    with WatchedOrg(rate_limit=None, key_type="rsa2048") as org:
        tries: Counter[str | None] = Counter()
        finished = threading.Event()
        began: dict[tuple[str, int], float] = {}

        @org.flow("slow")
        def slow(request: FlowRequest) -> Any:
            began.setdefault((request.body["dag"], request.body["n"]), time.monotonic())
            time.sleep(FLOW_SECONDS)
            return {"n": request.body["n"], "execution": request.execution_id}

        @org.flow("second_try")
        def second_try(request: FlowRequest) -> Any:
            tries[request.invocation_key] += 1
            return {"key": request.invocation_key} if tries[request.invocation_key] > 1 else ReturnError(500, "not yet")

        @org.flow("status")
        def status(request: FlowRequest) -> Any:
            return {"status": "SUCCEEDED" if finished.is_set() else "RUNNING", "n": request.body["n"]}

        @org.flow("quick")
        def quick(request: FlowRequest) -> Any:
            return {"n": request.body["n"]}

        # A PEM is what gets printed line by line; its passphrase is for the search, the key has none.
        connection = {**org.connection(key_passphrase=PASSPHRASE, key_id=org.private_jwk["kid"])}
        connection["password"] = pem_of(org.private_jwk)
        environment = {
            "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT": json.dumps(connection),
            "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": str(home / "tokens"),
            "E2E_PIDS": str(pids),
        }
        with Airflow(home, Path(__file__).parent / "dags", environment) as airflow:
            yield Stage(org, airflow, pids, finished, began)


def kill_when(stage: Stage, dag_id: str, stop: threading.Event) -> None:
    """Kill the first try of each task with SIGKILL, each at another moment of its life.

    Even ones by the time since the task began, which is mostly before it sends; odd ones by the time since the flow
    began to run, up to about its answer.
    """
    seen: dict[Path, float] = {}
    while not stop.wait(0.01):
        for path in stage.pids.glob(f"{dag_id}-*-1"):
            index = int(path.name.split("-")[1])
            since = seen.setdefault(path, time.monotonic()) if index % 2 == 0 else stage.began.get((dag_id, index))
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
    ran = Counter(run.invocation_key for run in stage.org.flows["slow"].runs if run.body["dag"] == dag_id)
    return tasks, ran, len(list(stage.pids.glob(f"{dag_id}-*.killed")))


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


def test_a_retry_keeps_its_key_and_a_clearing_by_hand_gets_a_new_one(stage: Stage) -> None:
    run_id = stage.airflow.trigger("cleared")
    assert stage.airflow.finished("cleared", run_id, within=90) == "success"
    first = [run.invocation_key for run in stage.org.flows["second_try"].runs]
    assert len(first) == 2
    assert len(set(first)) == 1

    stage.airflow.clear("cleared", run_id)
    until(lambda: len(stage.org.flows["second_try"].runs) > 2 or None, 60, "the cleared task did not run")
    assert stage.airflow.finished("cleared", run_id, within=90) == "success"

    second = [run.invocation_key for run in stage.org.flows["second_try"].runs][2:]
    assert len(second) == 2
    assert len(set(second)) == 1
    assert set(first).isdisjoint(second)


def test_deferred_sensors_survive_their_triggerer(stage: Stage, say: Say) -> None:
    run_id = stage.airflow.trigger("sensors")
    until(
        lambda: stage.airflow.states("sensors", run_id).get("deferred", 0) == SENSORS or None,
        150,
        lambda: f"not all deferred: {stage.airflow.states('sensors', run_id)}",
    )
    assert stage.airflow.kill_triggerers() >= 1
    stage.airflow.start_triggerer()
    stage.finished.set()

    assert stage.airflow.finished("sensors", run_id, within=240) == "success"
    states = stage.airflow.states("sensors", run_id)
    say(f"{SENSORS} deferred sensors, triggerer killed and another started: {states}")
    assert states == {"success": SENSORS}


def test_two_hundred_tasks_ask_for_one_token(stage: Stage, say: Say) -> None:
    for path in (stage.airflow.home / "tokens").iterdir():
        path.unlink()
    before = len(stage.org.token_requests)
    run_id = stage.airflow.trigger("many")

    assert stage.airflow.finished("many", run_id, within=400) == "success"
    say(f"{MANY} tasks of a real Airflow, cold: {len(stage.org.token_requests) - before} token request(s)")
    assert len(stage.org.flows["quick"].runs) == MANY
    assert len(stage.org.token_requests) - before == 1


def test_a_batch_goes_on_where_a_kill_left_it(stage: Stage, say: Say) -> None:
    run_id = stage.airflow.trigger("batch")
    until(lambda: stage.began.get(("batch", BATCH // 2)), 90, "the batch did not get half-way")
    (path,) = stage.pids.glob("batch--1-1")
    os.kill(int(path.read_text()), signal.SIGKILL)

    assert stage.airflow.finished("batch", run_id, within=120) == "success"
    ran = Counter(run.invocation_key for run in stage.org.flows["slow"].runs if run.body["dag"] == "batch")
    records = stage.airflow.xcom("batch", run_id, "batch")
    outcomes = Counter(record["outcome"] for record in records)
    say(f"batch of {BATCH}, killed half-way: {dict(outcomes)}; {sum(ran.values())} runs of {len(ran)} keys")
    assert max(ran.values()) == 1
    assert [record["index"] for record in records] == list(range(BATCH))
    assert set(outcomes) == {"succeeded", "unknown"}
    # Open at the time of the kill, about to be sent, or answered and not noted yet.
    assert 1 <= outcomes["unknown"] <= 10 * (FLOW_SECONDS + 3)
    assert {record["key"] for record in records if record["outcome"] == "succeeded"} <= set(ran)
    assert all(record["result"] == record["index"] for record in records if record["outcome"] == "succeeded")


def test_deferred_invocations_survive_their_triggerer(stage: Stage, say: Say) -> None:
    run_id = stage.airflow.trigger("deferred")
    until(
        lambda: len([place for place in stage.began if place[0] == "deferred"]) >= DEFERRED // 2 or None,
        120,
        "the triggerer did not invoke",
    )
    assert stage.airflow.kill_triggerers() >= 1
    stage.airflow.start_triggerer()

    assert stage.airflow.finished("deferred", run_id, within=240) == "success"
    ran = Counter(run.invocation_key for run in stage.org.flows["slow"].runs if run.body["dag"] == "deferred")
    say(f"{DEFERRED} deferred invocations, triggerer killed: {sum(ran.values())} runs of {len(ran)} keys")
    assert len(ran) == DEFERRED
    assert max(ran.values()) <= 2, "once before the triggerer was killed, and once after"


def secrets_of(org: WatchedOrg) -> dict[str, str]:
    """Return each secret by a name that may be printed."""
    jwk = org.private_jwk
    pem = pem_of(jwk)
    named = {f"token {number}": value for number, value in enumerate(org._tokens)}
    named |= {f"assertion {number}": value for number, value in enumerate(org.assertions)}
    named |= {f"line {number} of the key": line for number, line in enumerate(pem.splitlines()[1:-1])}
    named |= {f"member {name} of the key": jwk[name] for name in ("d", "p", "q", "dp", "dq", "qi")}
    return {**named, "key, escaped": pem.replace("\n", "\\n"), "passphrase": PASSPHRASE}


def search(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Return where a secret stands in the files below a folder."""
    pattern = re.compile(b"|".join(re.escape(value.encode()) for value in secrets.values()))
    return [
        f"{path.relative_to(folder)} holds a secret"
        for path in files_below(folder)
        if pattern.search(path.read_bytes())
    ]


def test_nothing_that_airflow_kept_holds_a_secret(stage: Stage, say: Say) -> None:
    secrets = secrets_of(stage.org)
    home = stage.airflow.home
    kept = list(files_below(home))
    size = sum(path.stat().st_size for path in kept)
    say(f"{len(secrets)} secrets looked for in {len(kept)} files, {size:,} bytes")

    assert stage.org.assertions
    assert any(path.name == "airflow.db" for path in kept)
    assert any(path.suffix == ".log" and "dag_id=killed" in str(path) for path in kept)
    assert search(home, secrets) == []

    # The search itself: it finds what is planted, in a log and in the database.
    planted = home / "logs" / "planted.log"
    planted.write_text(f"oops: {secrets['line 7 of the key']}\n")
    assert search(home, secrets) == ["logs/planted.log holds a secret"]
    planted.unlink()
