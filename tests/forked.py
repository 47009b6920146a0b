"""Calls in forked children, as Airflow's workers fork each task."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

_CONTEXT = multiprocessing.get_context("fork")

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


def start(*works: Callable[[], object]) -> Sequence[BaseProcess]:
    """Call each function in a forked child, all at the same time, and return the children.

    :param works: the functions
    """

    def work_apart(work: Callable[[], object]) -> None:  # pragma: no cover  # in another process
        # Should it hang, its stack says where.
        faulthandler.dump_traceback_later(50, file=2)
        # A fork while the org's thread logs would take along a lock of the logging library that nobody releases.
        all_forked.wait()
        work()

    all_forked = _CONTEXT.Event()
    processes = [_CONTEXT.Process(target=work_apart, args=(work,)) for work in works]
    with warnings.catch_warnings():
        # Python 3.12 warns when a process with threads forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        for process in processes:
            process.start()
    all_forked.set()
    return processes


def ended(processes: Sequence[BaseProcess], within: float = 90) -> list[int]:
    """Wait for the end of children, kill those that are left, and return their exit codes; -1 for one without.

    :param processes: the children
    :param within: seconds to wait for each
    """
    for process in processes:
        process.join(within)
        process.kill()
    return [-1 if process.exitcode is None else process.exitcode for process in processes]
