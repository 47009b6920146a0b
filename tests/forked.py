"""Calls in a forked child, as Airflow's workers fork each task."""

from __future__ import annotations

import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable

_PATIENCE = 20.0
"""Seconds after which a child counts as hung."""


def in_a_forked_child(work: Callable[[], object]) -> str:
    """Call a function in a forked child, and return its result, or its traceback if it raises, as a string.

    :param work: the function
    :raises TimeoutError: if the child hangs
    """
    read, write = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns when a process with threads forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:  # pragma: no cover  # runs in another process
        try:
            os.write(write, str(work()).encode())
        except BaseException:
            os.write(write, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(write)
    try:
        if not select.select([read], [], [], _PATIENCE)[0]:
            raise TimeoutError("the forked child hangs")
        with os.fdopen(os.dup(read), "rb") as pipe:
            return pipe.read().decode()
    finally:
        os.close(read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
