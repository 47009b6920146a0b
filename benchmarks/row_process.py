"""Each row in a new process: none pays for what another has imported, masked or left behind, and none stops another."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.airflow_environment import use_own_home
from benchmarks.places import LOG
from benchmarks.rows import ROWS

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from benchmarks.figures import Figure


class RowBrokenError(Exception):
    """Tell that a row could not be measured, with its traceback."""


def measure_row(name: str, *, quick: bool) -> list[Figure]:
    """Measure a row in a new process, whose output goes to the log.

    :param name: the row's name
    :param quick: in the small form
    :raises RowBrokenError: if it cannot be measured
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, quick, sender))
    process.start()
    sender.close()
    try:
        figures, failure = receiver.recv()
    except EOFError:
        figures, failure = [], f"its process ended without an answer; see {LOG}"
    process.join()
    if failure:
        raise RowBrokenError(failure)
    found: list[Figure] = figures
    return found


def _measure(name: str, quick: bool, sender: Connection[Any, Any]) -> None:
    with LOG.open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    # Byte code is kept, as in any installation: else each new process would compile all that it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        use_own_home(Path(folder))
        try:
            sender.send((ROWS[name].measure(quick=quick), ""))
        except Exception:  # whatever it was, the other rows go on
            sender.send(([], traceback.format_exc()))
