"""The sensor and its trigger, executed with a task's context against the local org."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_okta_workflows.client import loop_resources
from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, ReturnError
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaWorkflowsError,
)
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger, OktaFlowStatusTrigger
from tests.integration.task_context import Store, context, with_store

Connect = Callable[..., None]


def sensor(**options: Any) -> OktaFlowSensor:
    return OktaFlowSensor(**{"task_id": "task", "flow": "status", "payload": {"job": 1}, **options})


def test_the_sensors_conditions_are_checked_too() -> None:
    with pytest.raises(OktaConfigurationError, match="failure_when"):
        sensor(failure_when="a ==")
    with pytest.raises(OktaConfigurationError, match="result"):
        sensor(result="a[")


NO_SECONDS = [-1, float("inf"), float("nan"), True, "60", [60], 1e12]


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("poke_interval", value) for value in NO_SECONDS],
        *[("timeout", value) for value in NO_SECONDS],
        *[("max_failed_polls", value) for value in (-1, 2.5, float("inf"), float("nan"), True, "5", None)],
    ],
)
def test_a_number_that_cannot_work_is_refused_when_the_dag_is_parsed(name: str, value: Any, deferrable: bool) -> None:
    with pytest.raises(OktaConfigurationError, match=f"(?s){name} is .*Set it to a (whole )?number from "):
        sensor(deferrable=deferrable, **{name: value})


def test_a_number_that_cannot_work_is_refused_among_default_args_too() -> None:
    with pytest.raises(OktaConfigurationError, match="poke_interval is inf"):
        sensor(default_args={"poke_interval": float("inf")})


def test_seconds_may_be_a_timedelta() -> None:
    task = sensor(poke_interval=timedelta(minutes=2), timeout=timedelta(hours=1))

    assert (task.poke_interval, task.timeout) == (120, 3600)


@pytest.mark.parametrize(
    "options",
    [
        {"poke_interval": float("nan")},
        {"poke_interval": "60"},
        {"deadline": float("inf")},
        {"deadline": None},
        {"max_failed_polls": 2.5},
        {"not_before": float("nan")},
    ],
)
def test_a_trigger_refuses_them_too(options: dict[str, Any]) -> None:
    with pytest.raises(OktaConfigurationError, match=next(iter(options))):
        OktaFlowStatusTrigger(**{"flow": "status", **options})
    with pytest.raises(OktaConfigurationError, match="timeout"):
        OktaFlowInvocationTrigger(flow="status", timeout=True)


def statuses(org: LocalOrg, *responses: Any) -> None:
    coming = list(responses)
    org.flow("status")(lambda request: coming.pop(0) if len(coming) > 1 else coming[0])


RUNNING, DONE = {"status": "RUNNING"}, {"status": "SUCCEEDED", "result": {"n": 5}}


@pytest.mark.parametrize(("result", "value"), [(None, DONE), ("result.n", 5)])
def test_a_sensor_pokes_until_the_status_says_so(
    org: LocalOrg, connect: Connect, result: str | None, value: Any
) -> None:
    statuses(org, RUNNING, RUNNING, DONE)
    connect(org)

    assert sensor(poke_interval=0, result=result).execute(context()) == value
    assert org.flows["status"].runs[0].body == {"job": 1}
    keys = [run.idempotency_key for run in org.flows["status"].runs]
    assert len(set(keys)) == 3, "a flow that deduplicates would otherwise respond from memory"


def test_a_failed_status_fails_the_task(org: LocalOrg, connect: Connect) -> None:
    statuses(org, {"status": "FAILED"})
    connect(org)

    with pytest.raises(OktaFlowFailedError, match="failure_when is true: status is 'FAILED'"):
        sensor().execute(context())


def test_a_condition_that_cannot_be_evaluated_fails_the_task(org: LocalOrg, connect: Connect) -> None:
    statuses(org, {"status": 5})
    connect(org)

    with pytest.raises(OktaFlowFailedError, match="cannot be evaluated"):
        sensor(success_when="length(status)").execute(context())


def test_a_status_flow_that_fails_is_an_error(org: LocalOrg, connect: Connect) -> None:
    statuses(org, ReturnError(500, "no table"))
    connect(org)

    with pytest.raises(OktaFlowFailedError, match="no table"):
        sensor(max_failed_polls=3, poke_interval=0).execute(context())
    assert len(org.flows["status"].runs) == 4


def test_a_poll_that_fails_for_good_is_not_tolerated(org: LocalOrg, connect: Connect) -> None:
    statuses(org, ReturnError(400, "no such job"))
    connect(org)

    with pytest.raises(OktaFlowFailedError, match="no such job"):
        sensor(poke_interval=0).execute(context())
    assert len(org.flows["status"].runs) == 1


def test_failed_polls_are_counted_in_a_row(org: LocalOrg, connect: Connect) -> None:
    down = ReturnError(503, "down")
    statuses(org, down, down, RUNNING, down, down, DONE)
    connect(org)

    assert sensor(max_failed_polls=2, poke_interval=0).execute(context()) == DONE


def test_a_rescheduled_sensor_counts_in_the_state_store(org: LocalOrg, connect: Connect) -> None:
    statuses(org, ReturnError(503, "down"), RUNNING, ReturnError(503, "down"))
    connect(org)
    store = Store()

    def poke() -> Any:
        task = sensor(mode="reschedule", max_failed_polls=1)
        return task.poke(with_store(store))

    assert [bool(poke()), bool(poke()), bool(poke())] == [False, False, False]
    with pytest.raises(OktaFlowFailedError):
        poke()
    with pytest.raises(OktaFlowFailedError):
        sensor(mode="reschedule").poke(context())


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
@pytest.mark.parametrize(
    "later",
    [{"max_tries": 5}, {"try_number": 2}, {"try_number": 2, "max_tries": 5}],
    ids=["cleared", "retried", "both"],
)
def test_failed_polls_of_another_try_do_not_count(
    org: LocalOrg, connect: Connect, mode: str, later: dict[str, int]
) -> None:
    statuses(org, ReturnError(503, "down"))
    connect(org)
    store = Store()
    task = sensor(mode=mode, max_failed_polls=2)

    for given in (with_store(store), with_store(store, **later)):
        assert [bool(task.poke(given)), bool(task.poke(given))] == [False, False]
        with pytest.raises(OktaFlowFailedError):
            task.poke(given)


@pytest.mark.parametrize(
    "kept", [2, "2", [2], None, {}, {"count": 2}, {"attempt": "1/3"}, {"attempt": "1/3", "count": "2"}, {"other": 1}]
)
def test_a_count_that_another_version_has_kept_does_not_count(org: LocalOrg, connect: Connect, kept: Any) -> None:
    statuses(org, ReturnError(503, "down"))
    connect(org)
    store = Store({"okta_workflows_failed_polls": kept})

    assert not sensor(mode="reschedule", max_failed_polls=1).poke(with_store(store)).is_done


def test_a_question_without_a_response_is_asked_again(org: LocalOrg, connect: Connect) -> None:
    statuses(org, DONE)
    connect(org)
    org.inject(Reset(), flow="status")

    assert sensor().execute(context()) == DONE


def test_a_sensor_times_out(org: LocalOrg, connect: Connect) -> None:
    statuses(org, RUNNING)
    connect(org)

    with pytest.raises(AirflowSensorTimeout):
        sensor(poke_interval=0, timeout=0).execute(context())
    with pytest.raises(AirflowSkipException):
        sensor(poke_interval=0, timeout=0, soft_fail=True).execute(context())
    with pytest.raises(AirflowSensorTimeout, match="Raise timeout"):
        sensor(deferrable=True, timeout=0).execute(context())
    with pytest.raises(AirflowSkipException):
        sensor(deferrable=True, timeout=0, soft_fail=True).execute(context())


def test_a_sensor_that_never_fails_skips_after_a_wait(org: LocalOrg, connect: Connect) -> None:
    statuses(org, RUNNING)
    connect(org)

    with pytest.raises(AirflowSkipException):
        sensor(deferrable=True, timeout=0, never_fail=True).execute(context())


def test_the_execution_timeout_counts_while_the_task_is_deferred(org: LocalOrg, connect: Connect) -> None:
    statuses(org, RUNNING)
    connect(org)
    task = sensor(deferrable=True, execution_timeout=datetime.timedelta(seconds=30))

    wait = deferred(task)

    assert wait.trigger.deadline == wait.kwargs["execution_deadline"] < wait.kwargs["deadline"]
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        task.execute_complete(context(), event={"outcome": "timeout"}, **wait.kwargs)
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        task.execute_complete(context(), event={"outcome": "settled"}, deadline=9e12, execution_deadline=1.0)


def deferred(task: OktaFlowSensor, **options: Any) -> Any:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context()) if not options else task.execute_complete(context(), **options)
    return caught.value


def test_what_the_first_look_settles_is_not_deferred(org: LocalOrg, connect: Connect) -> None:
    statuses(org, DONE)
    connect(org)

    assert sensor(deferrable=True).execute(context()) == DONE


def test_a_deferred_wait_keeps_its_deadline_and_carries_no_secret(org: LocalOrg, connect: Connect) -> None:
    statuses(org, RUNNING)
    connect(org)

    wait = deferred(sensor(deferrable=True, timeout=3600, query={"q": 1}))

    path, arguments = wait.trigger.serialize()
    assert path == "airflow_okta_workflows.triggers.okta_workflows.OktaFlowStatusTrigger"
    assert OktaFlowStatusTrigger(**arguments).serialize() == (path, arguments)
    assert arguments["payload"] == '{"job":1}'
    assert wait.kwargs == {"deadline": arguments["deadline"], "execution_deadline": None}
    assert wait.timeout.total_seconds() > 3600
    assert set(arguments) == {
        "flow", "payload", "query", "method", "success_when", "failure_when",
        "poke_interval", "deadline", "max_failed_polls", "okta_workflows_conn_id", "not_before", "warned",
    }  # fmt: skip
    later = deferred(sensor(deferrable=True), event={"outcome": "settled"}, deadline=arguments["deadline"])
    assert later.trigger.serialize()[1]["deadline"] == arguments["deadline"]


def test_the_worker_looks_for_itself_when_the_trigger_has_fired(org: LocalOrg, connect: Connect) -> None:
    statuses(org, DONE)
    connect(org)
    task = sensor(deferrable=True, result="result")

    for outcome in ("settled", "error", "timeout"):
        assert task.execute_complete(context(), event={"outcome": outcome}) == {"n": 5}


@pytest.mark.parametrize("event", [None, "done", {"status": "success"}, {"outcome": "party"}])
def test_an_unknown_event_is_rejected(event: Any) -> None:
    with pytest.raises(OktaWorkflowsError, match="not known here"):
        sensor(deferrable=True).execute_complete(context(), event=event)


def test_a_trigger_that_could_not_ask_does_not_send_the_task_round_in_circles(org: LocalOrg, connect: Connect) -> None:
    statuses(org, RUNNING)
    connect(org)

    with pytest.raises(OktaWorkflowsError, match="OktaTokenError"):
        sensor(deferrable=True).execute_complete(context(), event={"outcome": "error", "reason": "OktaTokenError"})
    with pytest.raises(AirflowSensorTimeout):
        sensor(deferrable=True).execute_complete(context(), event={"outcome": "timeout"}, deadline=9e12)


async def events(trigger: OktaFlowStatusTrigger) -> list[dict[str, Any]]:
    return [event.payload async for event in trigger.run()]


def trigger(world: Any, **options: Any) -> OktaFlowStatusTrigger:
    return OktaFlowStatusTrigger(
        **{"flow": "status", "failure_when": "status == 'FAILED'", "deadline": world.now + 600, **options},
        runtime=world.runtime(),
    )


@pytest.mark.parametrize("last", [DONE, {"status": "FAILED"}])
async def test_the_trigger_fires_when_there_is_something_to_see(
    org: LocalOrg, connect: Connect, world: Any, last: Any
) -> None:
    statuses(org, RUNNING, RUNNING, last)
    connect(org)

    assert await events(trigger(world)) == [{"outcome": "settled"}]
    assert world.slept == [45.0, 60.0, 60.0], "the first at a random moment, so that many do not ask in step"


async def test_the_trigger_gives_up_at_the_deadline(org: LocalOrg, connect: Connect, world: Any) -> None:
    statuses(org, RUNNING)
    connect(org)

    assert await events(trigger(world, deadline=world.now + 150)) == [{"outcome": "timeout"}]
    assert world.slept == [45.0, 60.0, 45.0]
    assert await events(trigger(world, deadline=0)) == [{"outcome": "timeout"}]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda org: org.inject(Answer(500), flow="status", times=6), "OktaFlowFailedError"),
        (lambda org: org.app.granted_scopes.clear(), "OktaTokenRefusedError"),
        (lambda org: org.flow("status")(lambda request: {"status": 5}), "ExpressionError"),
        (lambda org: org.flows.clear(), "OktaConfigurationError"),
    ],
)
async def test_the_trigger_leaves_errors_to_the_worker(
    org: LocalOrg, connect: Connect, world: Any, spoil: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    statuses(org, RUNNING)
    spoil(org)
    connect(org)

    with caplog.at_level(logging.WARNING):
        fired = await events(trigger(world, success_when="length(status) > `100`" if "Expr" in reason else "x"))

    assert fired == [{"outcome": "error", "reason": reason}]


async def test_a_hundred_triggers_share_one_session_and_one_token(org: LocalOrg, connect: Connect, world: Any) -> None:
    statuses(org, RUNNING, *[RUNNING] * 99, DONE)
    connect(org)
    sessions: set[int] = set()

    async def one() -> list[dict[str, Any]]:
        fired = await events(trigger(world, poke_interval=0.001))
        sessions.update(id(share.session) for share in loop_resources._open.values())
        return fired

    assert await asyncio.gather(*(one() for _ in range(100))) == [[{"outcome": "settled"}]] * 100
    assert org.tokens_granted == 1
    assert len(sessions) <= 1
    assert not loop_resources._open, "closed when the last one left"


async def test_the_trigger_tolerates_what_passes(org: LocalOrg, connect: Connect, world: Any) -> None:
    statuses(org, DONE)
    connect(org)
    org.inject(Answer(500), flow="status", times=2)

    assert await events(trigger(world, max_failed_polls=2)) == [{"outcome": "settled"}]
    assert len(world.slept) == 3
