"""A flow that can be asked about, and its status flow: they kill the tasks whose payload says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # Airflow brings it, without its types

from airflow_okta_workflows.emulator import Close, FlowRequest, LocalOrg

RUN_SECONDS = 5.0
LATE_SECONDS = 12.0
"""How late the row of a ``late`` request is: less than ``settle``, and so late that several questions find no row."""


@dataclass
class _Row:
    payload: dict[str, Any]
    ends_at: float


class AskedFlows:
    """The flows ``asked`` and ``asked_lost``, which write a row under the key, and the flow ``asked_status``.

    The payload has the ``task``, whose try leaves its process id in a file of that name, with ``-1`` for the first try,
    and the number ``n``. With ``held`` the run ends only when the test lets it. ``kill`` in a payload is the moment at which its task's first try is killed: ``arrived`` before the row is written,
    ``late`` long before it, ``row`` after it and before the response, ``question`` at the first question, ``end`` at the
    question that reports the end. The task itself sees to the other moments.

    :param pids: the folder in which tasks leave their process ids
    """

    def __init__(self, pids: Path) -> None:
        self.released = threading.Event()
        """Lets the runs end whose payload has ``held``."""
        self._pids = pids
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()

    def add_to(self, org: LocalOrg) -> None:
        """Add the flows to an org."""
        flows: dict[str, Callable[[FlowRequest], Any]] = {
            "asked": self._run,
            "asked_lost": self._run,
            "asked_status": self._status,
        }
        org.add_flows(flows)

    def killed(self, tasks: str) -> int:
        """Return how many of the tasks were killed whose names begin like this."""
        return len(list(self._pids.glob(f"{tasks}-*-killed")))

    def _run(self, request: FlowRequest) -> Any:
        payload, moment = request.body, request.body["kill"]
        if moment in ("arrived", "late"):
            self._kill(payload)
        if moment == "late":
            # In a gateway's queue, for example.
            time.sleep(LATE_SECONDS)
        self._rows.setdefault(str(request.idempotency_key), _Row(payload, time.monotonic() + RUN_SECONDS))
        if moment == "row":
            self._kill(payload)
        return Close(200, {"status": "RUNNING"})

    def _status(self, request: FlowRequest) -> Any:
        key = request.body["idempotency_key"]
        row = self._rows.get(key)
        if row is None:
            return {"status": "NOT_FOUND", "idempotency_key": key}
        ended = self.released.is_set() if row.payload.get("held") else time.monotonic() >= row.ends_at
        if row.payload["kill"] == "question" or (row.payload["kill"] == "end" and ended):
            self._kill(row.payload)
        if not ended:
            return {"status": "RUNNING", "idempotency_key": key}
        return {"status": "SUCCEEDED", "idempotency_key": key, "result": {"n": row.payload["n"]}}

    def _kill(self, payload: dict[str, Any]) -> None:
        """Kill the first try of a payload's task, once.

        A task that waits in the triggerer has no process, and a try that Airflow lost before it began has left no file.
        """
        name = payload["task"]
        mark = self._pids / f"{name}-killed"
        with self._lock:
            if mark.exists():
                return
            path = self._pids / f"{name}-1"
            try:
                process = psutil.Process(int(path.read_text()))
                # A younger process only has the number of the one that wrote the file.
                if process.create_time() > path.stat().st_mtime:
                    return
                process.kill()
            except (FileNotFoundError, psutil.NoSuchProcess):
                return
            mark.touch()
