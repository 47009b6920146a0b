"""A batch of a flow with a status flow: each item runs exactly once, and its end is waited for."""

from __future__ import annotations

import asyncio
import copy
import heapq
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_okta_workflows.core.flows.exactly_once import LEAVES_WITHIN
from airflow_okta_workflows.core.flows.idempotency_key import derive_key
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, ReturnRaw
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaFlowFailedError, OktaWorkflowsError
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, StatusFlow
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport
from tests.conftest import World
from tests.integration.task_context import Store, context, with_store

SETTLE = 65 + 25


class Together(World):
    """Virtual time of many tasks on one event loop: it passes once all of them sleep and no request is open."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._clock: asyncio.Task[None] | None = None

    async def async_sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._clock is None or self._clock.get_loop() is not loop or self._clock.done():
            # What is left of an earlier batch's loop.
            self._sleepers.clear()
            self._clock = loop.create_task(self._run())
        wakes = loop.create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), wakes))
        await wakes

    async def _run(self) -> None:
        while self._sleepers:
            quiet = 0
            while quiet < 2:
                await asyncio.sleep(0.0005)
                quiet = 0 if self.requests else quiet + 1
            moment, _, wakes = heapq.heappop(self._sleepers)
            if not wakes.done():
                self.now = max(self.now, moment)
                wakes.set_result(None)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Together:
    world = Together()

    def counted(work: Any) -> Any:
        """Return a coroutine function during whose calls time stands still."""

        async def call(*arguments: Any, **options: Any) -> Any:
            world.requests += 1
            try:
                return await work(*arguments, **options)
            finally:
                world.requests -= 1

        return call

    monkeypatch.setattr(AiohttpTransport, "send", counted(AiohttpTransport.send))
    # Checkpoints are written in a thread, which a busy machine may let wait.
    monkeypatch.setattr(asyncio, "to_thread", counted(asyncio.to_thread))
    return world


class Provisioning:
    """A flow that writes its row before anything else, and its status flow."""

    def __init__(self, org: LocalOrg, world: World) -> None:
        self.org, self.world = org, world
        self.rows: dict[str, dict[str, Any]] = {}
        self.takes = 150.0
        self.fails: set[int] = set()
        self.reports: Any = None
        self.asked_at: list[float] = []
        self.sent_at: list[float] = []
        self.cancelled: list[Any] = []
        self.on_run: Callable[[Any], None] = lambda request: None
        org.flow("provision")(self._provision)
        org.flow("provision_status")(self._status)
        org.flow("cancel")(self._cancel)
        org.flow("quick")(lambda request: {"status": "SUCCEEDED", "result": request.body})

    def _provision(self, request: Any) -> Any:
        number = request.body["id"]
        self.sent_at.append(self.world.now)
        self.rows[request.idempotency_key] = {
            "id": number, "ends": self.world.now + self.takes, "fails": number in self.fails
        }  # fmt: skip
        self.fails.discard(number)
        self.on_run(request)
        return {"status": "RUNNING"}

    def _cancel(self, request: Any) -> Any:
        self.cancelled.append(request.body["idempotency_key"])
        return {}

    def _status(self, request: Any) -> Any:
        self.asked_at.append(self.world.now)
        if self.reports is not None:
            return self.reports
        key = request.body["idempotency_key"]
        row = self.rows.get(key)
        status = "NOT_FOUND" if row is None else "RUNNING" if self.world.now < row["ends"] else "SUCCEEDED"
        if row and status == "SUCCEEDED" and row["fails"]:
            status = "FAILED"
        return {"status": status, "idempotency_key": key, "result": row and {"id": row["id"]}}

    @property
    def runs(self) -> Counter[str]:
        return Counter(str(run.idempotency_key) for run in self.org.flows["provision"].runs)


@pytest.fixture
def flow(org: LocalOrg, world: Together, connect: Callable[..., None]) -> Provisioning:
    flow = Provisioning(org, world)
    connect(org)
    return flow


class InVirtualTime(InvokeOktaFlowBatchOperator):
    """The operator with a clock of the test's own."""

    runtime = Runtime()

    @property
    def _runtime(self) -> Runtime:
        return replace(self.runtime, stop=self.stop_signal)


Task = Callable[..., InvokeOktaFlowBatchOperator]


@pytest.fixture
def task(world: Together) -> Task:
    def make(number: int = 3, **options: Any) -> InvokeOktaFlowBatchOperator:
        status = options.pop("status", {})
        if isinstance(status, dict):
            status = StatusFlow("provision_status", **{"result": "result.id", **status})
        payloads = [{"id": index} for index in range(number)]
        given = {"task_id": "task", "flow": "provision", "payloads": payloads, "status": status, "retries": 3}
        one = InVirtualTime(**given | options)
        one.runtime = world.runtime()
        return one

    return make


def outcomes(records: Any) -> list[str]:
    return [record["outcome"] for record in records]


def failed(task: InvokeOktaFlowBatchOperator, given: Any) -> list[dict[str, Any]]:
    """Execute a task that fails in a way that a retry may follow, and return its records."""
    with pytest.raises(OktaFlowFailedError) as caught:
        task.execute(given)
    assert not isinstance(caught.value, AirflowFailException)
    records: list[dict[str, Any]] = given["ti"].pushed["records"]
    return records


# ---- waiting for the end


def test_the_end_of_each_run_is_waited_for_at_the_status_flows_own_pace(flow: Provisioning, task: Task) -> None:
    records = task(30, success_when="@ >= `0`", max_in_flight=1).execute(with_store(Store()))

    assert outcomes(records) == ["succeeded"] * 30
    assert [record["result"] for record in records] == list(range(30))
    assert {record["key"]: record["execution_id"] for record in records} == {
        run.idempotency_key: run.execution_id for run in flow.org.flows["provision"].runs
    }
    assert set(flow.runs.values()) == {1}
    assert max(flow.sent_at) - min(flow.sent_at) < 5, "an item that is waited for does not keep others from being sent"
    asked = sorted(flow.asked_at)
    assert len(asked) == 30 * 4
    assert min(later - earlier for earlier, later in pairwise(asked)) > 0.1


def test_a_flow_that_tells_the_end_at_once_needs_no_question(flow: Provisioning, task: Task) -> None:
    assert [record["result"] for record in task(flow="quick").execute(context())] == [0, 1, 2]
    assert flow.asked_at == []


@pytest.mark.parametrize("store", [True, False], ids=["3.3", "older"])
def test_lost_responses_need_no_retry(flow: Provisioning, task: Task, store: bool) -> None:
    flow.org.inject(Reset(after_run=True), flow="provision", times=2)
    flow.org.inject(Answer(504, after_run=True), flow="provision", times=2)

    records = task(8).execute(with_store(Store()) if store else context())

    assert outcomes(records) == ["succeeded"] * 8
    assert set(flow.runs.values()) == {1}


@pytest.mark.parametrize("store", [True, False], ids=["3.3", "older"])
def test_what_never_arrived_is_sent_again_when_it_cannot_arrive_any_more(
    flow: Provisioning, task: Task, world: Together, store: bool
) -> None:
    flow.org.inject(Answer(504), flow="provision", times=2)
    began = world.now

    records = task(5).execute(with_store(Store()) if store else context())

    assert outcomes(records) == ["succeeded"] * 5
    assert list(flow.runs.values()) == [1] * 5
    assert sorted(moment - began >= SETTLE for moment in flow.sent_at) == [False] * 3 + [True] * 2


def test_what_never_arrives_is_unknown_and_may_be_tried_again(flow: Provisioning, task: Task) -> None:
    flow.org.inject(Answer(504), flow="provision", times=3)
    store = Store()

    (record,) = failed(task(1), with_store(store))
    assert record["outcome"] == "unknown"
    assert len(flow.org.requests("provision")) == 3

    assert outcomes(task(1).execute(with_store(store, try_number=2))) == ["succeeded"]
    assert list(flow.runs.values()) == [1]


def test_a_wait_ends_with_the_timeout_and_a_retry_waits_on(flow: Provisioning, task: Task) -> None:
    store = Store()
    records = failed(task(status={"timeout": 100}), with_store(store))
    assert outcomes(records) == ["unknown"] * 3
    assert "did not end within 100 s" in records[0]["error"]
    assert records[0]["execution_id"]

    assert outcomes(task().execute(with_store(store, try_number=2))) == ["succeeded"] * 3
    assert list(flow.runs.values()) == [1] * 3


def test_without_a_poke_interval_the_pace_alone_spreads_the_questions(flow: Provisioning, task: Task) -> None:
    flow.takes = 2

    assert outcomes(task(status={"poke_interval": 0}).execute(with_store(Store()))) == ["succeeded"] * 3
    assert min(later - earlier for earlier, later in pairwise(sorted(flow.asked_at))) > 0.1


# ---- a retry


def test_a_run_that_failed_gets_another_key_in_the_retry(flow: Provisioning, task: Task) -> None:
    flow.fails = {1}
    store = Store()
    first = failed(task(), with_store(store))
    assert outcomes(first) == ["succeeded", "failed", "succeeded"]
    assert "status is 'FAILED'" in first[1]["error"]

    records = task().execute(with_store(store, try_number=2))
    assert outcomes(records) == ["succeeded"] * 3
    assert records[1]["key"] == derive_key(first[1]["key"], 1)
    assert list(flow.runs.values()) == [1] * 4


@pytest.mark.parametrize("ends", ["stopped", "flow off"])
def test_a_run_that_is_known_to_have_failed_gets_another_key_even_if_its_next_turn_never_came(
    flow: Provisioning, task: Task, world: Together, ends: str
) -> None:
    store = Store()
    flow.fails = {0}
    first = task(30, max_rate=1)
    flow.on_run = lambda request: first.on_kill()
    failed(first, with_store(store))
    (failed_key,) = flow.runs
    world.now += 1000

    second = task(30, max_rate=1)

    def cut_off(request: Any) -> None:
        if request.body["id"] < 5:
            return
        if ends == "stopped":
            second.on_kill()
        else:
            flow.org.flows["provision"].active = False

    flow.on_run = cut_off
    failed(second, with_store(store, try_number=2))

    flow.on_run, flow.org.flows["provision"].active = lambda request: None, True
    records = task(30).execute(with_store(store, try_number=3))
    assert outcomes(records) == ["succeeded"] * 30
    assert records[0]["key"] == derive_key(failed_key, 1)
    assert set(flow.runs.values()) == {1}


def test_no_record_has_the_execution_id_of_a_question(flow: Provisioning, task: Task) -> None:
    flow.fails = {0, 1}
    flow.org.inject(Reset(after_run=True), flow="provision")
    records = failed(task(), with_store(Store()))
    own = {run.idempotency_key: run.execution_id for run in flow.org.flows["provision"].runs}
    assert sorted(outcomes(records)) == ["failed", "failed", "succeeded"]
    assert [record["execution_id"] for record in records if record["execution_id"] != own[record["key"]]] == [None]

    flow.reports = {"status": "BANANA"}
    records = failed(task(), with_store(Store()))
    own = {run.idempotency_key: run.execution_id for run in flow.org.flows["provision"].runs}
    assert [record["execution_id"] for record in records] == [own[record["key"]] for record in records]


def test_a_condition_that_is_false_fails_the_item(flow: Provisioning, task: Task) -> None:
    records = failed(task(success_when="@ != `1`"), with_store(Store()))

    assert outcomes(records) == ["succeeded", "failed", "succeeded"]


class DyingStore(Store):
    """A store that refuses to write from some moment on, as Airflow does for a try that is no longer the current one."""

    dead = False

    def set(self, key: str, value: Any) -> None:
        if self.dead:
            raise ConnectionError("Task not in running state")
        super().set(key, value)


@pytest.mark.parametrize("takes", [5.0, 150.0, 0.0])
def test_a_batch_that_airflow_gives_up_half_way_sends_nothing_more_and_the_next_try_ends_it(
    flow: Provisioning, task: Task, takes: float
) -> None:
    store = DyingStore()
    flow.takes = takes

    def dies(request: Any) -> None:
        store.dead = store.dead or request.body["id"] == 75

    flow.on_run = dies
    with pytest.raises(ConnectionError):
        task(150).execute(with_store(store))
    sent = len(flow.runs)
    assert 76 <= sent < 90

    store.dead, flow.on_run = False, lambda request: None
    records = task(150).execute(with_store(store, try_number=2))
    assert outcomes(records) == ["succeeded"] * 150
    assert [record["result"] for record in records] == list(range(150))
    assert list(flow.runs.values()) == [1] * 150


@pytest.mark.parametrize("at", [0, 1, 39, 41])
def test_after_a_kill_each_item_has_run_once(flow: Provisioning, task: Task, at: int) -> None:
    store, left, rows = Store(), Store(), dict[str, Any]()

    def killed(request: Any) -> None:
        if request.body["id"] == at and not rows:
            left.update(copy.deepcopy(dict(store)))  # what a SIGKILL at this moment would leave
            rows.update(flow.rows)

    flow.on_run = killed
    task(45).execute(with_store(store))
    before = len(rows)
    # The org as it was at that moment.
    flow.rows, runs = rows, len(flow.org.flows["provision"].runs)

    records = task(45).execute(with_store(left, try_number=2))
    assert outcomes(records) == ["succeeded"] * 45
    assert len(flow.org.flows["provision"].runs) - runs == 45 - before


def test_before_3_3_every_try_but_the_first_asks_first(flow: Provisioning, task: Task, world: Together) -> None:
    began = world.now
    records = task(5).execute(context(max_tries=3, try_number=2))
    assert outcomes(records) == ["succeeded"] * 5
    assert min(flow.sent_at) - began >= SETTLE + LEAVES_WITHIN

    again = task(5).execute(context(max_tries=3, try_number=3))
    assert [record["key"] for record in again] == [record["key"] for record in records]
    assert list(flow.runs.values()) == [1] * 5


def test_before_3_3_a_run_that_failed_in_an_earlier_try_is_followed_by_another(flow: Provisioning, task: Task) -> None:
    flow.fails = {0}
    first = failed(task(2), context(max_tries=3))

    records = task(2).execute(context(max_tries=3, try_number=2))
    assert outcomes(records) == ["succeeded"] * 2
    assert records[0]["key"] == derive_key(first[0]["key"], 1)
    assert list(flow.runs.values()) == [1] * 3


# ---- a status flow that does not work


def test_a_flow_that_cannot_be_invoked_is_told_before_anything_is_sent(flow: Provisioning, task: Task) -> None:
    for status in (StatusFlow("provison status"), StatusFlow("provision_status", cancel_flow="cancell")):
        with pytest.raises(OktaConfigurationError, match="OKW-1042"):
            task(status=status).execute(with_store(Store()))
    assert flow.org.log == []


@pytest.mark.parametrize("fault", [Answer(404), Answer(403), Answer(500), Answer(503), Reset()], ids=str)
def test_a_status_flow_that_is_away_leaves_items_unknown_and_a_retry_ends_them(
    flow: Provisioning, task: Task, fault: Any
) -> None:
    store = Store()
    flow.org.inject(fault, flow="provision_status", times=100)
    records = failed(task(), with_store(store))
    assert outcomes(records) == ["unknown"] * 3
    assert "provision_status" in records[0]["error"]
    assert records[0]["status_code"] is None

    while flow.org.next_fault("provision_status") == fault:
        pass
    assert outcomes(task().execute(with_store(store, try_number=2))) == ["succeeded"] * 3
    assert list(flow.runs.values()) == [1] * 3


@pytest.mark.parametrize("report", [ReturnRaw(200, "fine"), {}, {"status": "SUCCEEDED", "idempotency_key": "other"}])
def test_nonsense_of_the_status_flow_leaves_items_unknown(flow: Provisioning, task: Task, report: Any) -> None:
    store = Store()
    flow.reports = report
    records = failed(task(), with_store(store))
    assert outcomes(records) == ["unknown"] * 3
    assert "OKW-1631" in records[0]["error"]

    flow.reports = None
    assert outcomes(task().execute(with_store(store, try_number=2))) == ["succeeded"] * 3
    assert list(flow.runs.values()) == [1] * 3


def test_a_result_that_cannot_be_evaluated_does_not_run_the_flow_again(flow: Provisioning, task: Task) -> None:
    store = Store()
    records = failed(task(status={"result": "abs(status)"}), with_store(store))
    assert outcomes(records) == ["unknown"] * 3

    assert outcomes(task().execute(with_store(store, try_number=2))) == ["succeeded"] * 3
    assert list(flow.runs.values()) == [1] * 3


def test_questions_may_fail_for_a_while(flow: Provisioning, task: Task) -> None:
    flow.org.inject(Answer(503), flow="provision_status", times=12)

    assert outcomes(task().execute(with_store(Store()))) == ["succeeded"] * 3


def test_a_refusal_of_the_flow_is_not_sent_and_no_question(flow: Provisioning, task: Task) -> None:
    flow.org.inject(Answer(403), flow="provision")
    store = Store()

    assert sorted(outcomes(failed(task(), with_store(store)))) == ["not_sent", "succeeded", "succeeded"]
    assert outcomes(task().execute(with_store(store, try_number=2))) == ["succeeded"] * 3


def test_a_flow_that_is_off_is_given_up_and_what_runs_is_waited_for(flow: Provisioning, task: Task) -> None:
    def off(request: Any) -> None:
        flow.org.flows["provision"].active = request.body["id"] < 5

    flow.on_run = off
    records = task(100, on_error="collect").execute(with_store(Store()))

    assert Counter(outcomes(records)) == {"succeeded": len(flow.runs), "not_sent": 100 - len(flow.runs)}
    assert len(flow.org.requests("provision")) < 40


# ---- checkpoints and time


class SlowStore(Store):
    """A store whose writes take a while."""

    def __init__(self, world: World, seconds: list[float]) -> None:
        super().__init__()
        self.announced: list[float] = []
        self._world = world
        self._seconds = seconds

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        self.announced.append(self._world.now)
        self._world.now += self._seconds.pop(0) if self._seconds else 0


def test_a_checkpoint_that_has_become_old_is_written_again(flow: Provisioning, task: Task, world: Together) -> None:
    store = SlowStore(world, [1.5])
    task(1).execute(with_store(store))
    assert flow.sent_at[0] - store.announced[1] <= 1

    # Nothing but the first item is sent for 5 s, with the checkpoints of the others already written.
    flow.sent_at.clear()
    slow, flow.on_run = SlowStore(world, []), lambda request: None
    task(4, max_rate=0.2).execute(with_store(slow))
    for moment in flow.sent_at:
        assert min(moment - written for written in slow.announced if written <= moment) <= 1


def test_a_request_leaves_soon_after_its_checkpoint_or_not_at_all(
    flow: Provisioning, task: Task, world: Together
) -> None:
    records = failed(task(1), with_store(SlowStore(world, [LEAVES_WITHIN] * 20)))

    assert outcomes(records) == ["not_sent"]
    assert flow.org.requests("provision") == []


# ---- stopped


@pytest.mark.parametrize("cancel_flow", ["cancel", None])
def test_a_kill_ends_the_waits_and_cancels_each_run_once(
    flow: Provisioning, task: Task, world: Together, cancel_flow: str | None
) -> None:
    running = task(20, status={"cancel_flow": cancel_flow})
    store = Store()

    def kills(request: Any) -> None:
        if request.body["id"] == 8:
            running.on_kill()
            running.on_kill()

    flow.on_run = kills
    records = failed(running, with_store(store))

    sent = len(flow.runs)
    assert 9 <= sent <= 10
    assert outcomes(records) == ["unknown"] * sent + ["not_sent"] * (20 - sent)
    assert "stopped" in records[0]["error"]
    assert sorted(flow.cancelled) == (sorted(flow.runs) if cancel_flow else [])
    assert len(flow.org.token_requests) == 1

    flow.on_run = lambda request: None
    assert outcomes(task(20).execute(with_store(store, try_number=2))) == ["succeeded"] * 20
    assert list(flow.runs.values()) == [1] * 20


def test_a_kill_before_it_begins_sends_nothing(flow: Provisioning, task: Task) -> None:
    running = task(status={"cancel_flow": "cancel"})
    running.on_kill()

    with pytest.raises(OktaWorkflowsError, match="stopped"):
        running.execute(with_store(Store()))
    assert flow.org.log == []
    assert not any(thread.name == "okta-batch" for thread in threading.enumerate())


# ---- arguments


def test_a_settle_that_is_too_short_is_refused_before_anything_is_sent(flow: Provisioning, task: Task) -> None:
    with pytest.raises(OktaConfigurationError, match="settle is 89 s"):
        task(timeout=65, status={"settle": 89})
    with pytest.raises(OktaConfigurationError, match="settle is 89 s"):
        task(status={"settle": 89}).execute(context())
    with pytest.raises(OktaConfigurationError, match="not a StatusFlow"):
        task(status="provision_status")
    assert flow.org.log == []


def test_the_status_flow_is_templated_and_mapped_tasks_do_not_share_it() -> None:
    status = StatusFlow("{{ flow }}", payload={"index": "{{ index }}"}, cancel_flow="{{ flow }}")
    with DAG("maps_batches", schedule=None):
        mapped = InvokeOktaFlowBatchOperator.partial(task_id="task", flow="provision", status=status).expand(
            payloads=[[{}], [{}]]
        )
    for index in (0, 1):
        one: Any = mapped.unmap({"payloads": [{}]})
        one.render_template_fields({"flow": "provision_status", "index": index})
        assert (one.status.flow, one.status.payload) == ("provision_status", {"index": str(index)})
    assert status.flow == "{{ flow }}"
