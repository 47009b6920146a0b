"""A real Airflow for tests: ``airflow standalone`` with a new port and home, driven through its REST API."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Self

import requests

from tests.airflow_rest import AirflowRest, free_port
from tests.own_airflow import own_environment

if TYPE_CHECKING:
    from collections.abc import Iterable

READY_WITHIN = 120.0


class Airflow(AirflowRest):
    """``airflow standalone`` that runs while the block lasts.

    :param home: an empty folder for the database, the logs and everything else
    :param dags: the DAGs folder
    :param environment: further variables, such as connections
    :param every: seconds between two polls while a test waits for something
    """

    def __init__(self, home: Path, dags: Path, environment: dict[str, str], every: float = 0.2) -> None:
        self.home = home
        port = free_port()
        super().__init__(f"http://127.0.0.1:{port}", every)
        self.log = home / "standalone.log"
        self.environment = {
            **own_environment(home),
            # It starts its components as `airflow`, which must be on PATH.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "tests.e2e.sqlite_patience.CONNECT_ARGS",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "AIRFLOW__CORE__PARALLELISM": "6",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "300",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            # Otherwise Airflow 3.3.2 takes a deferral shorter than the supervisor's heartbeat for a failure.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__TRIGGERER__CAPACITY": "1000",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._extra: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            # Without WAL, a reader locks out writers.
            database.execute("PRAGMA journal_mode=WAL")
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
        self.close()

    def start_triggerer(self) -> None:
        """Start another triggerer."""
        self._extra.append(self._start("triggerer"))

    def kill_triggerers(self) -> int:
        """Kill all triggerers with SIGKILL, and return the number of processes killed."""
        pids = [pid for pid, command in processes_of(self.home) if "triggerer" in command]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return len(pids)

    def task_logs(self, dag_id: str, task_id: str = "*") -> str:
        """Return the logs of a DAG's tasks, or of one of them."""
        folder = self.home / "logs" / f"dag_id={dag_id}"
        paths = sorted(folder.glob(f"*/task_id={task_id}/**/*.log"))
        return "\n".join(path.read_text(errors="replace") for path in paths)

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
            if not self.healthy():
                return False
            self.sign_in()
        except (requests.RequestException, ValueError, KeyError):
            return False
        return True


def processes_of(home: Path) -> list[tuple[int, str]]:
    """Return the id and the command of each process whose environment has this Airflow home."""
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


def files_below(folder: Path) -> Iterable[Path]:
    """Return all files below a folder."""
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
