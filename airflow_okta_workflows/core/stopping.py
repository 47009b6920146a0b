"""Signal that a task was stopped: marked failed, cleared, timed out or killed. From then on nothing is sent."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class StopSignal:
    """Flag that a thread can wait for and a signal handler can set.

    The handler may interrupt a wait for the flag; a ``threading.Event`` would then deadlock. The flag is therefore a
    lock that is released once.
    """

    def __init__(self) -> None:
        self.requested = False
        """Whether the task was stopped."""
        self._until_requested = threading.Lock()
        self._until_requested.acquire()

    def request(self) -> None:
        """Request the stop: from now on nothing is sent, and waits end."""
        if not self.requested:
            self.requested = True
            self._until_requested.release()

    def wait(self, seconds: float) -> None:
        """Wait in a thread, and return early when the task is stopped.

        :param seconds: how long
        """
        if self._until_requested.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            self._until_requested.release()

    @contextmanager
    def heeding_sigterm(self) -> Iterator[None]:
        """Within this block, request the stop on SIGTERM and then run the previous handler.

        Airflow 3 sends SIGTERM to a task that was marked failed or cleared. Its handler calls ``on_kill`` of the
        operator and returns, so a hook in a user's ``@task`` would not notice. A SIGTERM without a handler ends the
        process, and Python runs no handler outside the main thread.
        """
        global _previous  # noqa: PLW0603  # a process has only one SIGTERM handler
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handler = signal.getsignal(signal.SIGTERM)
        if handler is not _stop_all and callable(handler):
            _previous = handler
            signal.signal(signal.SIGTERM, _stop_all)
        _heeding.append(self)
        try:
            yield
        finally:
            _heeding.remove(self)
            if not _heeding and signal.getsignal(signal.SIGTERM) is _stop_all:
                signal.signal(signal.SIGTERM, _previous)


_heeding: list[StopSignal] = []
"""One entry for each open block in the main thread. An event loop may have several, which end in any order."""
_previous: Any = signal.SIG_DFL


def _stop_all(number: int, frame: FrameType | None) -> Any:
    for one in _heeding:
        one.request()
    return _previous(number, frame)
