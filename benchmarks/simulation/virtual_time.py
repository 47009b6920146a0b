"""An event loop in virtual time, which passes a day in seconds: when nothing is left to do, time jumps ahead."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from airflow_okta_workflows.core.runtime import Runtime

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Clock(selectors.SelectSelector):
    """Selector that advances virtual time to the event loop's next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("Nothing is left to do, and nothing will happen: the simulation would stand for ever.")
        self.now += max(0.0, timeout)
        return super().select(0)


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Clock()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002  # the signature of the base class
        func: Callable[[*Ts], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        # At once on this thread, because virtual time would race ahead of another thread.
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop whose virtual time begins at 0.

    :param main: the coroutine
    """
    with asyncio.Runner(loop_factory=_VirtualTimeLoop) as runner:
        return runner.run(main)


def virtual_runtime(chance: random.Random, *, epoch: float = 0.0) -> Runtime:
    """Return the clock, randomness and sleep of the running loop.

    :param chance: source of all randomness
    :param epoch: start of the simulation, in seconds since the epoch
    """
    loop = asyncio.get_running_loop()
    return Runtime(
        clock=lambda: epoch + loop.time(),
        monotonic=loop.time,
        random=chance.random,
        new_id=lambda: f"{chance.getrandbits(128):032x}",
        async_sleep=asyncio.sleep,
    )
