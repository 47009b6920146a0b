"""A requester that leaves while it waits for its turn releases the turn."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_okta_workflows.client.rate_limiter import FlowRateLimiter, ThreadRateLimiter
from airflow_okta_workflows.core.retry.pacer import FLOW_RATE, Pacer
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.pace.host import HostTurns
from airflow_okta_workflows.pace.turns import ProcessTurns, Turns

URL = "https://acme.workflows.okta.com/api/flo/1a2b/invoke"


class TimeOutError(BaseException):
    """Not an Exception, as what Airflow raises in a signal handler."""


class Clock:
    """A clock that passes only while something waits."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def async_sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def turns(tmp_path: Path) -> HostTurns:
    """Return turns of a file of which three are reserved."""
    turns = HostTurns(tmp_path, URL, FLOW_RATE)
    for _ in range(3):
        turns.reserve(0.0)
    return turns


def next_moment(turns: Turns) -> float:
    """Return the next free moment, and change nothing."""
    moment = turns.change(0.0, lambda pacer, _: pacer.state.next_moment)
    assert moment is not None
    return moment


def raising(error: BaseException) -> Callable[[float], None]:
    def wait(_: float) -> None:
        raise error

    return wait


@pytest.mark.parametrize("error", [TimeOutError, KeyboardInterrupt, OSError])
def test_a_thread_that_is_interrupted_releases_its_turn(turns: HostTurns, error: type[BaseException]) -> None:
    before = next_moment(turns)
    limiter = ThreadRateLimiter(turns, Runtime(monotonic=Clock().time, sleep=raising(error("from outside"))))

    with pytest.raises(error, match="from outside"):
        limiter.acquire()

    assert next_moment(turns) == pytest.approx(before)


def test_a_thread_that_is_stopped_releases_its_turn(turns: HostTurns) -> None:
    before = next_moment(turns)
    stop = StopSignal()
    ThreadRateLimiter(turns, Runtime(monotonic=Clock().time, stop=stop, sleep=lambda seconds: stop.request())).acquire()

    assert next_moment(turns) == pytest.approx(before)


def test_a_thread_that_has_taken_its_turn_releases_nothing(turns: HostTurns) -> None:
    before, clock = next_moment(turns), Clock()
    ThreadRateLimiter(turns, Runtime(monotonic=clock.time, sleep=clock.sleep)).acquire()

    assert next_moment(turns) == pytest.approx(before + 0.103)


class Broken(ProcessTurns):
    """Turns whose release fails, or finds another process changing the pace, every time."""

    def __init__(self, result: Exception | None) -> None:
        super().__init__(FLOW_RATE)
        self.reserve(0.0)
        self.result = result
        self.asked = 0

    def release(self, now: float) -> float | None:
        self.asked += 1
        if self.result:
            raise self.result
        return None


@pytest.mark.parametrize("result", [OSError("from the release"), None], ids=["fails", "busy"])
def test_a_release_that_fails_replaces_no_error_and_takes_no_time(result: Exception | None) -> None:
    turns = Broken(result)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            raise TimeOutError

    with pytest.raises(TimeOutError):
        ThreadRateLimiter(turns, Runtime(monotonic=Clock().time, sleep=sleep)).acquire()

    assert 1 <= turns.asked <= 10
    assert sum(waits[1:]) < 0.1


async def cancelled_while_it_waits(*turns: Turns) -> None:
    waits = asyncio.Event()

    async def forever(_: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    limiter = FlowRateLimiter(turns, Runtime(monotonic=Clock().time, async_sleep=forever))
    first, second = (asyncio.ensure_future(limiter.acquire()) for _ in range(2))
    await waits.wait()
    # The second one waits behind the first, and has no turn.
    second.cancel()
    first.cancel()
    for task in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("slow", [False, True])
def test_a_task_that_is_cancelled_releases_its_turn(turns: HostTurns, slow: bool) -> None:
    before = next_moment(turns)
    turns.slow = slow

    # A run ends only after the threads of its loop.
    asyncio.run(cancelled_while_it_waits(turns))

    assert next_moment(turns) == pytest.approx(before)


def test_of_several_turns_only_those_that_were_not_taken_are_released(turns: HostTurns) -> None:
    before, own = next_moment(turns), ProcessTurns(5.0)

    asyncio.run(cancelled_while_it_waits(own, turns))

    assert next_moment(turns) == pytest.approx(before)
    assert next_moment(own) == pytest.approx(0.206)


def test_a_loop_does_not_wait_for_a_lock_to_release_a_turn(turns: HostTurns, tmp_path: Path) -> None:
    before = next_moment(turns)
    [path] = tmp_path.glob("*.pace")

    class Locked(ProcessTurns):
        """The same turns, but the file is locked when the loop's thread releases one."""

        def change(self, now: float, change: Callable[[Pacer, float], float]) -> float:
            return turns.change(now, change)  # type: ignore[return-value]  # None if it is locked

        def release(self, now: float) -> float | None:
            if threading.current_thread() is not threading.main_thread():
                return turns.release(now)
            descriptor = os.open(path, os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                return turns.release(now)
            finally:
                os.close(descriptor)

    asyncio.run(cancelled_while_it_waits(Locked(FLOW_RATE)))

    assert next_moment(turns) == pytest.approx(before)


def info_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]


@pytest.mark.parametrize("seconds", [4.9, 12.0])
def test_a_long_wait_is_logged_once(seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="airflow_okta_workflows")
    for by_thread in (True, False):
        turns, clock = ProcessTurns(FLOW_RATE), Clock()
        turns.throttle(0.0, seconds)
        caplog.clear()
        if by_thread:
            ThreadRateLimiter(turns, Runtime(monotonic=clock.time, sleep=clock.sleep)).acquire()
        else:
            runtime = Runtime(monotonic=clock.time, async_sleep=clock.async_sleep)
            asyncio.run(FlowRateLimiter((turns,), runtime).acquire())

        assert info_lines(caplog) == (
            ["Waiting 12 s for a turn to invoke the flow: others use its rate, or it returned 429."]
            if seconds > 5
            else []
        )
