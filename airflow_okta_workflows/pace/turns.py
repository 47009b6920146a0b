"""Turns of one process, and what all turns have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.retry.pacer import IDLE, Pacer

if TYPE_CHECKING:
    from collections.abc import Callable


class NoTurnError(Exception):
    """Error of a requester whose turn did not come before its deadline; this attempt was not sent."""


class Turns(ABC):
    """Base class of turns for invoking one flow.

    A requester reserves a turn, waits for it, and takes or releases it. No method waits; each returns None if another
    process changes the pace at this moment, and the caller then repeats it.
    """

    slow = False
    """Whether a method may take so long that an event loop has to call it in a thread."""

    def reserve(self, now: float) -> float | None:
        """Reserve a turn, and return the seconds until it can be taken; 0 if it has been taken at once.

        :param now: the time, in seconds of the monotonic clock
        """
        return self.change(now, Pacer.reserve)

    def take(self, now: float) -> float | None:
        """Take the reserved turn, which has come, and return 0; or return the seconds until it can be taken.

        :param now: the time, in seconds of the monotonic clock
        """
        return self.change(now, Pacer.take)

    def release(self, now: float) -> float | None:
        """Give back a reserved turn that nobody will take; return 0.

        :param now: the time, in seconds of the monotonic clock
        """

        def give_back(pacer: Pacer, moment: float) -> float:
            pacer.release(moment)
            return 0.0

        return self.change(now, give_back)

    def throttle(self, now: float, seconds: float) -> float | None:
        """Slow down, because the flow's host returned 429; return 0.

        :param now: the time, in seconds of the monotonic clock
        :param seconds: the wait that the host asked for
        """

        def hold(pacer: Pacer, moment: float) -> float:
            pacer.hold(moment, seconds)
            return 0.0

        return self.change(now, hold)

    @abstractmethod
    def change(self, now: float, change: Callable[[Pacer, float], float]) -> float | None:
        """Change the pace, and return the result.

        :param now: the time, in seconds of the monotonic clock
        :param change: changes a pacer, given the time of the clock that all who share the pace have in common
        """


class ProcessTurns(Turns):
    """Turns that the threads and event loops of this process share.

    :param rate: invocations per second
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._state = IDLE

    def change(self, now: float, change: Callable[[Pacer, float], float]) -> float:
        """Change the pace, and return the result."""
        # Without a lock: on_kill runs in a signal handler, possibly while this thread would hold it, and may invoke a
        # flow. Python switches threads at calls and jumps back, and so not between the comparison and the assignment.
        while True:
            before = self._state
            pacer = Pacer(self._rate, before)
            result = change(pacer, now)
            if self._state is before:
                self._state = pacer.state
                return result
