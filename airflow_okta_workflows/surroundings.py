"""What a conversation takes from the world: clocks, chance and sleep."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def _new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Surroundings:
    """Hold what a conversation takes from the world, so that a test can bring its own.

    :param clock: gives seconds since the epoch
    :param monotonic: gives seconds that never go back
    :param random: gives numbers from 0 to 1
    :param new_id: gives an id that was never given before
    :param sleep: waits so many seconds in a thread
    :param asleep: waits so many seconds on an event loop
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    new_id: Callable[[], str] = _new_id
    sleep: Callable[[float], None] = time.sleep
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep
