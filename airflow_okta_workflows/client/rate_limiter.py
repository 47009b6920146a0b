"""The limiter through which all invocations of one flow pass, one by one, at its pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_okta_workflows.core.retry.pacer import Pacer
    from airflow_okta_workflows.core.runtime import Runtime


class RateLimiter(Protocol):
    """What gives an invocation its turn before each attempt."""

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""

    def throttle(self, seconds: float) -> None:
        """Hold back: the flow's host returned 429."""


class FlowRateLimiter:
    """A limiter that gives the tasks of an event loop their turns, at the pace of a pacer.

    :param pacer: the pace
    :param runtime: clock and sleep
    """

    def __init__(self, pacer: Pacer, runtime: Runtime) -> None:
        self._pacer = pacer
        self._runtime = runtime
        self._first = asyncio.Lock()

    async def acquire(self) -> None:
        """Return when it is the caller's turn."""
        # Only the first takes a moment: those behind go at the pace of when they are first, in the order they came.
        async with self._first:
            while True:
                if (seconds := self._pacer.reserve(self._runtime.monotonic())) > 0:
                    await self._runtime.async_sleep(seconds)
                if not self._pacer.holds(self._runtime.monotonic()):
                    return

    def throttle(self, seconds: float) -> None:
        """Give no turn for a while: the flow's host returned 429.

        :param seconds: how long
        """
        self._pacer.hold(self._runtime.monotonic(), seconds)
