"""Word that a task was stopped: marked failed, cleared, timed out, killed. From then on nothing is sent."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class StopSignal:
    """Word that nothing may be sent any more.

    It may be given by a signal handler that interrupts a wait for it. So it is a lock that gets released:
    ``threading.Event`` would deadlock there.
    """

    def __init__(self) -> None:
        self.requested = False
        """Whether the task was stopped."""
        self._until_requested = threading.Lock()
        self._until_requested.acquire()

    def request(self) -> None:
        """Stop: from now on nothing is sent, and waits end."""
        if not self.requested:
            self.requested = True
            self._until_requested.release()

    def wait(self, seconds: float) -> None:
        """Wait in a thread, and return early if the task is stopped meanwhile.

        :param seconds: how long
        """
        if self._until_requested.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            self._until_requested.release()

    @contextmanager
    def heeding_sigterm(self) -> Iterator[None]:
        """Request the stop on SIGTERM while this block lasts, before whatever else SIGTERM leads to.

        Airflow 3 sends SIGTERM to a task that was marked failed or cleared. Its handler calls ``on_kill`` of the
        operator and returns, so a hook in a task of the user's own would hear nothing of it. Where SIGTERM has no
        handler it ends the process, and where this is not the main thread, Python runs no handler.
        """
        global _previous  # noqa: PLW0603  # as there is one handler of SIGTERM in a process
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


class StopsOnKill:
    """Base of operators and sensors that send nothing more once Airflow has called ``on_kill``."""

    _stop: StopSignal | None = None
    _began = False

    @property
    def stop_signal(self) -> StopSignal:
        """The signal of the execution that is under way, or of the next one."""
        # Made when it is first asked for: Airflow copies operators, and a copy has a signal of its own.
        if self._stop is None:
            self._stop = StopSignal()
        return self._stop

    def on_kill(self) -> None:
        """Send nothing more, and end waits: Airflow calls this when the task is marked failed, cleared or timed out."""
        self.stop_signal.request()

    def _begin(self) -> None:
        """Begin an execution: it is stopped already if ``on_kill`` came before the first one in this process."""
        if self._began:
            # Another try in the same process, as dag.test() makes them.
            self._stop = None
            self.__dict__.pop("hook", None)
        self._began = True


_heeding: list[StopSignal] = []
"""One entry for each block of the main thread; of several on one event loop, any may end first."""
_previous: Any = signal.SIG_DFL


def _stop_all(number: int, frame: FrameType | None) -> Any:
    for one in _heeding:
        one.request()
    return _previous(number, frame)
