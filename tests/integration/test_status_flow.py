"""A flow with a status flow: it runs exactly once, and its end is waited for, whatever happens to requests and tries."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowTaskTimeout, TaskDeferred

from airflow_okta_workflows.core.flows.exactly_once import LEAVES_WITHIN
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, ReturnError, ReturnRaw
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowNoResponseError,
    OktaFlowNotSentError,
    OktaFlowOutcomeUnknownError,
    OktaFlowRefusedError,
    OktaWorkflowsError,
)
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator, StatusFlow
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
from tests.conftest import World
from tests.integration.task_context import Store, context, with_store

SETTLE = 65 + 25


class Killed(BaseException):
    """The end of a process."""


class Provisioning:
    """A flow that writes its row before anything else, and its status flow."""

    def __init__(self, org: LocalOrg, world: World) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.takes = 150.0
        self.fails: list[bool] = []
        self.first: Any = {"status": "RUNNING"}
        self.reports: list[Any] = []
        self.asked: list[Any] = []
        self.cancelled: list[Any] = []
        self.world = world
        self.org = org
        org.flow("provision")(self._provision)
        org.flow("provision_status")(self._status)
        org.flow("cancel")(self._cancel)

    def _provision(self, request: Any) -> Any:
        fails = self.fails.pop(0) if self.fails else False
        self.rows[request.idempotency_key] = {"ends": self.world.now + self.takes, "fails": fails}
        return self.first

    def _cancel(self, request: Any) -> Any:
        self.cancelled.append(request.body)
        return {}

    def _status(self, request: Any) -> Any:
        self.asked.append(request.body)
        if self.reports:
            return self.reports.pop(0)
        key = request.body["idempotency_key"]
        row = self.rows.get(key)
        if row is None:
            return {"status": "NOT_FOUND", "idempotency_key": key}
        if self.world.now < row["ends"]:
            return {"status": "RUNNING", "idempotency_key": key}
        if row["fails"]:
            return {"status": "FAILED", "idempotency_key": key, "reason": "no licence left"}
        return {"status": "SUCCEEDED", "idempotency_key": key, "result": {"user": "ada"}}

    @property
    def keys(self) -> list[str]:
        """The keys of all runs."""
        return [str(run.idempotency_key) for run in self.org.flows["provision"].runs]

    @property
    def questions(self) -> int:
        return len(self.org.flows["provision_status"].runs)


@pytest.fixture
def flow(org: LocalOrg, world: World, connect: Callable[..., None]) -> Provisioning:
    flow = Provisioning(org, world)
    connect(org)
    return flow


@pytest.fixture
def task(world: World) -> Callable[..., InvokeOktaFlowOperator]:
    class InVirtualTime(InvokeOktaFlowOperator):
        @property
        def _runtime(self) -> Runtime:
            runtime = world.runtime()
            return Runtime(
                runtime.clock, runtime.monotonic, stop=self.stop_signal, sleep=runtime.sleep, random=runtime.random
            )

    def make(**options: Any) -> InvokeOktaFlowOperator:
        status = options.pop("status", {})
        if isinstance(status, dict):
            status = StatusFlow("provision_status", **{"result": "result", **status})
        return InVirtualTime(
            **{"task_id": "task", "flow": "provision", "payload": {"email": "ada@example.com"}, "status": status}
            | options
        )

    return make


Task = Callable[..., InvokeOktaFlowOperator]


def test_the_end_of_the_run_is_waited_for_and_its_result_returned(flow: Provisioning, task: Task, world: World) -> None:
    given = with_store(Store())

    assert task(success_when="user == 'ada'").execute(given) == {"user": "ada"}

    (run,) = flow.org.flows["provision"].runs
    assert given["ti"].pushed["execution_id"] == run.execution_id
    assert flow.asked == [{"idempotency_key": run.idempotency_key, "execution_id": run.execution_id}] * 4
    assert world.slept == [60, 60, 60]


def test_a_first_response_that_tells_the_end_needs_no_question(flow: Provisioning, task: Task) -> None:
    flow.first = {"status": "SUCCEEDED", "result": 7}

    assert task().execute(with_store(Store())) == 7
    assert flow.questions == 0


@pytest.mark.parametrize("store", [True, False], ids=["3.3", "older"])
@pytest.mark.parametrize("fault", [Reset(after_run=True), Answer(504, after_run=True)], ids=["reset", "504"])
def test_a_lost_response_needs_no_retry(flow: Provisioning, task: Task, fault: Any, store: bool) -> None:
    flow.org.inject(fault, flow="provision")

    assert task().execute(with_store(Store()) if store else context()) == {"user": "ada"}
    assert len(flow.keys) == 1


@pytest.mark.parametrize("lost", [True, False])
def test_no_execution_id_of_the_status_flow_is_taken_for_that_of_the_run(
    flow: Provisioning, task: Task, lost: bool
) -> None:
    flow.fails = [True, False]
    if lost:
        flow.org.inject(Reset(after_run=True), flow="provision", times=2)
    store = Store()
    with pytest.raises(OktaFlowFailedError) as caught:
        task().execute(with_store(store))
    given = with_store(store, try_number=2)
    task().execute(given)

    first, second = (None if lost else run.execution_id for run in flow.org.flows["provision"].runs)
    assert caught.value.response
    assert caught.value.response.execution_id == first
    assert given["ti"].pushed.get("execution_id") == second


@pytest.mark.parametrize("store", [True, False], ids=["3.3", "older"])
def test_a_request_that_never_arrived_is_sent_again_when_it_cannot_arrive_any_more(
    flow: Provisioning, task: Task, world: World, store: bool
) -> None:
    flow.org.inject(Answer(504), flow="provision")
    began = world.now

    assert task().execute(with_store(Store()) if store else context()) == {"user": "ada"}
    (key,) = flow.keys
    assert [request.headers["idempotency-key"] for request in flow.org.requests("provision")] == [key, key]
    assert flow.rows[key]["ends"] - flow.takes - began >= SETTLE


def test_what_never_arrives_is_given_up_and_may_be_tried_again(flow: Provisioning, task: Task) -> None:
    flow.org.inject(Answer(504), flow="provision", times=3)

    with pytest.raises(OktaFlowNoResponseError) as caught:
        task().execute(with_store(Store()))

    assert not isinstance(caught.value, AirflowFailException)
    assert len(flow.org.requests("provision")) == 3
    assert flow.keys == []


class DyingStore(Store):
    """A store whose process is killed at one of its writes."""

    def __init__(self, at: int, *, written: bool) -> None:
        super().__init__()
        self._left = at
        self._written = written

    def set(self, key: str, value: Any) -> None:
        self._left -= 1
        if self._left == 0 and not self._written:
            raise Killed
        super().set(key, value)
        if self._left == 0:
            raise Killed


@pytest.mark.parametrize("first", [{"status": "RUNNING"}, {"status": "SUCCEEDED", "result": {"user": "ada"}}, None])
@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_crash_at_any_checkpoint_ends_in_one_run(
    flow: Provisioning, task: Task, at: int, written: bool, first: Any
) -> None:
    flow.first = first
    store = DyingStore(at, written=written)
    try:
        assert task().execute(with_store(store)) == {"user": "ada"}
    except Killed:
        assert task().execute(with_store(store, try_number=2)) == {"user": "ada"}
    assert len(flow.keys) == 1


def test_a_crash_while_the_run_is_waited_for_ends_in_one_run(flow: Provisioning, task: Task, world: World) -> None:
    store, slept = Store(), world.sleep

    def killed(seconds: float) -> None:
        raise Killed

    world.sleep = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        task().execute(with_store(store))
    world.sleep = slept  # type: ignore[method-assign]

    assert task().execute(with_store(store, try_number=2)) == {"user": "ada"}
    assert len(flow.keys) == 1


def test_before_3_3_every_try_but_the_first_asks_first(flow: Provisioning, task: Task, world: World) -> None:
    began = world.now
    assert task().execute(context(max_tries=3, try_number=2)) == {"user": "ada"}
    (key,) = flow.keys
    assert flow.rows[key]["ends"] - flow.takes - began >= SETTLE + LEAVES_WITHIN

    assert task().execute(context(max_tries=3, try_number=3)) == {"user": "ada"}
    assert flow.keys == [key]


@pytest.mark.parametrize("store", [True, False], ids=["3.3", "older"])
def test_a_run_that_failed_fails_its_try_and_the_next_try_wants_another(
    flow: Provisioning, task: Task, store: bool
) -> None:
    flow.fails = [True, False]
    kept = Store()
    contexts = [with_store(kept, try_number=n) if store else context(max_tries=3, try_number=n) for n in (1, 2)]

    with pytest.raises(OktaFlowFailedError, match="status is 'FAILED'") as caught:
        task().execute(contexts[0])
    assert not isinstance(caught.value, AirflowFailException)
    assert task().execute(contexts[1]) == {"user": "ada"}

    first, second = flow.keys
    assert caught.value.idempotency_key == first != second


def test_a_run_of_an_earlier_try_that_failed_meanwhile_is_followed_by_another_at_once(
    flow: Provisioning, task: Task, world: World
) -> None:
    flow.fails = [True, False]
    flow.org.inject(Reset(after_run=True), flow="provision")
    store = DyingStore(2, written=False)
    with pytest.raises(Killed):
        task().execute(with_store(store))
    world.now += 1000

    assert task().execute(with_store(store, try_number=2)) == {"user": "ada"}
    assert len(flow.keys) == len(set(flow.keys)) == 2


NONSENSE: dict[str, Any] = {
    "text": ReturnRaw(200, "fine"),
    "a list": ReturnRaw(200, [1]),
    "nothing": {},
    "an unknown status": {"status": "BANANA"},
    "another key": {"status": "SUCCEEDED", "idempotency_key": "other"},
}


@pytest.mark.parametrize("report", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_of_the_status_flow_is_told_and_sends_nothing(flow: Provisioning, task: Task, report: Any) -> None:
    flow.reports = [report]
    store = Store(okta_workflows_invocation=_sending())

    with pytest.raises(OktaFlowNoResponseError) as caught:
        task().execute(with_store(store, try_number=2))

    assert caught.value.code == "OKW-1631"
    assert caught.value.flow == "provision_status"
    assert flow.keys == []
    assert store["okta_workflows_invocation"]["state"] == "sending"


def _sending() -> dict[str, Any]:
    identity = "00000000-0000-0000-0000-000000000007"
    return {"idempotency_key": identity, "identity": identity, "max_tries": 3, "ordinal": 0, "state": "sending"}


BAD_CHARSET = Answer(200, b"{}", {"Content-Type": "application/json; charset=punycode", "x-flo-instance": "one"})
REDIRECT = Answer(302, headers={"Location": "https://elsewhere.example.com/"})


@pytest.mark.parametrize("fault", [Answer(404), Answer(403), Answer(500), Reset(), REDIRECT])
def test_an_error_of_the_status_flow_does_not_change_what_is_known(flow: Provisioning, task: Task, fault: Any) -> None:
    store = Store(okta_workflows_invocation=_sending())
    flow.org.inject(fault, flow="provision_status", times=100)

    with pytest.raises(OktaWorkflowsError):
        task().execute(with_store(store, try_number=2))

    assert store["okta_workflows_invocation"]["state"] == "sending"
    assert flow.keys == []


@pytest.mark.parametrize("bad", [Answer(403), REDIRECT, ReturnError(400, "broken"), BAD_CHARSET], ids=str)
def test_an_error_of_the_status_flow_permits_a_retry_which_asks_again(flow: Provisioning, task: Task, bad: Any) -> None:
    store = Store()
    if isinstance(bad, Answer):
        flow.org.inject(bad, flow="provision_status")
    else:
        flow.reports = [bad]
    with pytest.raises(OktaFlowNoResponseError) as caught:
        task().execute(with_store(store))

    assert not isinstance(caught.value, AirflowFailException)
    assert caught.value.flow == "provision_status"
    assert [caught.value.idempotency_key] == flow.keys
    assert f"Idempotency key of the run: {flow.keys[0]}" in caught.value.detail
    assert task().execute(with_store(store, try_number=2)) == {"user": "ada"}
    assert len(flow.keys) == 1


def test_a_question_may_fail_for_a_while(flow: Provisioning, task: Task) -> None:
    flow.org.inject(Answer(503), flow="provision_status", times=12)

    assert task().execute(with_store(Store())) == {"user": "ada"}


def test_a_404_of_the_status_flow_itself_is_not_found(flow: Provisioning, task: Task) -> None:
    flow.reports = [ReturnError(404, "no row")] * 2

    assert task().execute(context(max_tries=3, try_number=2)) == {"user": "ada"}
    assert len(flow.keys) == 1


def test_a_row_that_was_deleted_is_told_and_nothing_is_sent(flow: Provisioning, task: Task) -> None:
    flow.reports = [{"status": "RUNNING"}] + [{"status": "NOT_FOUND"}] * 20

    with pytest.raises(OktaFlowOutcomeUnknownError) as caught:
        task().execute(with_store(Store()))
    assert caught.value.code == "OKW-1640"
    assert len(flow.keys) == 1


def test_a_refusal_before_the_run_is_final(flow: Provisioning, task: Task) -> None:
    flow.org.inject(Answer(403), flow="provision")
    store = Store()

    with pytest.raises(OktaFlowRefusedError):
        task().execute(with_store(store))
    assert store["okta_workflows_invocation"]["state"] == "not_run"
    assert flow.questions == 0


def test_a_condition_that_is_false_fails_the_run(flow: Provisioning, task: Task) -> None:
    store = Store()
    with pytest.raises(OktaFlowFailedError, match="success_when is false: user is 'ada'"):
        task(success_when="user == 'grace'").execute(with_store(store))
    with pytest.raises(OktaFlowFailedError):
        task(response_check=lambda response: response.body["user"] == "grace").execute(with_store(store, try_number=2))
    assert len(set(flow.keys)) == 2


def test_a_wait_that_takes_too_long_ends_and_a_retry_waits_on(flow: Provisioning, task: Task) -> None:
    store = Store()
    with pytest.raises(OktaFlowNoResponseError, match="did not end within 100 s") as caught:
        task(status={"timeout": timedelta(seconds=100)}).execute(with_store(store))
    assert "Last seen: status is 'RUNNING'." in str(caught.value)

    assert task().execute(with_store(store, try_number=2)) == {"user": "ada"}
    assert len(flow.keys) == 1


def test_clearing_runs_it_anew(flow: Provisioning, task: Task) -> None:
    store = Store()
    task().execute(with_store(store))
    task().execute(with_store(store, try_number=2, max_tries=4))

    assert len(set(flow.keys)) == 2


def test_a_retry_after_the_end_asks_nothing(flow: Provisioning, task: Task) -> None:
    store = Store()
    task().execute(with_store(store))
    asked = flow.questions

    assert task().execute(with_store(store, try_number=2)) == {"user": "ada"}
    assert flow.questions == asked
    assert len(flow.keys) == 1


def test_a_status_flow_that_a_deployment_adds_is_asked_about_a_run_whose_early_response_is_stored(
    flow: Provisioning, task: Task
) -> None:
    store = DyingStore(2, written=True)
    with pytest.raises(Killed):
        task(status=None).execute(with_store(store))
    assert store["okta_workflows_invocation"]["state"] == "responded"

    assert task().execute(with_store(store, try_number=2)) == {"user": "ada"}
    (run,) = flow.org.flows["provision"].runs
    assert flow.asked[0] == {"idempotency_key": run.idempotency_key, "execution_id": run.execution_id}


class SlowStore(Store):
    """A store whose writes take a while."""

    def __init__(self, world: World, seconds: list[float]) -> None:
        super().__init__()
        self._world = world
        self._seconds = seconds

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        self._world.now += self._seconds.pop(0) if self._seconds else 0


def test_a_request_leaves_within_ten_seconds_of_its_checkpoint_or_not_at_all(
    flow: Provisioning, task: Task, world: World
) -> None:
    with pytest.raises(OktaFlowNotSentError, match=r"checkpoint took longer than 10 s"):
        task().execute(with_store(SlowStore(world, [LEAVES_WITHIN + 0.1] * 10)))
    assert flow.org.requests("provision") == []

    # The first write of each attempt is the one before it is sent.
    assert task().execute(with_store(SlowStore(world, [LEAVES_WITHIN + 0.1]))) == {"user": "ada"}
    assert len(flow.keys) == 1


class StoreOfAnotherTry(Store):
    """A store that refuses all but the first write, as Airflow does once another try has begun."""

    def set(self, key: str, value: Any) -> None:
        if self:
            raise ConnectionError("Task not in running state")
        super().set(key, value)


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_try_that_airflow_has_given_up_sends_nothing_more(flow: Provisioning, task: Task, idempotent: bool) -> None:
    flow.org.inject(Reset(), flow="provision", times=2)

    with pytest.raises(ConnectionError):
        task(idempotent=idempotent).execute(with_store(StoreOfAnotherTry()))
    assert len(flow.org.requests("provision")) == 1
    assert flow.keys == []


# ---- deferred


def deferred(task: InvokeOktaFlowOperator, given: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(given)
    return caught.value


async def fired(wait: TaskDeferred, world: World) -> dict[str, Any]:
    path, arguments = wait.trigger.serialize()
    assert path == "airflow_okta_workflows.triggers.okta_workflows.OktaFlowStatusTrigger"
    trigger = OktaFlowStatusTrigger(**json.loads(json.dumps(arguments)), runtime=world.runtime())
    (event,) = [event.payload async for event in trigger.run()]
    stored: dict[str, Any] = json.loads(json.dumps(event))
    return stored


@pytest.mark.parametrize("store", [True, False], ids=["3.3", "older"])
async def test_the_wait_is_deferred_and_the_worker_fetches_the_result(
    flow: Provisioning, task: Task, world: World, store: bool
) -> None:
    given = with_store(Store()) if store else context()
    wait = deferred(task(deferrable=True), given)
    assert len(flow.keys) == 1, "the worker has invoked it"

    event = await fired(wait, world)
    assert event == {"outcome": "settled"}
    again = task(deferrable=True)
    assert getattr(again, wait.method_name)(given, event, **json.loads(json.dumps(wait.kwargs))) == {"user": "ada"}
    assert len(flow.keys) == 1


@pytest.mark.parametrize("at", [1, 2], ids=["sending", "started"])
async def test_a_retry_waits_in_the_triggerer_too(flow: Provisioning, task: Task, world: World, at: int) -> None:
    flow.org.inject(Reset(after_run=True), flow="provision")
    store = DyingStore(at, written=True)
    with pytest.raises(Killed):
        task(deferrable=True).execute(with_store(store))
    assert len(flow.keys) == at - 1

    given = with_store(store, try_number=2)
    wait = deferred(task(deferrable=True), given)
    event = await fired(wait, world)
    assert task(deferrable=True).status_complete(given, event, **(wait.kwargs or {})) == {"user": "ada"}
    assert len(flow.keys) == 1


@pytest.mark.parametrize("report", [*NONSENSE.values(), {"status": "RUNNING", "idempotency_key": "other"}], ids=str)
async def test_nonsense_of_the_status_flow_ends_a_deferred_wait(
    flow: Provisioning, task: Task, world: World, report: Any
) -> None:
    given = with_store(Store())
    wait = deferred(task(deferrable=True), given)
    flow.reports = [report] * 2

    event = await fired(wait, world)
    with pytest.raises(OktaFlowNoResponseError) as caught:
        task(deferrable=True).status_complete(given, event, **(wait.kwargs or {}))
    assert caught.value.code == "OKW-1631"
    assert flow.reports == []


async def test_a_status_flow_with_other_conditions_is_polled_until_they_are_true(
    flow: Provisioning, task: Task, world: World
) -> None:
    given = with_store(Store())
    conditions = {"success_when": "done == `true`", "failure_when": "broken", "not_found_when": "missing"}
    options = {"deferrable": True, "status": conditions}
    flow.reports = [{"done": False}] * 3 + [{"done": True, "result": 7}] * 2
    wait = deferred(task(**options), given)

    event = await fired(wait, world)
    assert task(**options).status_complete(given, event, **(wait.kwargs or {})) == 7
    assert flow.reports == []


async def test_a_row_that_was_deleted_ends_a_deferred_wait(flow: Provisioning, task: Task, world: World) -> None:
    given = with_store(Store())
    wait = deferred(task(deferrable=True), given)
    flow.rows.clear()

    event = await fired(wait, world)
    missing_since = world.now
    with pytest.raises(OktaFlowOutcomeUnknownError) as caught:
        task(deferrable=True).status_complete(given, event, **(wait.kwargs or {}))
    assert caught.value.code == "OKW-1640"
    assert SETTLE <= world.now - missing_since <= SETTLE + 60


async def test_a_row_that_is_hidden_for_a_moment_sends_the_task_back_to_the_triggerer(
    flow: Provisioning, task: Task, world: World
) -> None:
    given = with_store(Store())
    wait = deferred(task(deferrable=True), given)
    flow.reports = [{"status": "NOT_FOUND"}] * 2 + [{"status": "RUNNING"}]

    event = await fired(wait, world)
    with pytest.raises(TaskDeferred):
        task(deferrable=True).status_complete(given, event, **(wait.kwargs or {}))
    assert flow.reports == []


async def test_a_deferred_run_that_fails_fails_the_try(flow: Provisioning, task: Task, world: World) -> None:
    flow.fails = [True]
    store = Store()
    wait = deferred(task(deferrable=True), with_store(store))

    event = await fired(wait, world)
    with pytest.raises(OktaFlowFailedError):
        task(deferrable=True).status_complete(with_store(store), event, **(wait.kwargs or {}))
    assert store["okta_workflows_invocation"]["state"] == "failed"


async def test_a_deferred_wait_ends_with_the_timeout(flow: Provisioning, task: Task, world: World) -> None:
    given = with_store(Store())
    options = {"deferrable": True, "status": {"timeout": 100}}
    wait = deferred(task(**options), given)
    event = await fired(wait, world)
    assert event == {"outcome": "timeout"}

    with pytest.raises(OktaFlowNoResponseError, match="within 100 s"):
        task(**options).status_complete(given, event, **(wait.kwargs or {}))


async def test_a_deferred_wait_ends_with_execution_timeout(flow: Provisioning, task: Task, world: World) -> None:
    given = with_store(Store())
    options = {"deferrable": True, "execution_timeout": timedelta(seconds=90)}
    wait = deferred(task(**options), given)
    event = await fired(wait, world)

    with pytest.raises(AirflowTaskTimeout):
        task(**options).status_complete(given, event, **(wait.kwargs or {}))


async def test_after_an_error_in_the_triggerer_the_worker_waits(flow: Provisioning, task: Task, world: World) -> None:
    given = with_store(Store())
    wait = deferred(task(deferrable=True), given)

    event = {"outcome": "error", "reason": "OktaConfigurationError"}
    assert task(deferrable=True).status_complete(given, event, **(wait.kwargs or {})) == {"user": "ada"}


async def test_after_an_error_in_the_triggerer_the_worker_waits_until_execution_timeout(
    flow: Provisioning, task: Task, world: World
) -> None:
    flow.takes = 10_000
    given, began = with_store(Store()), world.now
    options = {"deferrable": True, "execution_timeout": timedelta(seconds=600)}
    wait = deferred(task(**options), given)
    world.now += 500

    with pytest.raises(AirflowTaskTimeout, match="execution_timeout is over"):
        task(**options).status_complete(given, {"outcome": "error", "reason": "OSError"}, **(wait.kwargs or {}))
    assert world.now - began == 600


# ---- stopped


def test_a_kill_cancels_the_run_once(flow: Provisioning, task: Task, world: World) -> None:
    running = task(status={"cancel_flow": "cancel"})

    def killed(seconds: float) -> None:
        running.on_kill()
        running.on_kill()

    world.sleep = killed  # type: ignore[method-assign]
    with pytest.raises(OktaFlowNoResponseError, match="stopped"):
        running.execute(with_store(Store()))

    (cancelled,) = flow.cancelled
    assert cancelled == flow.asked[0]
    assert cancelled["idempotency_key"] == flow.keys[0]
    assert len(flow.org.token_requests) == 1


def test_a_kill_while_the_request_is_open_and_another_one_later_cancel_the_run_once(
    flow: Provisioning, task: Task
) -> None:
    running = task(status={"cancel_flow": "cancel"})

    def killed(request: Any) -> Any:
        running.on_kill()
        return flow.first

    flow.org.flow("provision")(killed)
    with pytest.raises(
        OktaFlowNoResponseError, match="stopped while it waited for the end of flow 'provision'"
    ) as caught:
        running.execute(with_store(Store()))
    assert caught.value.code == "OKW-1690"
    running.on_kill()

    assert [asked["idempotency_key"] for asked in flow.cancelled] == flow.keys


def test_a_kill_before_anything_is_sent_cancels_nothing(flow: Provisioning, task: Task) -> None:
    running = task(status={"cancel_flow": "cancel"})
    running.on_kill()

    with pytest.raises(OktaWorkflowsError, match="stopped"):
        running.execute(with_store(Store()))
    running.on_kill()
    assert flow.cancelled == []
    assert flow.keys == []


async def test_a_deferred_task_that_is_killed_cancels_the_run(flow: Provisioning, task: Task, world: World) -> None:
    wait = deferred(task(deferrable=True, status={"cancel_flow": "cancel"}), with_store(Store()))
    _, arguments = wait.trigger.serialize()

    await OktaFlowStatusTrigger(**arguments, runtime=world.runtime()).on_kill()

    assert flow.cancelled == flow.asked[:1]
    (cancelled,) = flow.org.flows["cancel"].runs
    assert [cancelled.idempotency_key] == flow.keys


def test_a_deferred_task_that_exceeds_execution_timeout_cancels_the_run(
    flow: Provisioning, task: Task, world: World
) -> None:
    given = with_store(Store())
    options = {"deferrable": True, "execution_timeout": timedelta(seconds=90), "status": {"cancel_flow": "cancel"}}
    wait = deferred(task(**options), given)
    world.now += 90
    resumed = task(**options)

    with pytest.raises(AirflowTaskTimeout):
        resumed.status_complete(given, {"outcome": "timeout"}, **(wait.kwargs or {}))
    resumed.on_kill()  # as Airflow does after an AirflowTaskTimeout
    assert [asked["idempotency_key"] for asked in flow.cancelled] == flow.keys


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_task_that_is_killed_before_its_first_question_cancels_a_run_that_is_known(
    flow: Provisioning, task: Task, world: World, deferrable: bool
) -> None:
    options = {"deferrable": deferrable, "status": {"cancel_flow": "cancel"}}
    store = DyingStore(2, written=True)
    with pytest.raises(Killed):
        task(**options).execute(with_store(store))
    asked, again = flow.questions, task(**options)

    again.on_kill()
    with pytest.raises(OktaWorkflowsError, match="stopped"):
        again.execute(with_store(store, try_number=2))
    assert [one["idempotency_key"] for one in flow.cancelled] == flow.keys
    assert flow.questions == asked


async def test_a_task_that_is_deferred_leaves_the_cancel_flow_to_its_trigger(flow: Provisioning, task: Task) -> None:
    running = task(deferrable=True, status={"cancel_flow": "cancel"})
    deferred(running, with_store(Store()))

    running.on_kill()
    assert flow.cancelled == []


async def test_a_lost_response_of_the_cancel_flow_does_not_run_it_again(
    flow: Provisioning, task: Task, world: World
) -> None:
    wait = deferred(task(deferrable=True, status={"cancel_flow": "cancel"}), with_store(Store()))
    _, arguments = wait.trigger.serialize()
    flow.org.inject(Answer(504, after_run=True), flow="cancel", times=2)
    trigger = OktaFlowStatusTrigger(**arguments, runtime=world.runtime())

    await trigger.on_kill()
    await trigger.on_kill()
    assert len(flow.cancelled) == 1


# ---- arguments


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda task: task(method="GET", payload=None), "OKW-1641"),
        (lambda task: task(status="provision_status"), "OKW-1639"),
        (lambda task: task(timeout=65, status={"settle": 89}), "OKW-1632"),
        (lambda task: task(status={"payload": [1]}), "OKW-1633"),
        (lambda task: task(status={"payload": {"idempotency_key": "x"}}), "OKW-1634"),
        (lambda task: task(status={"success_when": "status =="}), "OKW-1519"),
        (lambda task: task(status={"poke_interval": -1}), "OKW-1048"),
        (lambda task: task(status=Lock()), "OKW-1639"),
        (lambda task: task(status=json), "OKW-1639"),
        *[(lambda task, flow=flow: StatusFlow(flow), "OKW-1691") for flow in (None, 5, "", " ", ["provision_status"])],
        *[(lambda task, flow=flow: task(status={"cancel_flow": flow}), "OKW-1691") for flow in (5, "", False)],
        (lambda task: task(status={"payload": "no json"}), "OKW-1507"),
        (lambda task: task(status={"payload": "[1]"}), "OKW-1633"),
        (lambda task: task(status={"success_when": None}), "OKW-1692"),
        (lambda task: task(status={"failure_when": None}), "OKW-1692"),
        (lambda task: task(status={"not_found_when": None}), "OKW-1692"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_the_dag_is_parsed(task: Task, make: Any, code: str) -> None:
    with pytest.raises(OktaConfigurationError) as caught:
        make(task)
    assert caught.value.code == code


def test_a_settle_below_the_connections_read_timeout_is_refused_and_nothing_sent(
    flow: Provisioning, task: Task
) -> None:
    with pytest.raises(OktaConfigurationError, match="settle is 80 s"):
        task(status={"settle": 80}).execute(with_store(Store()))
    assert flow.keys == []


MISTAKES = {
    "an unknown name": StatusFlow("provison status"),
    "a host that is not allowed": StatusFlow("https://workflows.example.com/api/flo/0123456789abcdef0123456789abcdef/invoke"),
    "a payload that is rendered to no JSON": StatusFlow("provision_status", payload="{{ 'no json' }}"),
    "a payload with no JSON in it": StatusFlow("provision_status", payload={"a": object()}),
    "a name that is rendered to nothing": StatusFlow("{{ '' }}"),
    "an unknown cancel_flow": StatusFlow("provision_status", cancel_flow="cancell"),
    "a cancel_flow that is rendered to nothing": StatusFlow("provision_status", cancel_flow="{{ '' }}"),
}  # fmt: skip


@pytest.mark.parametrize("status", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_status_flow_is_told_before_anything_is_sent(
    flow: Provisioning, task: Task, status: StatusFlow
) -> None:
    store = Store()
    one = task(status=status)
    one.render_template_fields({})

    with pytest.raises(OktaConfigurationError):
        one.execute(with_store(store))
    assert flow.org.log == []
    assert store == {}


def test_the_payload_of_the_status_flow_goes_beside_the_key(flow: Provisioning, task: Task) -> None:
    task(status={"payload": {"table": "users"}}).execute(with_store(Store()))

    assert flow.asked[0]["table"] == "users"


def test_the_status_flow_is_templated_and_mapped_tasks_do_not_share_it() -> None:
    status = StatusFlow("{{ flow }}", payload={"index": "{{ index }}"}, cancel_flow="{{ flow }}")
    with DAG("maps", schedule=None):
        mapped = InvokeOktaFlowOperator.partial(task_id="task", flow="provision", status=status).expand(
            payload=[{}, {}]
        )

    rendered = []
    for index in (0, 1):
        one: Any = mapped.unmap({"payload": {}})
        one.render_template_fields({"flow": "provision_status", "index": index})
        rendered.append((one.status.flow, one.status.payload, one.status.cancel_flow))
    assert rendered == [("provision_status", {"index": str(index)}, "provision_status") for index in (0, 1)]
    assert status.flow == "{{ flow }}"


def test_airflow_stores_the_status_flow_alike_in_each_process() -> None:
    one, other = StatusFlow("s", payload={"a": 1}), StatusFlow("s", payload={"a": 1})

    assert repr(one) == repr(other)
    assert "0x" not in repr(one)
    assert one.serialize() == other.serialize()
    assert json.dumps(one.serialize())


def test_a_lost_response_is_logged(flow: Provisioning, task: Task, caplog: pytest.LogCaptureFixture) -> None:
    flow.org.inject(Reset(after_run=True), flow="provision")
    with caplog.at_level(logging.INFO):
        task().execute(with_store(Store()))

    assert "The status flow is asked." in caplog.text
    assert (
        "Flow 'provision' has not ended yet, according to flow 'provision_status': status is 'RUNNING'" in caplog.text
    )
