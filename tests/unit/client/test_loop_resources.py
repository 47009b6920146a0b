"""What the users of one event loop resources, and for how long."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from airflow.providers.common.compat.connection import get_async_connection

from airflow_okta_workflows.client.async_client import AsyncFlowClient
from airflow_okta_workflows.client.loop_resources import LoopResources, loop_resources
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.transport.aiohttp_transport import open_session

Connect = Callable[..., None]
CONN_ID = "okta_workflows_default"


class LookUps:
    """Count the look-ups of connections, and let them fail or hang on demand."""

    def __init__(self) -> None:
        self.made = 0
        self.error: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def look_up(self, conn_id: str, hook: Any = None) -> Any:
        self.made += 1
        await self.go.wait()
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return await get_async_connection(conn_id, hook=hook)


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> LookUps:
    look_ups = LookUps()
    monkeypatch.setattr("airflow.providers.common.compat.connection.get_async_connection", look_ups.look_up)
    return look_ups


@pytest.fixture
async def resources(world: Any) -> AsyncIterator[LoopResources]:
    async with open_session() as session:
        yield LoopResources(session, clock=lambda: world.now)


@pytest.fixture
def defined(connect: Connect) -> LocalOrg:
    """An org that nobody calls, and a connection to it."""
    org = LocalOrg(port=1)
    connect(org)
    return org


async def client_of(resources: LoopResources, rejected: AsyncFlowClient | None = None) -> AsyncFlowClient:
    return await resources.client_for(CONN_ID, OktaWorkflowsHook().asettings, Runtime(), rejected=rejected)


# ---- connections


async def test_a_thousand_at_once_look_a_connection_up_once(
    resources: LoopResources, look_ups: LookUps, defined: LocalOrg
) -> None:
    clients = await asyncio.gather(*(client_of(resources) for _ in range(1000)))

    assert look_ups.made == 1
    assert len(set(map(id, clients))) == 1


async def test_it_is_looked_up_again_after_a_minute_only(
    resources: LoopResources, look_ups: LookUps, defined: LocalOrg, world: Any
) -> None:
    made = []
    for seconds in (0, 30, 29, 2, 59, 2):
        world.now += seconds
        await asyncio.gather(*(client_of(resources) for _ in range(10)))
        made.append(look_ups.made)

    assert made == [1, 1, 1, 2, 2, 3]


async def test_what_has_not_changed_keeps_hook_and_parsed_key(
    resources: LoopResources, look_ups: LookUps, defined: LocalOrg, world: Any
) -> None:
    client = await client_of(resources)
    key = client.settings.signing_key
    world.now += 61

    assert await client_of(resources) is client
    assert client.settings.signing_key is key
    assert look_ups.made == 2


@pytest.mark.parametrize(
    "change",
    [
        {"login": "0oaother"},
        {"password": json.dumps(LocalOrg().private_jwk)},
        {"extra": {"key_passphrase": "new"}},
        {"extra": {"flows": {"onboard": "abc"}}},
        {"extra": {"read_timeout": 9}},
    ],
)
async def test_what_has_changed_is_a_new_hook_for_all(
    resources: LoopResources, defined: LocalOrg, monkeypatch: pytest.MonkeyPatch, world: Any, change: dict[str, Any]
) -> None:
    client = await client_of(resources)
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(defined.connection() | change))
    world.now += 61
    new, same = await asyncio.gather(client_of(resources), client_of(resources))

    assert new is same is not client
    assert new.settings != client.settings


async def test_each_connection_is_looked_up_for_itself(
    resources: LoopResources, look_ups: LookUps, defined: LocalOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LocalOrg(port=2).environment("other_org").items():
        monkeypatch.setenv(name, value)

    one, other = await asyncio.gather(
        client_of(resources), resources.client_for("other_org", OktaWorkflowsHook("other_org").asettings, Runtime())
    )

    assert (one.settings.domain.port, other.settings.domain.port) == (1, 2)
    assert look_ups.made == 2


async def test_a_refused_one_is_looked_up_again_at_once_but_not_all_the_time(
    resources: LoopResources, look_ups: LookUps, defined: LocalOrg, world: Any
) -> None:
    client = await client_of(resources)
    made = []
    for seconds in (1, 3, 2, 0, 4, 2):
        world.now += seconds
        again = await asyncio.gather(*(client_of(resources, rejected=client) for _ in range(100)))
        assert set(map(id, again)) == {id(client)}, "nothing has changed"
        made.append(look_ups.made)

    assert made == [1, 1, 2, 2, 2, 3]


async def test_who_was_refused_with_what_others_have_replaced_gets_theirs(
    resources: LoopResources, look_ups: LookUps, defined: LocalOrg, connect: Connect, world: Any
) -> None:
    client = await client_of(resources)
    connect(LocalOrg(port=2))
    world.now += 6
    new = await client_of(resources, rejected=client)
    world.now += 10

    assert new.settings.domain.port == 2
    assert await client_of(resources, rejected=client) is await client_of(resources) is new
    assert look_ups.made == 2


async def test_a_look_up_that_fails_later_leaves_all_as_it_is(
    resources: LoopResources, look_ups: LookUps, defined: LocalOrg, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = await client_of(resources)
    look_ups.error = RuntimeError("the metadata database is away")
    world.now += 61
    with caplog.at_level(logging.WARNING):
        assert {id(one) for one in await asyncio.gather(*(client_of(resources) for _ in range(100)))} == {id(client)}

    assert look_ups.made == 2
    assert caplog.text.count("the metadata database is away") == 1
    assert CONN_ID in caplog.text

    look_ups.error = None
    world.now += 61
    assert await client_of(resources) is client
    assert look_ups.made == 3


async def test_a_connection_that_is_spoiled_later_leaves_all_as_it_is(
    resources: LoopResources, defined: LocalOrg, connect: Connect, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = await client_of(resources)
    connect(defined, read_timeout="soon")
    world.now += 61

    assert await client_of(resources) is client
    assert "read_timeout is 'soon'" in caplog.text


async def test_a_first_look_up_that_fails_is_an_error_for_all_and_is_made_again_a_little_later(
    resources: LoopResources, look_ups: LookUps, connect: Connect, world: Any
) -> None:
    errors = await asyncio.gather(*(client_of(resources) for _ in range(100)), return_exceptions=True)
    assert {type(error).__name__ for error in errors} == {"AirflowNotFoundException"}
    assert look_ups.made == 1

    world.now += 6
    connect(LocalOrg(port=1), read_timeout="soon")
    for error in await asyncio.gather(*(client_of(resources) for _ in range(3)), return_exceptions=True):
        assert isinstance(error, OktaConfigurationError)
    assert look_ups.made == 2

    world.now += 6
    connect(LocalOrg(port=1))
    assert (await client_of(resources)).settings


async def test_who_leaves_while_looking_up_leaves_it_to_the_next(
    resources: LoopResources, look_ups: LookUps, defined: LocalOrg
) -> None:
    look_ups.go.clear()
    first, *others = [asyncio.ensure_future(client_of(resources)) for _ in range(10)]
    await asyncio.sleep(0)
    first.cancel()
    look_ups.go.set()

    clients = await asyncio.gather(*others)
    assert first.cancelled()
    assert len(set(map(id, clients))) == 1
    assert look_ups.made == 2


# ---- paces


async def test_the_invocations_of_one_flow_pass_one_gate(
    resources: LoopResources, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__PACE", "process")
    runtime = world.runtime()
    limiters = [
        limiter
        for flow in "aabca"
        if (limiter := resources.limiter(f"https://acme.workflows.okta.com/api/flo/{flow}/invoke", runtime))
    ]

    assert limiters[0] is limiters[1] is limiters[4]
    assert len(set(map(id, limiters))) == 3
    for _ in range(11):
        await limiters[0].acquire()
    assert sum(world.slept) >= 1.0
    await limiters[2].acquire()
    assert len(world.slept) == 10, "another flow has a pace of its own"


async def test_without_a_pace_there_is_no_gate(resources: LoopResources) -> None:
    assert resources.limiter("https://acme.workflows.okta.com/api/flo/a/invoke", Runtime()) is None


# ---- the session


async def test_one_session_for_all_until_the_last_one_leaves() -> None:
    closed = []
    async with loop_resources() as first:
        async with loop_resources() as second:
            assert second is first
        closed.append(first.session.closed)
        async with loop_resources() as third:
            assert third is first
        closed.append(first.session.closed)
    closed.append(first.session.closed)
    assert closed == [False, False, True]

    async with loop_resources() as fourth:
        assert fourth is not first
        assert not fourth.session.closed


async def test_it_is_closed_after_an_error_too() -> None:
    seen: list[LoopResources] = []

    async def fail() -> None:
        async with loop_resources() as resources:
            seen.append(resources)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert seen[0].session.closed


async def test_it_is_closed_when_the_last_one_is_cancelled() -> None:
    seen: list[LoopResources] = []

    async def use() -> None:
        async with loop_resources() as resources:
            seen.append(resources)
            await asyncio.Event().wait()

    tasks = [asyncio.ensure_future(use()) for _ in range(3)]
    await asyncio.sleep(0)
    for last, task in zip((False, False, True), tasks, strict=True):
        task.cancel()
        await asyncio.wait([task])
        assert seen[0].session.closed is last
    assert len(set(map(id, seen))) == 1


async def test_who_comes_while_it_closes_gets_an_open_one(monkeypatch: pytest.MonkeyPatch) -> None:
    really = aiohttp.ClientSession.close
    seen: list[LoopResources] = []

    async def close_while_somebody_comes(session: aiohttp.ClientSession) -> None:
        monkeypatch.setattr(aiohttp.ClientSession, "close", really)
        async with loop_resources() as resources:
            await session.close()
            seen.append(resources)
            assert not resources.session.closed

    monkeypatch.setattr(aiohttp.ClientSession, "close", close_while_somebody_comes)
    async with loop_resources() as resources:
        pass

    assert resources.session.closed
    assert seen[0] is not resources
    assert seen[0].session.closed


def test_each_loop_has_its_own() -> None:
    async def use() -> LoopResources:
        async with loop_resources() as resources:
            return resources

    assert asyncio.run(use()) is not asyncio.run(use())
