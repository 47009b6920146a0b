"""The gate through which all invocations of one flow pass, one by one, at its pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_okta_workflows.core.retry.pacer import Pacer
    from airflow_okta_workflows.core.runtime import Surroundings


class Gate(Protocol):
    """Be what an invocation passes through before each attempt."""

    async def passed(self) -> None:
        """Return when it is the caller's turn."""

    def hold(self, seconds: float) -> None:
        """Be told that the flow's host answered 429, and for how long."""


class PaceGate:
    """Let the tasks of an event loop through at the pace that a pacer gives.

    :param pacer: the pace
    :param surroundings: clock and sleep
    """

    def __init__(self, pacer: Pacer, surroundings: Surroundings) -> None:
        self._pacer = pacer
        self._surroundings = surroundings
        self._first = asyncio.Lock()

    async def passed(self) -> None:
        """Return when it is the caller's turn."""
        # Only the first takes a moment: those behind go at the pace of when they are first, in the order they came.
        async with self._first:
            while True:
                if (seconds := self._pacer.reserve(self._surroundings.monotonic())) > 0:
                    await self._surroundings.asleep(seconds)
                if not self._pacer.holds(self._surroundings.monotonic()):
                    return

    def hold(self, seconds: float) -> None:
        """Let nobody through for a while: the flow's host has answered 429.

        :param seconds: how long
        """
        self._pacer.hold(self._surroundings.monotonic(), seconds)
