from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_okta_workflows.core.faults import Fault, FaultKind
from airflow_okta_workflows.core.tokens import AccessToken
from airflow_okta_workflows.token_source import TokenSource, shared_token_source


class Org:
    """Give tokens of an hour by a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.asked = 0
        self.down = False

    def token(self) -> AccessToken:
        self.asked += 1
        if self.down:
            raise Fault(FaultKind.TOKEN, "down")
        return AccessToken(f"t{self.asked}", self.now + 3600, 3600)

    async def atoken(self) -> AccessToken:
        await asyncio.sleep(0)
        return self.token()


@pytest.fixture
def org() -> Org:
    return Org()


@pytest.fixture
def source(org: Org) -> TokenSource:
    return TokenSource(lambda: org.now)


Get = Callable[..., str]


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest, source: TokenSource, org: Org) -> Get:
    if request.param == "sync":
        return lambda **options: source.get(org.token, **options).value
    return lambda **options: asyncio.run(source.aget(org.atoken, **options)).value


def test_a_fresh_token_is_used_as_it_is(get: Get, org: Org) -> None:
    assert [get(), get()] == ["t1", "t1"]
    org.now += 3000
    assert get() == "t1"
    assert org.asked == 1


def test_a_stale_token_is_renewed_ahead_of_its_end(get: Get, org: Org) -> None:
    get()
    org.now += 3400

    assert get() == "t2"


def test_a_stale_token_serves_while_it_cannot_be_renewed(get: Get, org: Org, caplog: pytest.LogCaptureFixture) -> None:
    get()
    org.now += 3400
    org.down = True

    assert get() == "t1"
    assert "could not be renewed" in caplog.text
    org.now += 200
    with pytest.raises(Fault, match="down"):
        get()


def test_a_refused_token_is_dropped_once(get: Get, org: Org) -> None:
    get()

    assert get(refused="t1") == "t2"
    assert get(refused="t1") == "t2", "somebody else has renewed it already"
    assert org.asked == 2


def test_an_expired_token_and_a_clock_set_back_ask_again(get: Get, org: Org) -> None:
    get()
    org.now += 3600
    assert get() == "t2"
    org.now -= 90_000
    assert get() == "t3"


def test_threads_wait_for_the_one_who_asks(source: TokenSource, org: Org) -> None:
    go, asking = threading.Event(), threading.Event()
    got: list[str] = []

    def slow() -> AccessToken:
        asking.set()
        go.wait(10)
        return org.token()

    threads = [threading.Thread(target=lambda: got.append(source.get(slow).value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert asking.wait(10)
    go.set()
    for thread in threads:
        thread.join()

    assert got == ["t1"] * 8
    assert org.asked == 1


def test_while_one_renews_a_stale_token_the_others_use_it(source: TokenSource, org: Org) -> None:
    source.get(org.token)
    org.now += 3400
    go, asking = threading.Event(), threading.Event()

    def slow() -> AccessToken:
        asking.set()
        go.wait(10)
        return org.token()

    renewing = threading.Thread(target=source.get, args=(slow,))
    renewing.start()
    assert asking.wait(10)

    assert source.get(org.token).value == "t1"
    go.set()
    renewing.join()
    assert source.get(org.token).value == "t2"


def test_those_who_wait_learn_of_a_failure(source: TokenSource, org: Org) -> None:
    go, asking = threading.Event(), threading.Event()
    found: list[str] = []

    def failing() -> AccessToken:
        asking.set()
        go.wait(10)
        raise Fault(FaultKind.TOKEN, "down")

    def ask() -> None:
        try:
            source.get(failing)
        except Fault as fault:
            found.append(fault.message)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    threads[0].start()
    assert asking.wait(10)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()

    assert found == ["down"] * 3


async def test_a_cancelled_task_does_not_take_the_others_with_it(source: TokenSource, org: Org) -> None:
    started = asyncio.Event()

    async def never() -> AccessToken:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.create_task(source.aget(never))
    await started.wait()
    others = [asyncio.create_task(source.aget(org.atoken)) for _ in range(3)]
    gone = asyncio.create_task(source.aget(org.atoken))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()

    assert [(await task).value for task in others] == ["t1"] * 3
    assert org.asked == 1
    for task in (first, gone):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_thread_takes_up_what_a_cancelled_task_left(source: TokenSource, org: Org) -> None:
    started = asyncio.Event()

    async def never() -> AccessToken:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.create_task(source.aget(never))
    await started.wait()
    other = asyncio.create_task(asyncio.to_thread(source.get, org.token))
    await asyncio.sleep(0)
    first.cancel()

    assert (await other).value == "t1"


async def test_a_synchronous_call_on_the_loop_that_asks_does_not_wait_for_itself(source: TokenSource, org: Org) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AccessToken:
        started.set()
        await go.wait()
        return org.token()

    renewing = asyncio.create_task(source.aget(slow))
    await started.wait()

    assert source.get(org.token).value == "t1"
    go.set()
    assert (await renewing).value == "t2"


def test_sources_are_shared_by_identity_and_forgotten_by_a_forked_child() -> None:
    source = shared_token_source("a")
    assert shared_token_source("a") is source
    assert shared_token_source("b") is not source

    # Forking a process with threads is what Airflow's workers do; Python 3.12 warns of it.
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  # in another process
        os.write(write, b"same" if shared_token_source("a") is source else b"new")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"new"


def test_a_fault_of_any_other_kind_is_not_hidden_by_a_stale_token(source: TokenSource, org: Org) -> None:
    source.get(org.token)
    org.now += 3400

    def broken() -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        source.get(broken)
