"""The org and the Airflow that the tests of this folder share, and what they do to its tasks."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_okta_workflows.emulator import FlowRequest, LocalOrg, ReturnError
from tests.airflow_rest import until
from tests.asked_flows import AskedFlows
from tests.e2e.airflow_standalone import Airflow
from tests.e2e.reliability.sentry import Sentry
from tests.watched_org import WatchedOrg

PASSPHRASE = "e2e-passphrase-0815"
FLOW_SECONDS = 1.5
HELD_SECONDS = 60
"""A flow that is held goes on by itself before the connection's time-out."""


@dataclass
class Flows:
    """The flows of the tests' DAGs.

    :param finished: set when the flows that sensors wait for have finished
    :param began: when a flow began to run, by DAG and payload
    """

    finished: threading.Event = field(default_factory=threading.Event)
    began: dict[tuple[str, int], float] = field(default_factory=dict)
    _held: dict[tuple[str, int], threading.Event] = field(default_factory=dict)

    def release(self, dag_id: str, number: int = 0) -> None:
        """Let a flow go on that is held, and each later run of it.

        :param dag_id: of which DAG
        :param number: with which payload
        """
        self._until_released(dag_id, number).set()

    def add_to(self, org: LocalOrg) -> None:
        """Give them to an org."""
        failures = itertools.cycle([True, False])

        @org.flow("slow")
        def slow(request: FlowRequest) -> Any:
            self.began.setdefault((request.body["dag"], request.body["n"]), time.monotonic())
            time.sleep(FLOW_SECONDS)
            return {"n": request.body["n"], "execution": request.execution_id}

        @org.flow("held")
        def held(request: FlowRequest) -> Any:
            dag_id, number, hold = (request.body[name] for name in ("dag", "n", "hold"))
            self.began.setdefault((dag_id, number), time.monotonic())
            if hold == "flow":
                self._until_released(dag_id, number).wait(HELD_SECONDS)
            return {"n": number, "hold": hold, "execution": request.execution_id}

        @org.flow("second_try")
        def second_try(request: FlowRequest) -> Any:
            return ReturnError(500, "not yet") if next(failures) else {}

        @org.flow("status")
        def status(request: FlowRequest) -> Any:
            return {"status": "SUCCEEDED" if self.finished.is_set() else "RUNNING", "n": request.body["n"]}

        for name in ("quick", "limited", "limited_batch", "limited_own", "limited_once"):
            org.flow(name)(lambda request: {"n": request.body["n"]})

    def _until_released(self, dag_id: str, number: int) -> threading.Event:
        return self._held.setdefault((dag_id, number), threading.Event())


@dataclass
class Stage:
    """What the tests share.

    :param org: the org
    :param flows: its flows
    :param asked: its flows that can be asked about
    :param airflow: the Airflow
    :param dags: its DAGs folder
    :param pids: the folder in which tasks leave their process ids
    :param sentry: where Airflow reports errors to
    """

    org: WatchedOrg
    flows: Flows
    asked: AskedFlows
    airflow: Airflow
    dags: Path
    pids: Path
    sentry: Sentry

    def runs(self, dag_id: str) -> Counter[str | None]:
        """Return how often each idempotency key of a DAG ran a flow."""
        flows = self.org.flows.values()
        return Counter(run.idempotency_key for flow in flows for run in flow.runs if in_dag(run.body, dag_id))

    def wait_for_flow(self, dag_id: str, number: int = 0) -> None:
        """Wait until a flow runs.

        :param dag_id: of which DAG
        :param number: with which payload
        """
        until(lambda: (dag_id, number) in self.flows.began, 150, f"no flow of {dag_id} ran for {number}")

    def process_of(self, task_id: str, *, map_index: int = -1, mark: str = "1") -> int:
        """Wait until a task has told its process id, and return it.

        :param task_id: the task
        :param map_index: its index, if it is mapped
        :param mark: of which try, or ``held`` for one that waits to be killed
        """
        path = self.pids / f"{task_id}-{map_index}-{mark}"
        return int(until(lambda: path.read_text() if path.exists() else None, 150, f"{path.name} did not come"))

    def kill(self, task_id: str, *, map_index: int = -1, mark: str = "1") -> None:
        """Kill a task with SIGKILL; the parameters are those of :meth:`process_of`."""
        os.kill(self.process_of(task_id, map_index=map_index, mark=mark), signal.SIGKILL)

    def was_retried(self, task_id: str) -> bool:
        """Return whether a second try of a task has told its process id."""
        return (self.pids / f"{task_id}--1-2").exists()

    def state(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the state of a task instance."""
        return next(str(task["state"]) for task in self.airflow.tasks(dag_id, run_id) if task["task_id"] == task_id)


def in_dag(body: Any, dag_id: str) -> bool:
    """Return whether a payload names a DAG."""
    return isinstance(body, dict) and body.get("dag") == dag_id


def is_there(pid: int) -> bool:
    """Return whether a process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
