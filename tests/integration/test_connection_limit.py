"""More calls than there may be connections: they wait their turn, and their time begins with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from airflow_okta_workflows.client.loop_resources import LoopResources, loop_resources
from airflow_okta_workflows.core.http.types import FailureKind, HttpRequest, HttpResponse, TransportFailure
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator import LocalOrg, Reset
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.tokens.source import TokenSource
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport, open_session

Send = Callable[..., "asyncio.Task[HttpResponse | TransportFailure]"]


class Counting:
    """A flow that waits for a signal to respond, and counts how many of its runs overlap."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = 0
        self.most = 0
        self.began = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, request: Any) -> Any:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.began.release()
        assert self.go.wait(30)
        with self.lock:
            self.running -= 1
        return {}


@pytest.fixture
def flow(org: LocalOrg, connect: Callable[..., None]) -> Any:
    counting = Counting()
    org.flow("slow", security="public")(counting)
    connect(org, connect_timeout=100, read_timeout=100)
    yield counting
    counting.go.set()


@pytest.fixture
async def send(org: LocalOrg, flow: Counting, slots: int) -> AsyncIterator[Send]:
    async with open_session(slots) as session:
        transport = AiohttpTransport(session, OktaWorkflowsHook().settings)

        def begin(
            read_timeout: float | None = None, connect_timeout: float | None = None
        ) -> asyncio.Task[HttpResponse | TransportFailure]:
            request = HttpRequest("GET", org.invoke_url("slow"), {}, read_timeout=read_timeout)
            return asyncio.ensure_future(transport.send(request, connect_timeout=connect_timeout))

        yield begin


async def began(flow: Counting, count: int) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(flow.began.acquire, timeout=30)


@pytest.mark.parametrize("slots", [3])
async def test_no_more_are_under_way_than_there_are_slots(send: Send, flow: Counting, slots: int) -> None:
    calls = [send() for _ in range(10)]
    await began(flow, slots)
    flow.go.set()

    assert [getattr(response, "status", response) for response in await asyncio.gather(*calls)] == [200] * 10
    assert flow.most == slots


@pytest.mark.parametrize("slots", [1])
async def test_who_waits_for_a_slot_uses_up_none_of_its_time(
    send: Send, flow: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    now = loop.time
    first = send(read_timeout=3600)
    await began(flow, 1)
    waiting = [send() for _ in range(5)]
    await asyncio.sleep(0)

    # Longer than any of those that wait may take in all.
    monkeypatch.setattr(loop, "time", lambda: now() + 1000)
    await asyncio.sleep(0)
    flow.go.set()

    responses = await asyncio.gather(first, *waiting)
    assert [getattr(response, "status", response) for response in responses] == [200] * 6
    assert [getattr(response, "elapsed", response) for response in responses] == pytest.approx(
        [1000, 0, 0, 0, 0, 0], abs=100
    )


@pytest.mark.parametrize("slots", [1])
async def test_who_has_to_leave_by_a_moment_does_not_leave_later_on_a_kept_connection(
    send: Send, flow: Counting, org: LocalOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later try relies on it: it takes a request that has not left by then for one that never will."""
    loop = asyncio.get_running_loop()
    now = loop.time
    first = send(read_timeout=3600)
    await began(flow, 1)
    late, last = send(connect_timeout=5), send()
    await asyncio.sleep(0)

    monkeypatch.setattr(loop, "time", lambda: now() + 6)
    flow.go.set()

    assert getattr(await first, "status", None) == 200
    failure = await late
    assert isinstance(failure, TransportFailure)
    assert failure.kind is FailureKind.NOT_SENT
    assert getattr(await last, "status", None) == 200, "and its connection is free again"
    assert flow.began.acquire(blocking=False)
    assert not flow.began.acquire(blocking=False), "the late one has never begun"


@pytest.mark.parametrize("slots", [1])
async def test_who_leaves_gives_the_slot_back(send: Send, flow: Counting) -> None:
    under_way, waiting, last = (send() for _ in range(3))
    await began(flow, 1)
    waiting.cancel()
    under_way.cancel()
    await asyncio.wait([under_way, waiting])
    flow.go.set()

    assert getattr(await last, "status", None) == 200


@pytest.mark.parametrize("slots", [1])
async def test_a_call_that_is_lost_gives_the_slot_back(send: Send, flow: Counting, org: LocalOrg) -> None:
    flow.go.set()
    org.inject(Reset(), flow="slow", times=3)

    results = [await send() for _ in range(4)]
    assert [type(result) for result in results] == [TransportFailure, TransportFailure, TransportFailure, HttpResponse]


async def test_all_connections_of_a_loop_share_its_slots(
    org: LocalOrg, flow: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_okta_workflows.transport.aiohttp_transport.connection_limit", lambda: 2)
    request = HttpRequest("GET", org.invoke_url("slow"), {})
    async with loop_resources() as share:
        calls = [asyncio.ensure_future(transport_of(share).send(request)) for _ in range(6)]
        await began(flow, 2)
        flow.go.set()

        assert [getattr(response, "status", response) for response in await asyncio.gather(*calls)] == [200] * 6
    assert flow.most == 2


def transport_of(resources: LoopResources) -> AiohttpTransport:
    return resources.client(OktaWorkflowsHook().settings, TokenSource(), Runtime()).transport
