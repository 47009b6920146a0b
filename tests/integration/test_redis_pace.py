"""One pace for the hosts of a deployment: real processes, a real Redis server, the local org with Okta's limit."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator
from airflow_okta_workflows.pace import configured, redis_turns
from airflow_okta_workflows.pace.redis_turns import key_of
from tests.forked import ended, start
from tests.integration.task_context import Store, with_store
from tests.redis_server import LocalRedis


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalRedis]:
    """Yield a running server that the config names."""
    configured._redis_url.cache_clear()
    # A busy machine may be slow.
    monkeypatch.setattr(redis_turns, "_TIMEOUT", 20.0)
    with LocalRedis() as redis:
        monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__PACE", "redis")
        monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__REDIS_URL", redis.url(db=1))
        monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR", str(tmp_path / "okta"))
        yield redis
    configured._redis_url.cache_clear()


@pytest.fixture
def org(connect: Callable[..., None]) -> Iterator[LocalOrg]:
    """Yield a local org that accepts ten invocations of a flow in any second."""
    with LocalOrg(rate_limit=10) as org:
        org.flow("limited")(lambda request: {"status": "RUNNING"})
        connect(org)
        yield org


def refused(org: LocalOrg) -> int:
    return sum(request.status == 429 for request in org.requests("limited"))


def test_two_hosts_share_one_pace_and_get_even_turns(
    org: LocalOrg, redis: LocalRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Asserts counts and the order of arrival, and no time: the machine may be busy."""
    names = ["first", "second"]

    def batch_on(host: str) -> None:  # pragma: no cover  # in another process
        monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR", str(tmp_path / host))
        payloads = [{"from": host, "n": number} for number in range(25)]
        operator = InvokeOktaFlowBatchOperator(task_id=host, flow="limited", payloads=payloads)
        operator.execute(with_store(Store()))

    assert ended(start(*(partial(batch_on, name) for name in names))) == [0, 0]
    ran = [json.loads(request.text) for request in org.requests("limited") if request.ran]
    assert len(ran) == len({json.dumps(payload) for payload in ran}) == 50, "none is lost, none doubled"
    assert refused(org) <= 2
    senders = [payload["from"] for payload in ran]
    ends = {name: len(senders) - senders[::-1].index(name) for name in names}
    shares = Counter(senders[: min(ends.values())])
    assert all(shares[name] >= 20 for name in names), f"equal rates: {shares}"
    assert redis.ask("KEYS", "*", db=1) == [key_of(org.invoke_url("limited")).encode()]
    assert not list(tmp_path.glob("*/*.pace")), "no host had to do without"


def test_no_invocation_is_lost_when_the_server_goes_and_comes_back(
    org: LocalOrg, redis: LocalRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(redis_turns, "_AWAY", 0.3)

    def invoke(times: int) -> None:
        for _ in range(times):
            hook.invoke("limited", {})

    with closing(OktaWorkflowsHook()) as hook:
        invoke(2)
        redis.stop()
        invoke(3)
        redis.start()
        until_it_is_tried = time.monotonic() + 0.3
        while time.monotonic() < until_it_is_tried:
            invoke(1)
        invoke(1)

    told = [f"{one.levelname} {one.getMessage()}" for one in caplog.records if "Redis at" in one.getMessage()]
    assert [line.partition(" ")[0] for line in told] == ["WARNING", "INFO"]
    assert len(redis.ask("KEYS", "*", db=1)) == 1
    requests = org.requests("limited")
    assert sum(request.ran for request in requests) == len(requests) - refused(org) >= 6
    assert redis.password not in caplog.text


async def test_an_event_loop_goes_on_while_the_server_hangs(
    org: LocalOrg, redis: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = OktaWorkflowsHook()
    await hook.ainvoke("limited", {})
    redis.hang()

    invocation = asyncio.ensure_future(hook.ainvoke("limited", {}))
    for _ in range(50):
        await asyncio.sleep(0.005)
    assert len(org.requests("limited")) == 1
    redis.go_on()
    await invocation

    assert len(org.requests("limited")) == 2


def everything_of(record: logging.LogRecord) -> str:
    return f"{record.getMessage()} {record.__dict__!r}"


def test_a_wrong_password_is_in_no_log_and_costs_no_invocation(
    org: LocalOrg, redis: LocalRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__REDIS_URL", redis.url(password="wr0ng-pa55word"))
    with closing(OktaWorkflowsHook()) as hook:
        for _ in range(2):
            hook.invoke("limited", {})

    assert len(org.requests("limited")) == 2
    told = [record for record in caplog.records if "Redis at" in record.getMessage()]
    assert len(told) == 1
    assert "wr0ng" not in "".join(map(everything_of, caplog.records))
