"""One pace for all who invoke a flow on a host: real processes, a real file, the local org with Okta's limit."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.cli.main import main
from airflow_okta_workflows.client.loop_resources import loop_resources
from airflow_okta_workflows.core.retry.pacer import IDLE, PaceState
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.emulator import LocalOrg, Reset, TooManyRequests
from airflow_okta_workflows.exceptions import OktaFlowFailedError, OktaFlowNotSentError, OktaFlowRateLimitedError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import (
    InvokeOktaFlowBatchOperator,
    InvokeOktaFlowOperator,
    StatusFlow,
)
from airflow_okta_workflows.pace import encoding, host, slow_polls
from airflow_okta_workflows.pace.configured import configured_pace
from airflow_okta_workflows.pace.host import HostTurns, PaceFile
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from airflow_okta_workflows.triggers.invoker import TriggererInvoker
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
from tests.forked import ended, start
from tests.integration.task_context import Store, context, with_store
from tests.virtual_pace import VirtualHostTurns

Connect = Callable[..., None]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__PACE", "host")
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR", str(tmp_path / "okta"))
    return tmp_path / "okta"


@pytest.fixture
def org(connect: Connect) -> Iterator[LocalOrg]:
    """Yield a local org that accepts ten invocations of a flow in any second."""
    with LocalOrg(rate_limit=10) as org:
        org.flow("limited")(lambda request: {"status": "RUNNING"})
        org.flow("other")(lambda request: {"status": "UNDER WAY"})
        connect(org)
        yield org


def batch(name: str, items: int, **options: Any) -> Callable[[], None]:
    def work() -> None:  # pragma: no cover  # in another process
        payloads = [{"from": name, "n": number} for number in range(items)]
        operator = InvokeOktaFlowBatchOperator(task_id=name, flow="limited", payloads=payloads, **options)
        operator.execute(with_store(Store()))

    return work


def single(name: str) -> Callable[[], None]:
    def work() -> None:  # pragma: no cover  # in another process
        InvokeOktaFlowOperator(task_id=name, flow="limited", payload={"from": name}).execute(context())

    return work


def payloads_that_ran(org: LocalOrg) -> list[dict[str, Any]]:
    """Return the payload of each run, in order of arrival."""
    return [json.loads(request.text) for request in org.requests("limited") if request.ran]


def refused(org: LocalOrg) -> int:
    return sum(request.status == 429 for request in org.requests("limited"))


def turns_of(org: LocalOrg, flow: str = "limited") -> HostTurns:
    """Return turns like those of another process."""
    pace = configured_pace()
    return HostTurns(pace.directory, org.invoke_url(flow), pace.flow_rate)


def state_of(org: LocalOrg, flow: str = "limited") -> PaceState:
    directory = configured_pace().directory
    assert directory is not None
    path = PaceFile(directory, org.invoke_url(flow)).path
    return encoding.decode(path.read_bytes()) if path.exists() else IDLE


# ---- who shares it


def test_batches_and_single_tasks_go_round_and_stay_below_the_limit(org: LocalOrg) -> None:
    """Asserts counts and the order of arrival, and no time: the machine may be busy."""
    names = ["first", "second", "third"]
    singles = [f"single-{number}" for number in range(8)]

    codes = ended(start(*(batch(name, 25) for name in names), *(single(name) for name in singles)))

    assert codes == [0] * 11
    ran = payloads_that_ran(org)
    assert len(ran) == len({json.dumps(payload) for payload in ran}) == 3 * 25 + 8, "none is lost, none doubled"
    assert refused(org) <= 4
    senders = [payload["from"] for payload in ran]
    all_began = max(senders.index(name) for name in names)
    assert all_began < 25, "no batch waits until another has ended"
    first_to_end = min(len(senders) - senders[::-1].index(name) for name in names)
    shares = Counter(senders[all_began:first_to_end])
    # Not exactly equal: the machine may let one process wait.
    assert min(shares[name] for name in names) >= 0.6 * max(shares[name] for name in names), f"equal rates: {shares}"


def test_a_429_throttles_other_processes(org: LocalOrg) -> None:
    org.inject(TooManyRequests(retry_after=3), flow="limited")
    [child] = start(single("child"))
    while not org.requests("limited") or state_of(org).held_until < 0:
        assert child.is_alive()
        time.sleep(0.01)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    with closing(OktaWorkflowsHook(runtime=Runtime(sleep=sleep))) as hook:
        hook.invoke("limited", {"from": "parent"})

    assert ended([child]) == [0]
    assert waits
    assert [payload["from"] for payload in payloads_that_ran(org)].count("parent") == 1
    assert refused(org) == 1


@pytest.mark.parametrize("on_a_loop", [False, True], ids=["worker", "event loop"])
def test_a_429_that_fails_a_task_throttles_the_others_for_a_minute(on_a_loop: bool, org: LocalOrg) -> None:
    org.inject(TooManyRequests(retry_after=80_000), flow="limited")
    before = time.monotonic()

    with pytest.raises(OktaFlowRateLimitedError):
        by_trigger() if on_a_loop else invoke()

    assert before + 60 <= state_of(org).held_until <= time.monotonic() + 60

    stop = StopSignal()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        stop.request()

    runtime = Runtime(stop=stop, sleep=sleep)
    with closing(OktaWorkflowsHook(runtime=runtime)) as hook, pytest.raises(OktaFlowNotSentError, match="was stopped"):
        hook.invoke("limited", {})
    [waited] = waits
    assert 0 < waited <= 60
    assert len(org.requests("limited")) == 1, "the other task has sent nothing"


def test_nobody_waits_for_a_process_that_was_killed_while_it_waited(org: LocalOrg) -> None:
    # Five seconds: the victims have to wait until the last of them has started.
    for _ in range(50):
        turns_of(org).reserve(time.monotonic())
    before = state_of(org).next_moment
    victims = start(*[single("victim")] * 3)
    while state_of(org).next_moment < before + 0.3:
        assert all(victim.is_alive() for victim in victims)
        time.sleep(0.001)
    for victim in victims:
        victim.kill()
        victim.join()

    assert ended(start(single("heir"))) == [0]
    assert [payload["from"] for payload in payloads_that_ran(org)] == ["heir"]


def invoke() -> None:
    with closing(OktaWorkflowsHook()) as hook:
        hook.invoke("limited", {})


def ainvoke() -> None:
    asyncio.run(OktaWorkflowsHook().ainvoke("limited", {}))


def by_operator() -> None:
    InvokeOktaFlowOperator(task_id="one", flow="limited", payload={}).execute(context())


def by_batch() -> None:
    InvokeOktaFlowBatchOperator(task_id="many", flow="limited", payloads=[{}]).execute(with_store(Store()))


def by_sensor() -> None:
    OktaFlowSensor(task_id="wait", flow="limited", payload={}).poke(context())


def by_trigger() -> None:
    async def main() -> None:
        async with loop_resources() as resources:
            await TriggererInvoker(resources, "okta_workflows_default", Runtime(), "limited", {}).invoke("key")

    asyncio.run(main())


def by_status_of_a_single() -> None:
    status = StatusFlow("limited", success_when="status == 'RUNNING'")
    InvokeOktaFlowOperator(task_id="one", flow="other", payload={}, status=status).execute(with_store(Store()))


def by_status_of_a_batch() -> None:
    status = StatusFlow("limited", success_when="status == 'RUNNING'")
    InvokeOktaFlowBatchOperator(task_id="many", flow="other", payloads=[{}], status=status).execute(with_store(Store()))


def by_command_line() -> None:
    assert main(["invoke", "limited", "--payload", "{}"]) == 0


@pytest.mark.parametrize(
    "way",
    [
        invoke,
        ainvoke,
        by_operator,
        by_batch,
        by_sensor,
        by_trigger,
        by_status_of_a_single,
        by_status_of_a_batch,
        by_command_line,
    ],
)
def test_each_way_to_invoke_takes_a_turn(way: Callable[[], None], org: LocalOrg) -> None:
    way()

    assert len(org.requests("limited")) == len(state_of(org).taken) == 1


# ---- how it waits


def test_a_flow_that_nobody_invokes_is_invoked_at_once(org: LocalOrg) -> None:
    waits: list[float] = []
    with closing(OktaWorkflowsHook(runtime=Runtime(sleep=waits.append))) as hook:
        hook.invoke("limited", {})

    assert waits == []


def test_a_task_that_is_stopped_while_it_waits_sends_nothing(org: LocalOrg) -> None:
    turns_of(org).throttle(time.monotonic(), 1000.0)
    stop = StopSignal()
    runtime = Runtime(stop=stop, sleep=lambda seconds: stop.request())

    with closing(OktaWorkflowsHook(runtime=runtime)) as hook, pytest.raises(OktaFlowNotSentError, match="was stopped"):
        hook.invoke("limited", {})

    assert org.requests("limited") == []


def test_a_task_that_is_interrupted_while_it_waits_keeps_nobody_waiting(org: LocalOrg) -> None:
    # Several, so that there is something to wait for on a busy machine, too.
    for _ in range(10):
        turns_of(org).reserve(time.monotonic())

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with closing(OktaWorkflowsHook(runtime=Runtime(sleep=interrupt))) as hook, pytest.raises(KeyboardInterrupt):
        hook.invoke("limited", {})
    with closing(OktaWorkflowsHook()) as hook:
        hook.invoke("limited", {})

    assert len(org.requests("limited")) == 1


def test_a_batch_that_is_stopped_while_it_waits_sends_nothing(org: LocalOrg) -> None:
    turns_of(org).throttle(time.monotonic(), 1000.0)
    operator = InvokeOktaFlowBatchOperator(task_id="many", flow="limited", payloads=[{}, {}])

    def stop_once_it_waits() -> None:
        while state_of(org).next_moment < state_of(org).held_until + 0.1:
            time.sleep(0.001)
        operator.on_kill()

    thread = threading.Thread(target=stop_once_it_waits)
    thread.start()
    with pytest.raises(OktaFlowFailedError, match="2 not sent"):
        operator.execute(with_store(Store()))
    thread.join()

    assert org.requests("limited") == []


async def test_an_event_loop_goes_on_while_the_file_is_locked(org: LocalOrg) -> None:
    turns_of(org).reserve(time.monotonic())
    directory = configured_pace().directory
    assert directory is not None
    descriptor = os.open(PaceFile(directory, org.invoke_url("limited")).path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    hook = OktaWorkflowsHook()
    await hook.aget_access_token()

    invocation = asyncio.ensure_future(hook.ainvoke("limited", {}))
    for _ in range(50):
        await asyncio.sleep(0.005)
    assert org.requests("limited") == []
    os.close(descriptor)
    await invocation

    assert len(org.requests("limited")) == 1


def test_an_event_loop_reserves_the_turns_of_half_a_second_and_no_more(org: LocalOrg) -> None:
    async def main() -> None:
        hook = OktaWorkflowsHook()
        await hook.aget_access_token()
        calls = [asyncio.ensure_future(hook.ainvoke("limited", {})) for _ in range(12)]
        await calls[0]
        assert state_of(org).next_moment - time.monotonic() < 0.8
        await asyncio.gather(*calls)

    asyncio.run(main())
    assert refused(org) == 0
    assert len(org.requests("limited")) == 12


def test_an_own_limit_lowers_the_share_of_a_batch(org: LocalOrg) -> None:
    batch("slow", 3, max_rate=5)()

    earlier, middle, later = state_of(org).taken
    assert min(middle - earlier, later - middle) >= 0.2


# ---- what it does without


def test_a_directory_of_others_gives_one_warning_and_the_own_pace(
    org: LocalOrg, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    host._warned.clear()

    for _ in range(3):
        with closing(OktaWorkflowsHook()) as hook:
            hook.invoke("limited", {})

    told = [record.getMessage() for record in caplog.records if "The pace of flows" in record.getMessage()]
    assert len(told) == 1
    assert list(directory.iterdir()) == []
    assert len(org.requests("limited")) == 3


@pytest.mark.parametrize("mode", ["process", "off"])
def test_without_the_hosts_pace_there_is_no_file(
    mode: str, org: LocalOrg, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__PACE", mode)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    with closing(OktaWorkflowsHook(runtime=Runtime(sleep=sleep))) as hook:
        for _ in range(3):
            hook.invoke("limited", {})

    assert not list(directory.glob("*.pace"))
    assert bool(waits) == (mode == "process")


# ---- polls


def virtual_turns(org: LocalOrg) -> VirtualHostTurns:
    """Return turns of this host's pace whose clock shows what their callers pass."""
    pace = configured_pace()
    url = org.invoke_url("limited")
    turns = pace._turns[url] = VirtualHostTurns(pace.directory, url, pace.flow_rate)
    return turns


def told_of_slow_polls(caplog: pytest.LogCaptureFixture) -> int:
    return sum("wait up to" in record.getMessage() for record in caplog.records)


def test_a_sensor_that_waits_for_its_turns_warns_once(
    org: LocalOrg, world: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_polls._warned.clear()
    # Time is virtual, and a hundred others poll the flow.
    others = virtual_turns(org)
    sensor = OktaFlowSensor(task_id="wait", flow="limited", payload={}, poke_interval=10)
    monkeypatch.setattr(OktaFlowSensor, "_runtime", world.runtime())
    for _ in range(5):
        for _ in range(100):
            others.reserve(world.now)
        sensor.poke(context())

    assert told_of_slow_polls(caplog) == 1


@pytest.mark.parametrize(("others", "with_a_store", "warnings"), [(30, True, 1), (300, True, 1), (300, False, 1)])
def test_a_rescheduled_sensor_warns_once_though_each_poll_is_a_process_of_its_own(
    others: int,
    with_a_store: bool,
    warnings: int,
    org: LocalOrg,
    world: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = virtual_turns(org)
    monkeypatch.setattr(OktaFlowSensor, "_runtime", world.runtime())
    given = with_store(Store()) if with_a_store else context()
    for poll in range(6):
        slow_polls._warned.clear()
        for _ in range(others):
            turns.reserve(world.now)
        given["ti"].get_first_reschedule_date = lambda context, poll=poll: poll or None
        sensor = OktaFlowSensor(task_id="wait", flow="limited", payload={}, poke_interval=10, mode="reschedule")
        sensor.poke(given)

    assert told_of_slow_polls(caplog) == warnings


def test_another_try_of_a_rescheduled_sensor_warns_again(
    org: LocalOrg, world: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = virtual_turns(org)
    monkeypatch.setattr(OktaFlowSensor, "_runtime", world.runtime())
    store = Store()
    for try_number in (1, 1, 2, 2):
        slow_polls._warned.clear()
        for _ in range(200):
            turns.reserve(world.now)
        sensor = OktaFlowSensor(task_id="wait", flow="limited", payload={}, poke_interval=10, mode="reschedule")
        sensor.poke(with_store(store, try_number=try_number))

    assert told_of_slow_polls(caplog) == 2


WAITS = [TooManyRequests(retry_after=40), Reset()]


@pytest.mark.parametrize("fault", WAITS, ids=["429", "reset"])
def test_a_sensor_that_waits_for_anything_else_does_not_blame_the_pace(
    fault: Any, org: LocalOrg, world: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_polls._warned.clear()
    virtual_turns(org)
    sensor = OktaFlowSensor(task_id="wait", flow="limited", payload={}, poke_interval=1)
    monkeypatch.setattr(OktaFlowSensor, "_runtime", world.runtime())
    for _ in range(4):
        org.inject(fault, flow="limited", times=1)
        sensor.poke(context())
        world.sleep(10)

    assert world.slept
    assert told_of_slow_polls(caplog) == 0


@pytest.mark.parametrize("fault", WAITS, ids=["429", "reset"])
async def test_a_trigger_that_waits_for_anything_else_does_not_blame_the_pace(
    fault: Any, org: LocalOrg, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    slow_polls._warned.clear()
    virtual_turns(org)
    org.inject(fault, flow="limited", times=2)
    trigger = OktaFlowStatusTrigger(
        flow="limited", payload={}, poke_interval=1, deadline=world.now + 200, runtime=world.runtime()
    )
    await anext(trigger.run())

    assert told_of_slow_polls(caplog) == 0


async def test_a_trigger_that_waits_for_its_turns_warns_once(
    org: LocalOrg, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    slow_polls._warned.clear()
    others = virtual_turns(org)

    def others_poll_too(seconds: float) -> None:
        if seconds == 10:
            for _ in range(100):
                others.reserve(world.now)

    async def async_sleep(seconds: float) -> None:
        world.sleep(seconds)
        others_poll_too(seconds)
        await asyncio.sleep(0)

    runtime = replace(world.runtime(), async_sleep=async_sleep)
    trigger = OktaFlowStatusTrigger(
        flow="limited", payload={}, poke_interval=10, deadline=world.now + 200, runtime=runtime
    )
    await anext(trigger.run())

    assert len(org.requests("limited")) >= 5
    assert told_of_slow_polls(caplog) == 1


async def test_a_trigger_waits_for_its_turn_no_longer_than_until_its_deadline(org: LocalOrg, world: Any) -> None:
    turns_of(org).throttle(world.now, 60.0)
    before = state_of(org).next_moment

    async def async_sleep(seconds: float) -> None:
        if seconds > 1:
            await asyncio.Event().wait()
        world.sleep(seconds)

    runtime = replace(world.runtime(), async_sleep=async_sleep)
    trigger = OktaFlowStatusTrigger(
        flow="limited", payload={}, poke_interval=0.01, deadline=world.now + 0.02, runtime=runtime
    )

    assert (await anext(trigger.run())).payload == {"outcome": "timeout"}
    assert org.requests("limited") == []
    assert state_of(org).next_moment == pytest.approx(before), "it has released its turn"
