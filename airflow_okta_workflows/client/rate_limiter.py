"""Rate limiters, through which each attempt of an invocation passes when it is its turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.pace.turns import Turns

_AGAIN = 0.001
"""Seconds until the next attempt to change a pace that another process is changing."""


class RateLimiter(Protocol):
    """Limiter that each attempt of an invocation on an event loop has to pass."""

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""

    async def throttle(self, seconds: float) -> None:
        """Slow down, because the flow's host returned 429."""


class FlowRateLimiter:
    """A rate limiter for the tasks of an event loop, which together are one requester.

    :param turns: the turns of which an attempt needs one each, in this order; a 429 slows down the last ones
    :param runtime: clock and sleep
    """

    def __init__(self, turns: tuple[Turns, ...], runtime: Runtime) -> None:
        self._turns = turns
        self._runtime = runtime
        self._first = asyncio.Lock()

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""
        # Only the head of the queue reserves a turn, so that this requester has no more than one.
        async with self._first:
            for turns in self._turns:
                seconds = await self._ask(turns, turns.reserve)
                while seconds > 0:
                    await self._runtime.async_sleep(seconds)
                    seconds = await self._ask(turns, turns.take)

    async def throttle(self, seconds: float) -> None:
        """Slow down, because the flow's host returned 429.

        :param seconds: the wait before the refused request is sent again
        """
        turns = self._turns[-1]
        await self._ask(turns, lambda now: turns.throttle(now, seconds))

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
        seconds = self._ask(self._turns.reserve)
        while seconds > 0:
            self._runtime.wait(seconds)
            seconds = self._ask(self._turns.take)

    def throttle(self, seconds: float) -> None:
        """Slow down, because the flow's host returned 429.

        :param seconds: the wait before the refused request is sent again
        """
        self._ask(lambda now: self._turns.throttle(now, seconds))

    def _ask(self, question: Callable[[float], float | None]) -> float:
        while not self._runtime.stop.requested:
            result = question(self._runtime.monotonic())
            if result is not None:
                return result
            self._runtime.wait(_AGAIN)
        # A wait that the stop has ended must not begin again; the driver sends nothing any more.
        return 0.0


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
