"""Nothing is sent after a task was stopped, whatever it was waiting for."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from filelock import FileLock

from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, TooManyRequests
from airflow_okta_workflows.exceptions import (
    OktaFlowError,
    OktaFlowNoResponseError,
    OktaFlowNotSentError,
    OktaTokenError,
    OktaWorkflowsError,
)
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from tests.integration.task_context import RecordingStore, Store, context, with_store

Connect = Callable[..., None]
FOREVER = 600
PATIENT = {"rate_limit_wait": 3600}


@pytest.fixture
def airflow_3() -> Iterator[list[Any]]:
    """SIGTERM as Airflow 3 handles it: ``on_kill`` of the tasks in the list is called, and the task goes on."""
    tasks: list[Any] = []

    def on_term(*_: object) -> None:
        for task in tasks:
            task.on_kill()

    before = signal.signal(signal.SIGTERM, on_term)
    yield tasks
    after = signal.signal(signal.SIGTERM, before)
    assert after is on_term, "whoever listens puts back what was there"


def terminate_when(waits: Callable[[], object]) -> None:
    """Send this process SIGTERM as soon as it waits."""

    def watch() -> None:
        while not waits():
            threading.Event().wait(0.01)
        threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def single(**options: Any) -> InvokeOktaFlowOperator:
    return InvokeOktaFlowOperator(**{"task_id": "task", "flow": "echo", "payload": {}, **options})


def batch(**options: Any) -> InvokeOktaFlowBatchOperator:
    return InvokeOktaFlowBatchOperator(
        **{
            "task_id": "task",
            "flow": "echo",
            "payloads": [{"n": n} for n in range(5)],
            "max_rate": 1000,
            "max_in_flight": 1,
            **options,
        }
    )


def sensor(**options: Any) -> OktaFlowSensor:
    return OktaFlowSensor(**{"task_id": "task", "flow": "echo", "poke_interval": 0.01, "timeout": 900, **options})


def rate_limited(org: LocalOrg) -> Callable[[], object]:
    org.inject(TooManyRequests(retry_after=FOREVER), flow="echo", times=100)
    return lambda: org.requests("echo")


def no_token(org: LocalOrg) -> Callable[[], object]:
    org.inject(TooManyRequests(retry_after=FOREVER), times=100)
    return lambda: org.token_requests


def refused_token(org: LocalOrg) -> Callable[[], object]:
    # One token is good; after a 401 the next one has to be waited for.
    org.inject(Answer(401), flow="echo")
    OktaWorkflowsHook().get_access_token()
    before = len(org.token_requests)
    org.inject(TooManyRequests(retry_after=FOREVER), times=100)
    return lambda: len(org.token_requests) > before


def another_process_asks(org: LocalOrg) -> Callable[[], object]:
    from airflow_okta_workflows.tokens.source import token_source_for

    cache = token_source_for(OktaWorkflowsHook().settings).cache
    assert cache is not None
    lock: FileLock = cache.lock()
    lock.acquire()
    org.kept.append(lock)  # type: ignore[attr-defined]  # as long as the org
    return lambda: True


WAITS = {
    "for a rate limit": rate_limited,
    "for a token": no_token,
    "for a new token": refused_token,
    "for another process's token": another_process_asks,
}


@pytest.fixture
def stopped_org(org: LocalOrg, connect: Connect) -> Iterator[LocalOrg]:
    org.kept = []  # type: ignore[attr-defined]  # locks that a test holds
    connect(org, **PATIENT)
    yield org
    for lock in org.kept:  # type: ignore[attr-defined]  # as above
        lock.release()


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("make", [single, batch, sensor])
def test_a_task_that_is_stopped_while_it_waits_sends_nothing(
    stopped_org: LocalOrg, airflow_3: list[Any], make: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    task = make()
    airflow_3.append(task)
    terminate_when(wait(stopped_org))
    with pytest.raises(OktaWorkflowsError, match=r"[Tt]he task was stopped"):
        task.execute(context())

    assert stopped_org.flows["echo"].runs == []


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_hook_in_a_task_of_ones_own_hears_of_it_too(
    stopped_org: LocalOrg, airflow_3: list[Any], wait: Callable[..., Any]
) -> None:
    # A function of the user's own has no on_kill that could tell.
    terminate_when(wait(stopped_org))
    with pytest.raises(OktaWorkflowsError, match="the task was stopped"):
        OktaWorkflowsHook().invoke("echo", {})

    assert stopped_org.flows["echo"].runs == []


@pytest.mark.parametrize("wait", [rate_limited, no_token])
def test_a_hook_on_an_event_loop_sends_nothing_after_sigterm(
    stopped_org: LocalOrg, airflow_3: list[Any], wait: Callable[..., Any]
) -> None:
    under_way = wait(stopped_org)
    slept: list[float] = []

    async def async_sleep(seconds: float) -> None:
        slept.append(seconds)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)

    hook = OktaWorkflowsHook(runtime=Runtime(async_sleep=async_sleep))
    with pytest.raises(OktaWorkflowsError, match="the task was stopped"):
        asyncio.run(hook.ainvoke("echo", {}))

    assert slept
    assert under_way()
    assert stopped_org.flows["echo"].runs == []


def test_many_calls_on_one_loop_all_hear_of_it(stopped_org: LocalOrg, airflow_3: list[Any]) -> None:
    rate_limited(stopped_org)
    slept: list[float] = []
    all_wait = asyncio.Event()

    async def async_sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
            all_wait.set()
        await all_wait.wait()

    async def main() -> list[Any]:
        hook = OktaWorkflowsHook(runtime=Runtime(async_sleep=async_sleep))
        return await asyncio.gather(*(hook.ainvoke("echo", {}) for _ in range(5)), return_exceptions=True)

    errors = asyncio.run(main())

    assert [type(error) for error in errors] == [OktaFlowNotSentError] * 5
    assert len(stopped_org.requests("echo")) == 5


def test_what_was_sent_before_stays_of_unknown_fate(stopped_org: LocalOrg, airflow_3: list[Any]) -> None:
    stopped_org.inject(Reset(after_run=True), flow="echo")
    task = single(idempotent=True)
    airflow_3.append(task)
    terminate_when(lambda: stopped_org.flows["echo"].runs)
    with pytest.raises(OktaFlowNoResponseError, match="a later attempt was not invoked: the task was stopped"):
        task.execute(context())

    assert len(stopped_org.requests("echo")) == 1


def test_a_retry_sends_what_the_stopped_try_did_not(stopped_org: LocalOrg, airflow_3: list[Any]) -> None:
    stopped_org.inject(TooManyRequests(retry_after=FOREVER), flow="echo")
    store = Store()
    task = single(retries=3)
    airflow_3.append(task)
    terminate_when(lambda: stopped_org.requests("echo"))
    with pytest.raises(OktaFlowNotSentError) as caught:
        task.execute(with_store(store))
    assert store["okta_workflows_invocation"]["state"] == "not_run"

    single(retries=3).execute(with_store(store, try_number=2))
    assert [run.idempotency_key for run in stopped_org.flows["echo"].runs] == [caught.value.idempotency_key]


def test_a_task_that_is_stopped_in_a_rate_limit_writes_no_checkpoint_again(
    stopped_org: LocalOrg, airflow_3: list[Any]
) -> None:
    stopped_org.inject(TooManyRequests(retry_after=FOREVER), flow="echo")
    store = RecordingStore()
    task = single(retries=3)
    airflow_3.append(task)
    terminate_when(lambda: store.states[-1:] == ["not_run"])
    with pytest.raises(OktaFlowNotSentError):
        task.execute(with_store(store))

    assert store.states == ["sending", "not_run"]


def test_a_batch_keeps_what_was_under_way_and_drops_what_waits(stopped_org: LocalOrg) -> None:
    release = threading.Event()

    @stopped_org.flow("slow")
    def slow(request: Any) -> Any:
        stopped_org.inject(TooManyRequests(retry_after=FOREVER), flow="slow", times=2)
        release.wait(30)
        return {"n": request.body["n"]}

    task = batch(flow=stopped_org.flows["slow"].alias, max_rate=5, max_in_flight=9, on_error="collect")
    given = with_store(Store())

    def stop() -> None:
        while len(stopped_org.requests("slow")) < 2:
            threading.Event().wait(0.01)
        task.on_kill()
        release.set()

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(OktaWorkflowsError, match="The task was stopped"):
        task.execute(given)

    outcomes = [record["outcome"] for record in given["ti"].pushed["records"]]
    assert outcomes == ["succeeded", *["not_sent"] * 4]
    assert len(stopped_org.flows["slow"].runs) == 1


def test_on_kill_before_it_begins_is_heeded(stopped_org: LocalOrg) -> None:
    task = single()
    task.on_kill()
    with pytest.raises(OktaFlowError, match="the task was stopped"):
        task.execute(context())

    assert stopped_org.log == []


def test_another_try_in_the_same_process_begins_unstopped(stopped_org: LocalOrg) -> None:
    task = single()
    task.execute(context())
    task.on_kill()

    assert task.execute(context())
    assert len(stopped_org.flows["echo"].runs) == 2


@pytest.mark.parametrize("make", [single, batch, sensor])
def test_a_copy_of_a_task_is_stopped_on_its_own(make: Callable[..., Any]) -> None:
    task = make()
    copies = [copy.copy(task), copy.deepcopy(task)]
    task.on_kill()

    assert [one.stop_signal.requested for one in (task, *copies)] == [True, False, False]


def test_where_sigterm_has_no_handler_it_does_what_it_did(stopped_org: LocalOrg) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        OktaWorkflowsHook().invoke("echo", {})
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_raises_still_stops(stopped_org: LocalOrg) -> None:
    class TerminatedError(Exception):
        """What Airflow 2 raises on SIGTERM."""

    def raising(*_: object) -> None:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, raising)
    try:
        terminate_when(rate_limited(stopped_org))
        with pytest.raises(TerminatedError):
            OktaWorkflowsHook().invoke("echo", {})
        assert signal.getsignal(signal.SIGTERM) is raising
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped_org.flows["echo"].runs == []


def test_a_hook_in_another_thread_leaves_signals_alone(stopped_org: LocalOrg) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []

    @stopped_org.flow("look")
    def look(request: Any) -> Any:
        seen.append(signal.getsignal(signal.SIGTERM))
        return {}

    thread = threading.Thread(target=lambda: OktaWorkflowsHook().invoke(stopped_org.flows["look"].alias, {}))
    thread.start()
    thread.join()

    assert seen == [before]


def test_a_stop_during_a_wait_with_a_clock_of_the_tests_own_is_heeded(stopped_org: LocalOrg, world: Any) -> None:
    stop = StopSignal()
    rate_limited(stopped_org)
    hook = OktaWorkflowsHook(runtime=replace(world.runtime(), stop=stop, sleep=lambda _: stop.request()))
    with pytest.raises(OktaFlowNotSentError):
        hook.invoke("echo", {})

    assert len(stopped_org.requests("echo")) == 1


@pytest.mark.parametrize(
    "get", [lambda hook: hook.get_access_token(), lambda hook: asyncio.run(hook.aget_access_token())]
)
def test_a_token_is_not_asked_for_after_the_stop(stopped_org: LocalOrg, get: Callable[..., Any]) -> None:
    hook = OktaWorkflowsHook()
    hook.runtime.stop.request()
    with pytest.raises(OktaTokenError, match="No access token was requested"):
        get(hook)

    assert stopped_org.token_requests == []
