"""Rate limiter that all invocations of one flow pass, one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_okta_workflows.core.retry.pacer import Pacer
    from airflow_okta_workflows.core.runtime import Runtime


class RateLimiter(Protocol):
    """Limiter that each attempt of an invocation has to pass."""

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""

    def throttle(self, seconds: float) -> None:
        """Slow down, because the flow's host returned 429."""


class FlowRateLimiter:
    """A rate limiter for the tasks of an event loop.

    :param pacer: decides when the next attempt may be sent
    :param runtime: clock and sleep
    """

    def __init__(self, pacer: Pacer, runtime: Runtime) -> None:
        self._pacer = pacer
        self._runtime = runtime
        self._first = asyncio.Lock()

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""
        # Only the head of the queue reserves a moment, so the others follow the pace that applies when they get there.
        async with self._first:
            while True:
                if (seconds := self._pacer.reserve(self._runtime.monotonic())) > 0:
                    await self._runtime.async_sleep(seconds)
                if not self._pacer.holds(self._runtime.monotonic()):
                    return

    def throttle(self, seconds: float) -> None:
        """Slow down, because the flow's host returned 429.

        :param seconds: the wait before the refused request is sent again
        """
        self._pacer.hold(self._runtime.monotonic(), seconds)


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

    def throttle(self, seconds: float) -> None:
        """Slow down all calls, because the flow's host returned 429.

        :param seconds: the wait before the refused request is sent again
        """
        self._limiter.throttle(seconds)
