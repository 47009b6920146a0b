"""What a conversation takes from the world: clocks, chance, sleep, and word that its task was stopped."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.stopping import StopSignal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def _new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Runtime:
    """Clocks, randomness, ids, sleep and the stop signal of a conversation, injectable for tests.

    :param clock: gives seconds since the epoch
    :param monotonic: gives seconds that never go back
    :param random: gives numbers from 0 to 1
    :param new_id: gives an id that was never given before
    :param stop: tells that the task was stopped
    :param sleep: waits so many seconds in a thread; until the task is stopped if None
    :param async_sleep: waits so many seconds on an event loop
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    new_id: Callable[[], str] = _new_id
    stop: StopSignal = field(default_factory=StopSignal, compare=False)
    sleep: Callable[[float], None] | None = None
    async_sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def wait(self, seconds: float) -> None:
        """Wait in a thread, and no longer than until the task is stopped.

        :param seconds: how long
        """
        (self.sleep or self.stop.wait)(seconds)
