"""Measurement of each row in a new process, unaffected by another row's imports, masks, leftovers or failure."""

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
    """Failure to measure a row; the message has the traceback, if there is one."""


def measure_row(name: str, *, quick: bool) -> list[Figure]:
    """Measure a row in a new process, whose output goes to the log.

    :param name: the row's name
    :param quick: whether to run in quick mode
    :raises RowBrokenError: if the measurement fails
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, quick, sender))
    process.start()
    sender.close()
    try:
        figures, failure = receiver.recv()
    except EOFError:
        figures, failure = [], f"its process ended without a response; see {LOG}"
    process.join()
    if failure:
        raise RowBrokenError(failure)
    found: list[Figure] = figures
    return found


def _measure(name: str, quick: bool, sender: Connection[Any, Any]) -> None:
    with LOG.open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    # Cache byte code, as any installation does. Otherwise each new process would compile everything that it imports.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        use_own_home(Path(folder))
        try:
            sender.send((ROWS[name].measure(quick=quick), ""))
        except Exception:  # no failure of a row may stop the others
            sender.send(([], traceback.format_exc()))
