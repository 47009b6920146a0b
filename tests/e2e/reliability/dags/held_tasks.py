"""What tasks do that a test wants to kill; no DAG is in here."""

import os
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


def _leave(ti: Any, mark: str) -> None:
    path = Path(os.environ["E2E_PIDS"]) / f"{ti.task_id}-{ti.map_index}-{mark}"
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").rename(path)
