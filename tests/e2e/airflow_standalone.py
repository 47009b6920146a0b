"""A real Airflow of the tests' own: ``airflow standalone`` on a fresh port and home, driven through its REST API."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

READY_WITHIN = 120.0
T = TypeVar("T")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Airflow:
    """Run ``airflow standalone`` for as long as the block lasts.

    :param home: an empty folder: database, logs and everything else
    :param dags: the DAGs folder
    :param environment: further variables, such as connections
    """

    def __init__(self, home: Path, dags: Path, environment: dict[str, str]) -> None:
        self.home = home
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = home / "standalone.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            # It starts its parts by the name of its command.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "6",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "300",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            # A deferral shorter than the supervisor's heartbeat is else taken for a failure by Airflow 3.3.2.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__TRIGGERER__CAPACITY": "1000",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._extra: list[subprocess.Popen[bytes]] = []
        self._session = requests.Session()

    def __enter__(self) -> Self:
        self._process = self._start("standalone")
        deadline = time.monotonic() + READY_WITHIN
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError("airflow standalone did not get ready:\n" + self.log.read_text()[-4000:])
            time.sleep(0.5)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in [*self._extra, *([self._process] if self._process else [])]:
            for sig, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
                try:
                    os.killpg(process.pid, sig)
                    process.wait(patience)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
        self._session.close()

    def start_triggerer(self) -> None:
        """Start one more triggerer."""
        self._extra.append(self._start("triggerer"))

    def kill_triggerers(self) -> int:
        """Kill all triggerers with SIGKILL, and return how many processes that were."""
        pids = [pid for pid, command in processes_of(self.home) if "triggerer" in command]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return len(pids)

    def add_connection(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Add a connection, as :meth:`airflow_okta_workflows.emulator.LocalOrg.connection` gives it."""
        body = {**connection, "connection_id": conn_id, "extra": json.dumps(connection["extra"])}
        self._api("POST", "/connections", body).raise_for_status()

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a DAG run as soon as the DAG is known, and return its id."""

        def start() -> str | None:
            self._api("PATCH", f"/dags/{dag_id}", {"is_paused": False})
            answer = self._api("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
            return str(answer.json()["dag_run_id"]) if answer.ok else None

        return until(start, 60, f"DAG {dag_id} is not known: {self._api('GET', '/importErrors').text}")

    def finished(self, dag_id: str, run_id: str, within: float) -> str:
        """Wait until a run has ended, and return its state."""

        def ended() -> str | None:
            state = str(self._api("GET", f"/dags/{dag_id}/dagRuns/{run_id}").json().get("state"))
            return state if state in ("success", "failed") else None

        return until(ended, within, f"{dag_id} did not end: {self.states(dag_id, run_id)}")

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

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task has returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=true"
        answer = self._api("GET", path)
        answer.raise_for_status()
        return answer.json()["value"]

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run, as by hand."""
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        self._api("POST", f"/dags/{dag_id}/clearTaskInstances", body).raise_for_status()

    def task_logs(self, dag_id: str) -> str:
        """Return the logs of a DAG's tasks."""
        folder = self.home / "logs" / f"dag_id={dag_id}"
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.rglob("*.log")))

    def _start(self, command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", command],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _ready(self) -> bool:
        try:
            health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
            parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
            if not all((health.get(part) or {}).get("status") == "healthy" for part in parts):
                return False
            token = self._session.get(f"{self.url}/auth/token", timeout=5).json()["access_token"]
        except (requests.RequestException, ValueError, KeyError):
            return False
        self._session.headers["Authorization"] = f"Bearer {token}"
        return True

    def _api(self, method: str, path: str, body: Any = None) -> requests.Response:
        return self._session.request(method, f"{self.url}/api/v2{path}", json=body, timeout=30)


def processes_of(home: Path) -> list[tuple[int, str]]:
    """Return id and command of each process whose environment names this Airflow home."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"AIRFLOW_HOME={home}\0".encode() in environment + b"\0":
                found.append((int(folder.name), command))
    return found


def until(probe: Callable[[], T | None], within: float, what: str) -> T:
    """Ask until there is an answer; a test that waits for another process has no event to wait on."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        answer = probe()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(what)


def files_below(folder: Path) -> Iterable[Path]:
    """Return all files below a folder."""
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
