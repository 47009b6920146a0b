"""A flow as triggers invoke it, against the local org: with credentials of today, and at its pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowException

from airflow_okta_workflows.client.loop_resources import LoopResources
from airflow_okta_workflows.core.flows.encoding import encode_payload
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, TooManyRequests
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowRefusedError,
    OktaTokenRefusedError,
)
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.transport.aiohttp_transport import open_session
from airflow_okta_workflows.triggers.encrypted_result import LARGEST_OUTCOME, decrypt_result
from airflow_okta_workflows.triggers.invoker import TriggererInvoker

Connect = Callable[..., None]
Rotate = Callable[[], None]
Shared = Callable[..., TriggererInvoker]


@pytest.fixture
async def share(world: Any) -> AsyncIterator[LoopResources]:
    async with open_session() as session:
        yield LoopResources(session, clock=lambda: world.now)


@pytest.fixture
def shared(share: LoopResources, world: Any) -> Shared:
    def make(flow: str = "echo", **request: Any) -> TriggererInvoker:
        return TriggererInvoker(share, "okta_workflows_default", world.runtime(), flow, request)

    return make


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Checkpoint each look-up of a connection."""
    made: list[str] = []

    async def look_up(conn_id: str, hook: Any = None) -> Any:
        made.append(conn_id)
        return await get_async_connection(conn_id, hook=hook)

    monkeypatch.setattr("airflow.providers.common.compat.connection.get_async_connection", look_up)
    return made


@pytest.fixture
def replace_key(org: LocalOrg, monkeypatch: pytest.MonkeyPatch) -> Rotate:
    """Give the connection a new key, as an administrator does; the org knows both."""

    def replace() -> None:
        connection = org.connection() | {"password": json.dumps(org.add_key())}
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))

    return replace


def remove_old_key(org: LocalOrg) -> None:
    org.app.public_keys.pop(org.private_jwk["kid"])
    org.revoke_tokens()


async def test_it_sends_what_it_was_given(org: LocalOrg, connect: Connect, shared: Shared) -> None:
    connect(org)

    response = await shared(payload='{"a":1}', query={"q": "x"}, headers={"X-Mine": "1"}).invoke("key-1")

    assert response.body == {"body": {"a": 1}, "query": {"q": "x"}, "key": "key-1"}
    assert org.requests("echo")[0].headers["x-mine"] == "1"
    assert "'a'" not in repr(shared(payload={"a": 1})), "a payload may be anybody's personal data"


async def test_each_invocation_without_a_key_has_one_of_its_own(
    org: LocalOrg, connect: Connect, shared: Shared
) -> None:
    connect(org)
    flow = shared()

    assert (await flow.invoke()).body["key"] != (await flow.invoke()).body["key"]


async def test_what_is_sent_again_and_again_is_encoded_once(
    org: LocalOrg, connect: Connect, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(org)
    flow, encoded = shared(payload={"a": 1}), []

    def encode(payload: Any, method: str) -> bytes | None:
        encoded.append(payload)
        return encode_payload(payload, method)

    monkeypatch.setattr("airflow_okta_workflows.core.flows.invocation.encode_payload", encode)
    first, second = [(await flow.invoke()).body for _ in range(2)]

    assert encoded == [{"a": 1}]
    assert first["body"] == second["body"] == {"a": 1}
    assert first["key"] != second["key"]


async def test_it_may_run_twice_under_one_key_where_its_fate_is_unknown(
    org: LocalOrg, connect: Connect, shared: Shared
) -> None:
    connect(org)
    org.inject(Reset(after_run=True), flow="echo")

    assert (await shared().invoke("key-1")).body["key"] == "key-1"
    assert [run.idempotency_key for run in org.flows["echo"].runs] == ["key-1", "key-1"]


# ---- credentials of today


async def test_a_rotated_key_takes_effect_without_a_restart(
    org: LocalOrg, connect: Connect, shared: Shared, replace_key: Rotate, look_ups: list[str], world: Any
) -> None:
    connect(org)
    flows = [shared() for _ in range(50)]
    await asyncio.gather(*(flow.invoke() for flow in flows))
    replace_key()
    remove_old_key(org)
    world.now += 10

    responses = await asyncio.gather(*(flow.invoke(f"key-{n}") for n, flow in enumerate(flows)))

    assert [response.body["key"] for response in responses] == [f"key-{n}" for n in range(50)]
    assert len(org.flows["echo"].runs) == 100
    assert org.tokens_granted == 2
    assert len(look_ups) == 2


async def test_what_was_refused_is_sent_again_under_the_same_key(
    org: LocalOrg, connect: Connect, shared: Shared, replace_key: Rotate, world: Any
) -> None:
    connect(org)
    flow = shared()
    await flow.invoke("key-0")
    replace_key()
    remove_old_key(org)
    world.now += 10

    await flow.invoke("key-1")

    assert [(request.headers["idempotency-key"], request.ran) for request in org.requests("echo")] == [
        ("key-0", True), ("key-1", False), ("key-1", True),
    ]  # fmt: skip


async def test_credentials_that_were_just_looked_up_are_not_looked_up_again(
    org: LocalOrg, connect: Connect, shared: Shared, replace_key: Rotate, look_ups: list[str], world: Any
) -> None:
    connect(org)
    flow = shared()
    await flow.invoke()
    replace_key()
    remove_old_key(org)
    world.now += 4

    with pytest.raises(OktaTokenRefusedError, match="public key"):
        await flow.invoke()
    assert len(look_ups) == 1

    world.now += 2
    assert (await flow.invoke("key-1")).body["key"] == "key-1"
    assert len(look_ups) == 2


async def test_credentials_that_are_refused_and_stay_the_same_are_an_error(
    org: LocalOrg, connect: Connect, shared: Shared, look_ups: list[str], world: Any
) -> None:
    connect(org)
    flow = shared()
    await flow.invoke()
    remove_old_key(org)
    world.now += 10

    for _ in range(3):
        with pytest.raises(OktaTokenRefusedError, match="public key"):
            await flow.invoke()
    assert len(look_ups) == 2
    assert len(org.flows["echo"].runs) == 1


async def test_a_flow_that_refuses_is_asked_once_with_what_has_not_changed(
    org: LocalOrg, connect: Connect, shared: Shared, look_ups: list[str], world: Any
) -> None:
    connect(org)
    flow = shared()
    await flow.invoke()
    org.inject(Answer(403), flow="echo", times=2)
    world.now += 10

    with pytest.raises(OktaFlowRefusedError):
        await flow.invoke()
    assert len(look_ups) == len(org.requests("echo")) == 2


@pytest.mark.parametrize("before", [{}, {"flows": {"echo": "elsewhere"}}], ids=["added", "moved"])
async def test_a_flow_that_the_connection_has_come_to_know_is_found(
    org: LocalOrg, connect: Connect, shared: Shared, look_ups: list[str], world: Any, before: dict[str, Any]
) -> None:
    echo = org.flows.pop("echo")
    connect(org, **before)
    error = OktaFlowRefusedError if before else OktaConfigurationError
    with pytest.raises(error):
        await shared().invoke()
    assert org.log == []

    org.flows["echo"] = echo
    connect(org)
    world.now += 10

    assert (await shared().invoke("key-1")).body["key"] == "key-1"
    assert len(look_ups) == 2


async def test_a_flow_that_fails_has_nothing_to_do_with_the_connection(
    org: LocalOrg, connect: Connect, shared: Shared, replace_key: Rotate, look_ups: list[str], world: Any
) -> None:
    connect(org)
    org.inject(Answer(500, after_run=True), flow="echo")
    flow = shared()
    replace_key()
    world.now += 10

    with pytest.raises(OktaFlowFailedError):
        await flow.invoke()
    assert len(look_ups) == len(org.flows["echo"].runs) == 1


# ---- the pace of today


async def test_a_429_holds_all_back_who_invoke_the_flow(
    org: LocalOrg, connect: Connect, share: LoopResources, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__PACE", "process")
    connect(org)
    async_sleep, wake = asyncio.Event(), asyncio.Event()
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        async_sleep.set()
        await wake.wait()
        world.now += seconds

    runtime = replace(world.runtime(), async_sleep=sleep)
    one, another = (TriggererInvoker(share, "okta_workflows_default", runtime, "echo", {}) for _ in range(2))
    org.inject(TooManyRequests(retry_after=30), flow="echo")
    first = asyncio.ensure_future(one.invoke("key-1"))
    await async_sleep.wait()
    async_sleep.clear()
    second = asyncio.ensure_future(another.invoke("key-2"))
    await async_sleep.wait()

    assert waits[0] >= 30
    assert waits[1] >= 30
    assert [request.headers["idempotency-key"] for request in org.requests("echo")] == ["key-1"]
    wake.set()
    await asyncio.gather(first, second)
    assert len(org.flows["echo"].runs) == 2


# ---- what the worker gets


def settings() -> Any:
    return OktaWorkflowsHook().settings


async def test_a_response_is_sealed_for_the_worker(org: LocalOrg, connect: Connect, shared: Shared) -> None:
    connect(org)

    sealed = await shared(payload={"a": 1}).invoke_encrypted("key-1")

    opened = decrypt_result(sealed, settings(), "key-1")
    assert isinstance(opened, FlowResponse)
    assert opened.body == {"body": {"a": 1}, "query": {}, "key": "key-1"}
    assert opened.execution_id == org.flows["echo"].runs[0].execution_id


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda org: org.inject(Answer(500), flow="echo"), OktaFlowFailedError),
        (lambda org: org.app.granted_scopes.clear(), OktaTokenRefusedError),
        (lambda org: org.flows.clear(), OktaFlowRefusedError),
    ],
)
async def test_an_error_is_sealed_for_the_worker(
    org: LocalOrg, connect: Connect, shared: Shared, spoil: Any, error: type[Exception]
) -> None:
    connect(org)
    spoil(org)

    opened = decrypt_result(await shared().invoke_encrypted("key-1"), settings(), "key-1")

    assert type(opened) is error
    assert getattr(opened, "idempotency_key", "key-1") == "key-1"


async def test_a_response_that_is_too_large_is_not_handed_over(org: LocalOrg, connect: Connect, shared: Shared) -> None:
    org.flow("large")(lambda request: {"rows": "x" * LARGEST_OUTCOME})
    connect(org)

    assert await shared("large").invoke_encrypted("key-1") is None
    assert len(org.flows["large"].runs) == 1


async def test_without_a_connection_nothing_is_sent_and_nothing_can_be_sealed(
    org: LocalOrg, connect: Connect, shared: Shared, world: Any
) -> None:
    with pytest.raises(AirflowException):
        await shared().invoke_encrypted("key-1")
    world.now += 10
    connect(org, read_timeout="soon")
    with pytest.raises(OktaConfigurationError, match="read_timeout"):
        await shared().invoke_encrypted("key-1")
    assert org.log == []


async def test_it_is_sealed_with_the_key_that_the_worker_has_now(
    org: LocalOrg, connect: Connect, shared: Shared, replace_key: Rotate, world: Any
) -> None:
    connect(org)
    flow = shared()
    await flow.invoke()
    old = settings()
    replace_key()
    remove_old_key(org)
    world.now += 10

    sealed = await flow.invoke_encrypted("key-1")

    assert isinstance(decrypt_result(sealed, settings(), "key-1"), FlowResponse)
    assert decrypt_result(sealed, old, "key-1") is None
