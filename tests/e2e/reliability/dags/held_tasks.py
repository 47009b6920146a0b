"""What tasks do that a test wants to kill; no DAG is in here."""

import os
import signal
import time
from pathlib import Path
from typing import Any


def tell_pid(context: Any) -> None:
    """Leave the id of this process where the test finds it."""
    ti = context["ti"]
    _leave(ti, str(ti.try_number))


def hold_first_try(response: Any, ti: Any) -> bool:
    """Wait to be killed after the response was stored, in the first try of a payload that says so."""
    if response.body["hold"] == "check" and ti.try_number == 1:
        _leave(ti, "held")
        time.sleep(600)
    return True


def tell_pid_and_be_killed(context: Any) -> None:
    """Leave the id of this process, and arrange that the first try is killed at the moment in its payload's ``kill``.

    ``start`` is now, ``before`` and ``after`` are followed by the state of a checkpoint. The flow sees to the others.
    """
    tell_pid(context)
    ti = context["ti"]
    if ti.try_number == 1:
        moment = ti.task.payload["kill"]
        if moment == "start":
            _end(ti)
        context["task_state_store"] = _DeadlyStore(context["task_state_store"], moment, ti)


class _DeadlyStore:
    """The task state store of a task that is killed before or after one of its writes."""

    def __init__(self, store: Any, moment: str, ti: Any) -> None:
        self._store = store
        self._moment = moment
        self._ti = ti

    def get(self, key: str) -> Any:
        return self._store.get(key)

    def set(self, key: str, value: Any) -> None:
        if self._moment == f"before {value['state']}":
            _end(self._ti)
        self._store.set(key, value)
        if self._moment == f"after {value['state']}":
            _end(self._ti)


def _end(ti: Any) -> None:
    _leave(ti, "killed")
    os.kill(os.getpid(), signal.SIGKILL)


def _leave(ti: Any, mark: str) -> None:
    path = Path(os.environ["E2E_PIDS"]) / f"{ti.task_id}-{ti.map_index}-{mark}"
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").rename(path)
