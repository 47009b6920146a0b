"""Client of a running Airflow's REST API, for all tests that start an Airflow."""

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
READING_TIME = 6.0
"""Seconds after which a question is answered. An answer within about a second comes before the scheduler has heard that
the worker's process ended, so Airflow 3.3.2 takes the resumed task for a failed one, and its retry asks again."""
_ATTEMPTS = 10
"""Attempts per request: an API server on SQLite returns 500 during concurrent writes, having changed nothing."""


def free_port() -> int:
    """Return a free TCP port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class AirflowRest:
    """Client of one Airflow.

    :param url: URL of its API server
    :param every: seconds between two polls while a method waits for something
    """

    def __init__(self, url: str, every: float = 0.2) -> None:
        self.url = url
        self.every = every
        self._session = requests.Session()
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """Close the connections to the API server."""
        self._session.close()

    def healthy(self) -> bool:
        """Return whether each component of Airflow reports that it is healthy."""
        health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def sign_in(self, username: str | None = None, password: str | None = None) -> None:
        """Sign in as a user, or without a name where all users are admins.

        :raises KeyError: if Airflow refuses the credentials
        """
        if username is None:
            response = self._session.get(f"{self.url}/auth/token", timeout=5)
        else:
            response = self._session.post(
                f"{self.url}/auth/token", json={"username": username, "password": password}, timeout=120
            )
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def add_connection(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Add a connection in the form of :meth:`airflow_okta_workflows.emulator.LocalOrg.connection`."""
        body = {**connection, "connection_id": conn_id, "extra": json.dumps(connection["extra"])}
        self._api("POST", "/connections", body).raise_for_status()

    def connection(self, conn_id: str) -> dict[str, Any]:
        """Return a connection as Airflow shows it, with its extra decoded and its secrets masked."""
        response = self._api("GET", f"/connections/{conn_id}")
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return {**found, "extra": json.loads(found["extra"])}

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a DAG run as soon as the DAG is known, and return its id."""
        body = {"logical_date": None, "conf": conf or {}, **({"dag_run_id": run_id} if run_id else {})}

        def start() -> str | None:
            if not self._api("PATCH", f"/dags/{dag_id}", {"is_paused": False}).ok:
                return None
            response = self._api("POST", f"/dags/{dag_id}/dagRuns", body)
            return str(response.json()["dag_run_id"]) if response.ok else None

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
        """Return the details of a DAG."""
        response: dict[str, Any] = self._api("GET", f"/dags/{dag_id}/details").json()
        return response

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances."""
        response = self._api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=500")
        found: list[dict[str, Any]] = response.json()["task_instances"]
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
        """Return a task's return value."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=true"
        response = self._api("GET", path)
        response.raise_for_status()
        return response.json()["value"]

    def task(self, dag_id: str, task_id: str) -> dict[str, Any]:
        """Return the details of a task of a DAG."""
        found: dict[str, Any] = self._api("GET", f"/dags/{dag_id}/tasks/{task_id}").json()
        return found

    def questions(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the required actions of a run that nobody has answered, by the id of their task."""
        response = self._api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/hitlDetails?response_received=false")
        response.raise_for_status()
        return {detail["task_instance"]["task_id"]: detail for detail in response.json()["hitl_details"]}

    def mapped_questions(self, dag_id: str, run_id: str, task_id: str) -> dict[int, dict[str, Any]]:
        """Return the required actions of a mapped task that nobody has answered, by map index."""
        response = self._api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/hitlDetails?response_received=false&limit=100")
        response.raise_for_status()
        asked = {detail["task_instance"]["id"]: detail for detail in response.json()["hitl_details"]}
        tasks = [task for task in self.tasks(dag_id, run_id) if task["task_id"] == task_id]
        return {task["map_index"]: asked[task["id"]] for task in tasks if task["id"] in asked}

    def answer(
        self, dag_id: str, run_id: str, task_id: str, option: str, *, map_index: int = -1, **params: Any
    ) -> None:
        """Answer the required action of a task.

        :param option: the option that is chosen
        :param map_index: the index of a mapped task
        :param params: what is entered
        """
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}/hitlDetails"
        self._api("PATCH", path, {"chosen_options": [option], "params_input": params}).raise_for_status()

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task as failed, as a user can."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._api("PATCH", path, {"new_state": "failed"}).raise_for_status()

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a DAG run that has ended."""
        self._api("DELETE", f"/dags/{dag_id}/dagRuns/{run_id}").raise_for_status()

    def checkpoints(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return the entries of a task's state store (Airflow 3.3+), by key."""
        response = self._api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store")
        response.raise_for_status()
        return {entry["key"]: entry["value"] for entry in response.json()["task_state_store"]}

    def delete_checkpoint(self, dag_id: str, run_id: str, task_id: str, name: str) -> None:
        """Delete an entry of a task's state store (Airflow 3.3+)."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store/{name}"
        self._api("DELETE", path).raise_for_status()

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run, as a user can."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        self._api("POST", f"/dags/{dag_id}/clearTaskInstances", body).raise_for_status()

    def _api(self, method: str, path: str, body: Any = None) -> requests.Response:
        with self._one_at_a_time:
            for _ in range(_ATTEMPTS):
                response = self._session.request(method, f"{self.url}/api/v2{path}", json=body, timeout=120)
                if response.status_code != 500:
                    break
            return response


def until(probe: Callable[[], T | None], within: float, what: str | Callable[[], str], every: float = 0.2) -> T:
    """Poll for a result, and return it: there is no event to wait on, because another process produces the result.

    :param probe: returns the result, or something falsy while there is none
    :param within: time limit in seconds
    :param what: message of the failure; a function is called only on failure, so it can describe the state at that time
    :param every: seconds between two polls
    :raises AssertionError: if there is no result in time
    """
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        response = probe()
        if response:
            return response
        time.sleep(every)
    raise AssertionError(what() if callable(what) else what)
