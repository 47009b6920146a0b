"""Many tasks before one limiter, on an event loop whose time passes only while all of them wait."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.client.loop_resources import LoopResources
from airflow_okta_workflows.client.rate_limiter import AcquireUntil, FlowRateLimiter
from airflow_okta_workflows.core.retry.pacer import FLOW_RATE
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.pace.configured import Pace
from airflow_okta_workflows.pace.turns import NoTurnError, ProcessTurns
from airflow_okta_workflows.transport.aiohttp_transport import open_session

ROUNDING = 1e-6


class SkippingSelector(selectors.DefaultSelector):
    """Let the time that a loop would wait for pass at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout else timeout)
        if timeout and not ready:
            self.now += timeout
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(main)


class Crowd:
    """Stand before a limiter, and note who passes when."""

    def __init__(self, rate: float = FLOW_RATE, block: int = 1) -> None:
        self.loop = asyncio.get_running_loop()
        self.limiter = FlowRateLimiter((ProcessTurns(rate),), Runtime(monotonic=self.loop.time), block)
        self.passed: list[tuple[int, float]] = []

    async def come(self, who: int, at: float = 0.0) -> None:
        await asyncio.sleep(at)
        await self.limiter.acquire()
        self.passed.append((who, self.loop.time()))

    async def hold(self, at: float, seconds: float) -> None:
        await asyncio.sleep(at)
        await self.limiter.throttle(seconds)

    @property
    def times(self) -> list[float]:
        return [time for _, time in self.passed]

    @property
    def shortest(self) -> float:
        return min(later - earlier for earlier, later in pairwise(self.times))


def test_all_pass_one_by_one_in_the_order_in_which_they_came() -> None:
    async def main() -> None:
        crowd = Crowd()
        await asyncio.gather(*(crowd.come(who) for who in range(200)))

        assert [who for who, _ in crowd.passed] == list(range(200))
        assert crowd.times[0] == 0.0
        assert crowd.shortest >= 1 / FLOW_RATE - ROUNDING
        assert crowd.times[-1] <= 200 / FLOW_RATE / 0.97

    run(main())


def test_nobody_passes_while_it_is_held_not_even_who_had_a_moment() -> None:
    async def main() -> None:
        crowd = Crowd()
        refused = [crowd.hold(0.5 + n / 1000, 20.0) for n in range(5)]
        await asyncio.gather(*(crowd.come(who) for who in range(100)), crowd.come(100, at=7.0), *refused)

        assert sorted(who for who, _ in crowd.passed) == list(range(101))
        assert not [time for time in crowd.times if 0.5 < time < 20.5]
        assert crowd.shortest >= 1 / FLOW_RATE - ROUNDING

    run(main())


def test_who_waits_already_keeps_its_place_and_goes_at_the_pace_of_later() -> None:
    async def main() -> None:
        crowd = Crowd()
        await asyncio.gather(*(crowd.come(who) for who in range(100)), crowd.hold(0.5, 5.0))

        assert [who for who, _ in crowd.passed] == list(range(100))
        after = [time for time in crowd.times if time > 0.5]
        assert after[0] >= 5.5 - ROUNDING
        assert all(later - earlier > 1.2 / FLOW_RATE for earlier, later in pairwise(after[:20]))

    run(main())


def test_who_leaves_keeps_nobody_from_passing() -> None:
    async def main() -> None:
        crowd = Crowd()
        tasks = [asyncio.ensure_future(crowd.come(who)) for who in range(30)]
        await asyncio.sleep(0.05)
        for task in tasks[10:20]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        assert [who for who, _ in crowd.passed] == [*range(10), *range(20, 30)]
        assert crowd.times[-1] <= 30 / FLOW_RATE / 0.97

    run(main())


def test_two_gates_know_nothing_of_each_other() -> None:
    async def main() -> None:
        one, other = Crowd(), Crowd()
        await one.limiter.throttle(50.0)
        await asyncio.gather(one.come(1), other.come(2))

        assert other.times == [0.0]
        assert one.times[0] >= 50.0

    run(main())


def test_who_waits_until_a_deadline_leaves_then_wherever_it_is_in_the_queue() -> None:
    async def main() -> None:
        crowd = Crowd()
        runtime = Runtime(clock=crowd.loop.time)
        await crowd.limiter.throttle(12.0)
        patient = asyncio.ensure_future(crowd.come(1))
        for _ in range(2):
            with pytest.raises(NoTurnError):
                await AcquireUntil(crowd.limiter, crowd.loop.time() + 3.0, runtime).acquire()
        assert crowd.loop.time() == pytest.approx(6.0)

        await patient
        await AcquireUntil(crowd.limiter, crowd.loop.time() + 3.0, runtime).acquire()
        assert crowd.loop.time() == pytest.approx(12.0 + 1.0 / FLOW_RATE, abs=0.1)

    run(main())


def test_deferred_tasks_are_not_one_requester_and_no_batch_waits_for_all_of_them() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pace, runtime = Pace("process"), Runtime(monotonic=loop.time)
        turns = pace.turns("https://acme.okta.com/flow")
        assert turns is not None
        batches, deferred = [FlowRateLimiter((turns,), runtime) for _ in range(4)], 40
        passed: Counter[int] = Counter()

        async def batch(number: int) -> None:
            while True:
                await batches[number].acquire()
                passed[number] += 1

        async with open_session() as session:
            triggerer = LoopResources(session, pace=pace).limiter("https://acme.okta.com/flow", runtime)
            assert triggerer is not None
            running = [asyncio.ensure_future(batch(number)) for number in range(4)]
            await asyncio.gather(*(triggerer.acquire() for _ in range(deferred)))
            for task in running:
                task.cancel()

        rounds = 2 * deferred / FLOW_RATE
        assert loop.time() < (deferred + rounds * len(batches)) / FLOW_RATE / 0.97 + 0.1
        assert all(passed[number] >= rounds for number in range(4)), passed

    run(main())


@given(
    st.floats(0.5, 50),
    st.integers(1, 12),
    st.lists(st.floats(0, 10), min_size=2, max_size=40),
    st.lists(st.tuples(st.floats(0, 15), st.floats(2.5, 20)), max_size=5),
)
def test_any_crowd_passes_once_each_and_in_no_hold(
    rate: float, block: int, arrivals: list[float], holds: list[tuple[float, float]]
) -> None:
    async def main() -> None:
        crowd = Crowd(rate, block)
        coming = [crowd.come(who, at) for who, at in enumerate(arrivals)]
        await asyncio.gather(*coming, *(crowd.hold(at, seconds) for at, seconds in holds))

        assert sorted(who for who, _ in crowd.passed) == list(range(len(arrivals)))
        assert crowd.shortest >= 1 / rate - ROUNDING
        for at, seconds in holds:
            assert not [time for time in crowd.times if at + ROUNDING < time < at + seconds - ROUNDING]

    run(main())
