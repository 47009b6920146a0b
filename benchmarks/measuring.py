"""Measurement of time, memory and event-loop stalls, for all rows.

CPU time is always that of the measured process alone: the org runs in a separate process, and a measurement in a new
process reads the CPU clock there. Rows add wall time where it is what a user notices.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import random
import resource
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

# Unused here, but loaded in each process of Airflow that forks a task, or the parsing of a DAG file.
import airflow.sdk.execution_time.supervisor  # noqa: F401

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

T = TypeVar("T")
Work = Callable[[], T]

_FORK = multiprocessing.get_context("fork")
_TICK = 0.005


@dataclass(frozen=True)
class Cost:
    """Time that one call or one process took.

    :param wall: seconds of wall time
    :param cpu: CPU seconds, user and system
    """

    wall: float
    cpu: float


def cost_of(work: Callable[[], object], times: int = 1) -> Cost:
    """Call a function, and return the average cost of one call.

    :param work: the function
    :param times: number of calls
    """
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    return Cost((time.perf_counter() - wall) / times, (time.process_time() - cpu) / times)


def alternate(rounds: int, contestants: Mapping[str, Work[T]]) -> dict[str, list[T]]:
    """Call all functions in turn in each round, and return the results of each function by round.

    :param rounds: number of rounds
    :param contestants: the functions, by name; every other round calls them in reverse order
    """
    found: dict[str, list[T]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in contestants if number % 2 == 0 else reversed(list(contestants)):
            found[name].append(contestants[name]())
    return found


def call_by_call(rounds: int, times: int, contestants: Mapping[str, Callable[[], object]]) -> dict[str, list[Cost]]:
    """Call all functions one call at a time in random order, and return the median call of each function by round.

    Load on the machine changes within a block of calls, but hardly from one call to the next.

    :param rounds: number of rounds
    :param times: number of calls of each function in a round
    :param contestants: the functions, by name
    """
    found: dict[str, list[Cost]] = {name: [] for name in contestants}
    for _ in range(rounds):
        calls: dict[str, list[Cost]] = {name: [] for name in contestants}
        for _ in range(times):
            for name in random.sample(list(contestants), len(contestants)):
                calls[name].append(cost_of(contestants[name]))
        for name, costs in calls.items():
            found[name].append(Cost(median(cost.wall for cost in costs), median(cost.cpu for cost in costs)))
    return found


def become_warm_parent() -> None:
    """Prepare this process for forks, as Airflow's executors do: exempt its objects from later garbage collections."""
    gc.collect()
    gc.freeze()


def in_fork(work: Work[T]) -> T:
    """Call a function in a forked process, and return its result.

    :param work: the function; its result is pickled
    :raises RuntimeError: if the child fails
    """
    return in_forks([work])[0]


def in_forks(works: Sequence[Work[T]]) -> list[T]:
    """Call several functions at once, each in its own forked process, and return their results.

    :param works: the functions; their results are pickled
    :raises RuntimeError: if a child fails
    """
    pipes = [_FORK.Pipe(duplex=False) for _ in works]
    processes = [
        _FORK.Process(target=_report, args=(work, sender)) for work, (_, sender) in zip(works, pipes, strict=True)
    ]
    with warnings.catch_warnings():
        # Python 3.12 warns when a process with threads forks, but Airflow's workers do the same.
        warnings.simplefilter("ignore", DeprecationWarning)
        for process in processes:
            process.start()
    found: list[T] = []
    failures: list[str] = []
    for process, (receiver, sender) in zip(processes, pipes, strict=True):
        sender.close()
        try:
            result, failure = receiver.recv()
        except EOFError:
            result, failure = None, "it ended without a response"
        process.join()
        found.append(result)
        if failure:
            failures.append(failure)
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(works)} forked processes failed; the first: {failures[0]}")
    return found


def _report(work: Callable[[], object], sender: Connection[Any, Any]) -> None:
    try:
        outcome: tuple[object, str] = work(), ""
    except Exception as error:  # the parent reports any failure
        outcome = None, f"{type(error).__name__}: {error}"
    sender.send(outcome)


def cost_of_process(command: Sequence[str], *, stdin: Path | None = None) -> Cost:
    """Run a command, and return the cost of the whole process, its start included.

    :param command: the command
    :param stdin: the file that it reads; None for no input
    :raises RuntimeError: if it fails
    """
    with (stdin or Path(os.devnull)).open("rb") as source:
        wall = time.perf_counter()
        process = subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None  # it is a pipe
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - wall
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.decode()[-2000:]}")
    return Cost(took, usage.ru_utime + usage.ru_stime)


def resident_bytes() -> int:
    """Return the resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@dataclass(frozen=True)
class Stall:
    """Longest time for which an event loop was blocked.

    :param wall: largest delay of a sleep, in seconds; other load on the machine counts too
    :param cpu: most CPU seconds of the loop's thread between two sleeps; only its own work counts
    """

    wall: float
    cpu: float


class LoopWatch:
    """Context manager that finds the longest stall of the running event loop."""

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LoopWatch:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def take(self) -> Stall:
        """Return the longest stall since the last call, and start over."""
        stall = Stall(self._wall, self._cpu)
        self._wall = self._cpu = 0.0
        return stall

    async def _watch(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_TICK)
            self._wall = max(self._wall, time.perf_counter() - wall - _TICK)
            self._cpu = max(self._cpu, time.thread_time() - cpu)
