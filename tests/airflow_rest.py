"""A running Airflow as its REST API shows it; for the tests that start one in whatever way."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_ATTEMPTS = 5
"""An API server on SQLite answers 500 when others write meanwhile, and has then changed nothing."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class AirflowRest:
    """Talk to an Airflow.

    :param url: where its API server is
    :param every: seconds between two questions while it waits for something
    """

    def __init__(self, url: str, every: float = 0.2) -> None:
        self.url = url
        self.every = every
        self._session = requests.Session()
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """Close the connections to it."""
        self._session.close()

    def healthy(self) -> bool:
        """Tell whether each part of it says that it is well."""
        health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def sign_in(self, username: str | None = None, password: str | None = None) -> None:
        """Sign in as a user, or as anybody where everyone is an admin.

        :raises KeyError: if that is refused
        """
        if username is None:
            answer = self._session.get(f"{self.url}/auth/token", timeout=5)
        else:
            answer = self._session.post(
                f"{self.url}/auth/token", json={"username": username, "password": password}, timeout=30
            )
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def add_connection(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Add a connection, as :meth:`airflow_okta_workflows.emulator.LocalOrg.connection` gives it."""
        body = {**connection, "connection_id": conn_id, "extra": json.dumps(connection["extra"])}
        self._api("POST", "/connections", body).raise_for_status()

    def connection(self, conn_id: str) -> dict[str, Any]:
        """Return a connection as Airflow shows it, its extra decoded and its secrets masked."""
        answer = self._api("GET", f"/connections/{conn_id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return {**found, "extra": json.loads(found["extra"])}

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a DAG run as soon as the DAG is known, and return its id."""
        body = {"logical_date": None, "conf": conf or {}, **({"dag_run_id": run_id} if run_id else {})}

        def start() -> str | None:
            if not self._api("PATCH", f"/dags/{dag_id}", {"is_paused": False}).ok:
                return None
            answer = self._api("POST", f"/dags/{dag_id}/dagRuns", body)
            return str(answer.json()["dag_run_id"]) if answer.ok else None

        return until(
            start, 60, lambda: f"DAG {dag_id} is not known: {self._api('GET', '/importErrors').text}", self.every
        )

    def finished(self, dag_id: str, run_id: str, within: float) -> str:
        """Wait until a run has ended, and return its state."""

        def ended() -> str | None:
            state = str(self._api("GET", f"/dags/{dag_id}/dagRuns/{run_id}").json().get("state"))
            return state if state in ("success", "failed") else None

        return until(ended, within, lambda: f"{dag_id} did not end: {self.states(dag_id, run_id)}", self.every)

    def dag(self, dag_id: str) -> dict[str, Any]:
        """Return what is known of a DAG."""
        answer: dict[str, Any] = self._api("GET", f"/dags/{dag_id}/details").json()
        return answer

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances."""
        answer = self._api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=500")
        found: list[dict[str, Any]] = answer.json()["task_instances"]
        return found

    def states(self, dag_id: str, run_id: str) -> dict[str, int]:
        """Return how many task instances are in each state."""
        counts: dict[str, int] = {}
        for task in self.tasks(dag_id, run_id):
            counts[str(task["state"])] = counts.get(str(task["state"]), 0) + 1
        return counts

    def failures(self, dag_id: str, run_id: str) -> list[str]:
        """Return the logs of the last tries of the tasks that failed."""
        logs = []
        for task in self.tasks(dag_id, run_id):
            if task["state"] == "failed":
                path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
                logs.append(self._api("GET", f"{path}?map_index={task['map_index']}&full_content=true").text)
        return logs

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task has returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=true"
        answer = self._api("GET", path)
        answer.raise_for_status()
        return answer.json()["value"]

    def task(self, dag_id: str, task_id: str) -> dict[str, Any]:
        """Return what is known of a task of a DAG."""
        found: dict[str, Any] = self._api("GET", f"/dags/{dag_id}/tasks/{task_id}").json()
        return found

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task failed, as by hand."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._api("PATCH", path, {"new_state": "failed"}).raise_for_status()

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a DAG run that has ended."""
        self._api("DELETE", f"/dags/{dag_id}/dagRuns/{run_id}").raise_for_status()

    def notes(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return what a task has in its state store (Airflow 3.3+), by name."""
        answer = self._api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store")
        answer.raise_for_status()
        return {entry["key"]: entry["value"] for entry in answer.json()["task_state_store"]}

    def delete_note(self, dag_id: str, run_id: str, task_id: str, name: str) -> None:
        """Delete an entry of a task's state store (Airflow 3.3+)."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store/{name}"
        self._api("DELETE", path).raise_for_status()

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run, as by hand."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        self._api("POST", f"/dags/{dag_id}/clearTaskInstances", body).raise_for_status()

    def _api(self, method: str, path: str, body: Any = None) -> requests.Response:
        with self._one_at_a_time:
            for _ in range(_ATTEMPTS):
                answer = self._session.request(method, f"{self.url}/api/v2{path}", json=body, timeout=30)
                if answer.status_code != 500:
                    break
            return answer


def until(probe: Callable[[], T | None], within: float, what: str | Callable[[], str], every: float = 0.2) -> T:
    """Ask until there is an answer; a test that waits for another process has no event to wait on.

    :param probe: asks
    :param within: seconds
    :param what: says what did not come; a function is asked for it only then, and can tell how things are
    :param every: seconds between two questions
    :raises AssertionError: if there is no answer
    """
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        answer = probe()
        if answer:
            return answer
        time.sleep(every)
    raise AssertionError(what() if callable(what) else what)
