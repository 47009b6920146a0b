"""Processes of their own for the tries of a task and for its triggerer, which SIGKILL ends at a chosen moment.

A process is forked from this one, as Airflow's workers fork each task. Its clock, its task state store and its waits are
in this process, so that time is virtual and a kill loses what a real one would lose.
"""

from __future__ import annotations

import asyncio
import os
import pkgutil
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from asgiref.sync import SyncToAsync

from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.exceptions import OktaWorkflowsError
from tests.integration.task_context import Store, context, with_store

KILLED = "killed"
ENDED = "ended"
WAITS = "waits"
_BROKEN = "broken"
_PATIENCE = 30.0
"""Seconds after which a process counts as hung."""
_LAZILY_IMPORTED = [
    "filelock",
    "jmespath",
    *(
        f"airflow_okta_workflows.{room}"
        for room in ("checkpoints", "client", "connection", "hooks", "operators", "tokens", "transport", "triggers")
    ),
]
"""What is imported before a process is forked, which would otherwise import it each time."""


class Child:
    """What a forked process has of the process that forked it.

    :param pipe: the connection to that process
    :param now: the time in seconds
    """

    def __init__(self, pipe: Connection, now: float) -> None:
        self._pipe = pipe
        self._now = now
        self._one_at_a_time = threading.Lock()

    def tell(self, *message: Any) -> Any:
        """Send a message, and return its reply. The process may be killed instead."""
        with self._one_at_a_time:
            self._pipe.send(message)
            return self._pipe.recv()

    def runtime(self, stop: StopSignal) -> Runtime:
        """Return a runtime whose time passes in waits only.

        :param stop: the stop signal of the task
        """
        return Runtime(
            clock=lambda: self._now,
            monotonic=lambda: self._now,
            random=lambda: 0.5,
            stop=stop,
            sleep=self._sleep,
            async_sleep=self._async_sleep,
        )

    def context(self, *, has_store: bool, **fields: Any) -> Any:
        """Return a task's context.

        :param has_store: whether there is a task state store, as on Airflow 3.3
        :param fields: attributes of the task instance
        """
        return with_store(_RemoteStore(self), **fields) if has_store else context(**fields)

    def _sleep(self, seconds: float) -> None:
        self._now = self.tell("sleep", seconds)

    async def _async_sleep(self, seconds: float) -> None:
        self._sleep(seconds)
        await asyncio.sleep(0)


class _RemoteStore(Store):
    """Task state store in the process that forked this one."""

    def __init__(self, child: Child) -> None:
        super().__init__()
        self._child = child

    def get(self, key: str, default: Any = None) -> Any:
        return self._child.tell("get", key)

    def set(self, key: str, value: Any) -> None:
        self._child.tell("set", key, value)

    def delete(self, key: str) -> None:
        self._child.tell("delete", key)


class Processes:
    """The processes of one task, of which at most one exists at a time.

    :param store: the task state store; None as before Airflow 3.3
    :param reached: called with each moment that a process reaches; returns whether to kill it then
    :param now: the time in seconds
    """

    def __init__(self, store: Store | None, reached: Callable[[str], bool], now: float) -> None:
        for name in _LAZILY_IMPORTED:
            package = import_module(name)
            if name.startswith("airflow_okta_workflows"):
                for module in pkgutil.iter_modules(package.__path__, f"{name}."):
                    import_module(module.name)
        self.store = store
        self.now = now
        self._reached = reached
        self._pid = 0

    def run(self, work: Callable[[Child], Any]) -> tuple[Any, ...]:
        """Run a function in a process, and return how that ended.

        :param work: the function
        :return: ``(KILLED,)``; ``(ENDED, result)``; ``(ENDED, error, is_final)`` with the name of the error's class;
            or ``(WAITS, method, kwargs, trigger)`` if the task left its worker
        """
        mine, its = Pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns when a process with threads forks.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:  # pragma: no cover  # runs in another process
            mine.close()
            _run_as_child(work, its, self.now)
        its.close()
        try:
            return self._serve(mine)
        finally:
            mine.close()
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def kill_if(self, moment: str) -> bool:
        """Kill the process if that is to happen at this moment, and return whether it was killed.

        :param moment: the moment
        """
        if kills := self._reached(moment):
            os.kill(self._pid, signal.SIGKILL)
        return kills

    def _serve(self, pipe: Connection) -> tuple[Any, ...]:
        while True:
            if not pipe.poll(_PATIENCE):
                raise TimeoutError("a process hangs")
            try:
                message = pipe.recv()
            except (EOFError, ConnectionResetError):
                return (KILLED,)
            if message[0] == _BROKEN:
                raise AssertionError(message[1])
            if message[0] in (ENDED, WAITS):
                return tuple(message)
            reply, killed = self._reply(*message)
            if not killed:
                pipe.send(reply)

    def _reply(self, what: str, *arguments: Any) -> tuple[Any, bool]:
        """Return the reply to a message, and whether its process was killed instead."""
        if what == "get":
            return (self.store or {}).get(arguments[0]), False
        if what == "delete":
            assert self.store is not None
            self.store.delete(arguments[0])
            return None, False
        if what == "set":
            assert self.store is not None
            name, value = arguments
            if self.kill_if(f"before {_state(value)}"):
                return None, True
            self.store.set(name, value)
            return None, self.kill_if(f"after {_state(value)}")
        killed = self.kill_if(what)
        if what == "sleep" and not killed:
            self.now += arguments[0]
        return self.now, killed


def _state(checkpoint: dict[str, Any]) -> str:
    """Return how far the invocation of a checkpoint got, or the only item of a batch's checkpoint."""
    if "done" in checkpoint:
        return "done"
    if "items" not in checkpoint:
        return str(checkpoint["state"])
    (item,) = checkpoint["items"].values()
    if item and "outcome" in item:
        return "responded"
    return "started" if item and item.get("exists") else "sending"


def _run_as_child(work: Callable[[Child], Any], pipe: Connection, now: float) -> None:  # pragma: no cover
    # Its only thread is not in this process, if an earlier test has used it.
    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
    try:
        pipe.send(_ending(work, Child(pipe, now)))
    except BaseException:
        pipe.send((_BROKEN, traceback.format_exc()))
    finally:
        os._exit(0)


def _ending(work: Callable[[Child], Any], child: Child) -> tuple[Any, ...]:  # pragma: no cover
    try:
        return ENDED, work(child)
    except OktaWorkflowsError as error:
        return ENDED, type(error).__name__, isinstance(error, AirflowFailException)
    except BaseException as caught:
        # TaskDeferred, or TaskAwaitingInput, which other versions of Airflow do not have.
        wait: Any = caught
        if not hasattr(wait, "method_name"):
            raise
        trigger = getattr(wait, "trigger", None)
        return WAITS, wait.method_name, wait.kwargs, trigger.serialize() if trigger else None
