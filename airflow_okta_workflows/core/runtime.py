"""Single source of time, sleep, randomness and ids."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.core.uuids import random_uuid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def time_text(seconds: float) -> str:
    """Return a time as text for people, such as ``2026-11-27 06:25:34 UTC``.

    :param seconds: seconds since the epoch
    """
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True)
class Runtime:
    """Clocks, randomness, ids, sleep and the stop signal of a conversation, injectable for tests.

    The class attributes are the real functions: ``Runtime.clock()`` is the current time.

    :param clock: returns seconds since the epoch
    :param monotonic: returns seconds of a clock that never goes back
    :param random: returns a number from 0 to 1
    :param new_id: returns a new UUID
    :param stop: the signal that the task was stopped
    :param sleep: waits the given seconds in a thread; if None, the wait ends early when the task is stopped
    :param async_sleep: waits the given seconds on an event loop
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    new_id: Callable[[], str] = random_uuid
    stop: StopSignal = field(default_factory=StopSignal, compare=False)
    sleep: Callable[[float], None] | None = None
    async_sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def wait(self, seconds: float) -> None:
        """Wait in a thread; end early if the task is stopped.

        :param seconds: how long
        """
        (self.sleep or self.stop.wait)(seconds)
