"""Rate limiters, through which each attempt of an invocation passes when it is its turn."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.pace.turns import NoTurnError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.pace.turns import Turns

log = logging.getLogger(__name__)

_AGAIN = 0.001
"""Seconds until the next attempt to change a pace that another process is changing."""
_RELEASE_ATTEMPTS = 10
"""Attempts to release a turn. A task that ends must not wait long, and a turn that is not released costs one moment."""
_LONG = 5.0
"""Seconds of a wait for a turn that are worth a line in the log."""

_turn_waits: ContextVar[list[float] | None] = ContextVar("okta_workflows_turn_waits", default=None)


@contextmanager
def noted_turn_waits() -> Iterator[list[float]]:
    """Yield a list to which the rate limiters add the seconds that the invocations of the block wait for their turns.

    Not after a 429: then the flow's host determines the wait, and not those who share the pace.
    """
    waits: list[float] = []
    _turn_waits.set(waits)
    try:
        yield waits
    finally:
        # Not reset(): a coroutine that is never resumed is closed in another context, where that fails.
        _turn_waits.set(None)


class RateLimiter(Protocol):
    """Limiter that each attempt of an invocation on an event loop has to pass."""

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""

    async def throttle(self, seconds: float) -> None:
        """Slow down, because the flow's host returned 429."""


class FlowRateLimiter:
    """A rate limiter for the callers of an event loop.

    :param turns: the turns of which an attempt needs one each, in this order; a 429 slows down the last ones
    :param runtime: clock and sleep
    :param block: number of turns that the callers may have reserved together: 1 for a batch, which is one requester;
        more where each caller is a task of its own
    """

    def __init__(self, turns: tuple[Turns, ...], runtime: Runtime, block: int = 1) -> None:
        self._turns = turns
        self._runtime = runtime
        self._first = asyncio.Semaphore(block)

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""
        began = self._runtime.monotonic()
        # Only the first in the queue reserve a turn: other requesters wait for the block, not for the queue.
        async with self._first:
            for turns in self._turns:
                await self._take(turns)
        _note(self._runtime.monotonic() - began)

    async def throttle(self, seconds: float) -> None:
        """Slow down, because the flow's host returned 429.

        :param seconds: the wait before the refused request is sent again
        """
        _turn_waits.set(None)
        turns = self._turns[-1]
        await self._ask(turns, lambda now: turns.throttle(now, seconds))

    async def _take(self, turns: Turns) -> None:
        waited = 0.0
        try:
            seconds = await self._ask(turns, turns.reserve)
            while seconds > 0:
                waited = _with_log(waited, seconds)
                await self._runtime.async_sleep(seconds)
                seconds = await self._ask(turns, turns.take)
        except BaseException:
            self._release(turns)
            raise

    def _release(self, turns: Turns) -> None:
        # The loop may be closing, and no error may replace the one that ended the wait.
        with suppress(Exception):
            if turns.slow or turns.release(self._runtime.monotonic()) is None:
                asyncio.get_running_loop().run_in_executor(None, _release, turns, self._runtime)

    async def _ask(self, turns: Turns, question: Callable[[float], float | None]) -> float:
        while True:
            now = self._runtime.monotonic()
            result = await asyncio.to_thread(question, now) if turns.slow else question(now)
            if result is not None:
                return result
            await self._runtime.async_sleep(_AGAIN)


class ThreadRateLimiter:
    """A rate limiter for one thread, which is one requester.

    :param turns: the turns
    :param runtime: clock, sleep and stop signal
    """

    def __init__(self, turns: Turns, runtime: Runtime) -> None:
        self._turns = turns
        self._runtime = runtime

    def acquire(self) -> None:
        """Return when it is the caller's turn, or when the task was stopped."""
        began = self._runtime.monotonic()
        seconds: float | None = None
        waited = 0.0
        try:
            seconds = self._ask(self._turns.reserve)
            while seconds:
                waited = _with_log(waited, seconds)
                self._runtime.wait(seconds)
                seconds = self._ask(self._turns.take)
        finally:
            if seconds != 0:
                _release(self._turns, self._runtime)
        _note(self._runtime.monotonic() - began)

    def throttle(self, seconds: float) -> None:
        """Slow down, because the flow's host returned 429.

        :param seconds: the wait before the refused request is sent again
        """
        _turn_waits.set(None)
        self._ask(lambda now: self._turns.throttle(now, seconds))

    def _ask(self, question: Callable[[float], float | None]) -> float | None:
        """Return the result; None if the task was stopped."""
        while not self._runtime.stop.requested:
            result = question(self._runtime.monotonic())
            if result is not None:
                return result
            self._runtime.wait(_AGAIN)
        # A wait that the stop has ended must not begin again; the driver sends nothing any more.
        return None


class SkipFirstAcquire:
    """Rate limiter that skips the first acquire, for a call that already had its turn before it began.

    :param limiter: the limiter that all calls share
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._first = True

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""
        if not self._first:
            await self._limiter.acquire()
        self._first = False

    async def throttle(self, seconds: float) -> None:
        """Slow down all calls, because the flow's host returned 429.

        :param seconds: the wait before the refused request is sent again
        """
        await self._limiter.throttle(seconds)


class AcquireUntil:
    """Rate limiter whose callers do not wait beyond a deadline.

    :param limiter: the limiter that all calls share
    :param deadline: when to give up, in seconds since the epoch
    :param runtime: the clock
    """

    def __init__(self, limiter: RateLimiter, deadline: float, runtime: Runtime) -> None:
        self._limiter = limiter
        self._deadline = deadline
        self._runtime = runtime

    async def acquire(self) -> None:
        """Return when it is the caller's turn.

        :raises NoTurnError: at the deadline
        """
        try:
            async with asyncio.timeout(self._deadline - self._runtime.clock()):
                await self._limiter.acquire()
        except TimeoutError:
            raise NoTurnError from None

    async def throttle(self, seconds: float) -> None:
        """Slow down all calls, because the flow's host returned 429.

        :param seconds: the wait before the refused request is sent again
        """
        await self._limiter.throttle(seconds)


def _release(turns: Turns, runtime: Runtime) -> None:
    """Release a turn that was reserved and not taken; never fail, and give up if other processes are always faster."""
    with suppress(Exception):
        for _ in range(_RELEASE_ATTEMPTS):
            if turns.release(runtime.monotonic()) is not None:
                return
            # Not runtime.wait, which returns at once after a stop.
            (runtime.sleep or StopSignal().wait)(_AGAIN)


def _note(waited: float) -> None:
    if (waits := _turn_waits.get()) is not None:
        waits.append(waited)


def _with_log(waited: float, seconds: float) -> float:
    """Return the wait for a turn, including its next part; log it once if it is long."""
    if waited <= _LONG < waited + seconds:
        log.info(
            "Waiting %.0f s for a turn to invoke the flow: others use its rate, or it returned 429.", waited + seconds
        )
    return waited + seconds
