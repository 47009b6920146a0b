"""What a sensor waits for, what it says of what it sees, and how its wait ends: the same in each way to wait."""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout

from airflow_okta_workflows.emulator import LocalOrg, Reset, ReturnError, ReturnRaw
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowError,
    OktaFlowFailedError,
    OktaFlowRefusedError,
)
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from tests import airflow_features
from tests.integration.task_context import Store, context, with_store
from tests.integration.test_sensors import DONE, RUNNING, Connect, deferred, events, sensor, statuses, trigger


def rescheduled_long_ago(**fields: Any) -> Any:
    """The context of a sensor whose first poll was two hours ago, as Airflow 3 gives it."""
    given = with_store(Store(), **fields)
    began = datetime.datetime.now(datetime.UTC) - timedelta(hours=2)
    given["ti"].get_first_reschedule_date = lambda context: began
    return given


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[str], list[str]]:
    """Return a function that returns the log lines since its last call that contain a text, wherever a task's log goes."""
    caplog.set_level(logging.INFO)

    def with_text(text: str) -> list[str]:
        logs = [capsys.readouterr().out, caplog.text]
        caplog.clear()
        return next(filter(None, [[line for line in log.splitlines() if text in line] for log in logs]), [])

    return with_text


Lines = Callable[[str], list[str]]


def run(way: str, seen: Any = None, **options: Any) -> Any:
    """Execute a sensor whose timeout, of an hour, is over after its first poll."""
    if way == "reschedule":
        return sensor(mode="reschedule", timeout=3600, **options).execute(seen or rescheduled_long_ago())
    options = {"poke_interval": 0, "timeout": 0, **options}
    return sensor(deferrable=way == "deferred", **options).execute(seen or context())


WAYS = pytest.mark.parametrize(
    "way", ["poke", pytest.param("reschedule", marks=airflow_features.needs(airflow_features.TASK_SDK)), "deferred"]
)


@WAYS
def test_soft_fail_skips_when_the_timeout_is_over(org: LocalOrg, connect: Connect, way: str) -> None:
    statuses(org, RUNNING)
    connect(org)

    with pytest.raises(
        AirflowSkipException, match=r"(?s)did not report an end within .*Last seen: status is 'RUNNING'"
    ):
        run(way, soft_fail=True)
    with pytest.raises(
        AirflowSensorTimeout, match=r"(?s)did not report an end within .*Last seen: status is 'RUNNING'"
    ):
        run(way)


@WAYS
@pytest.mark.parametrize(
    ("response", "options", "error"),
    [
        ({"status": "FAILED"}, {}, OktaFlowFailedError),
        (RUNNING, {"flow": "mistyped"}, OktaConfigurationError),
        (RUNNING, {"flow": "0123456789abcdef0123456789abcdef"}, OktaFlowRefusedError),
        (RUNNING, {"okta_workflows_conn_id": "missing"}, Exception),
        (Reset(), {"max_failed_polls": 0}, OktaFlowError),
        (ReturnError(500, "down"), {"max_failed_polls": 0}, OktaFlowFailedError),
        ({"status": 5}, {"success_when": "length(status)"}, OktaFlowFailedError),
    ],
    ids=["failed", "mistyped", "unknown alias", "no connection", "no response", "broken", "no condition for it"],
)
def test_soft_fail_skips_for_nothing_else(
    org: LocalOrg, connect: Connect, way: str, response: Any, options: Any, error: Any
) -> None:
    statuses(org, RUNNING if isinstance(response, Reset) else response)
    connect(org)
    if isinstance(response, Reset):
        org.inject(response, flow="status", times=9)

    with pytest.raises(error) as caught:
        run(way, soft_fail=True, **options)
    assert not isinstance(caught.value, AirflowSkipException)


def test_an_execution_timeout_is_no_reason_to_skip(org: LocalOrg, connect: Connect) -> None:
    class Interrupted(OktaFlowSensor):
        def poke(self, context: Any) -> Any:
            raise AirflowTaskTimeout("Timeout")  # as Airflow's signal handler does, wherever the task is

    with pytest.raises(AirflowTaskTimeout):
        Interrupted(task_id="task", flow="status", soft_fail=True).execute(context())

    statuses(org, RUNNING)
    connect(org)
    task = sensor(soft_fail=True, deferrable=True, execution_timeout=timedelta(seconds=30))
    event = {"event": {"outcome": "timeout"}, **deferred(task).kwargs}
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout is over"):
        task.resume_execution("execute_complete", event, context())
    assert task.soft_fail, "as it was given"


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"timeout": 3600}, AirflowSkipException),
        ({"timeout": 3600, "execution_timeout": timedelta(hours=2)}, AirflowSkipException),
        ({"timeout": 3600, "execution_timeout": timedelta(hours=1)}, AirflowTaskTimeout),
        ({"timeout": 3600, "execution_timeout": timedelta(minutes=1)}, AirflowTaskTimeout),
    ],
)
def test_a_triggerer_that_is_down_lets_the_wait_end_as_it_would_have(limits: Any, error: Any) -> None:
    class Resumed(OktaFlowSensor):
        def execute_complete(self, *args: Any, **kwargs: Any) -> Any:
            raise AirflowSensorTimeout("The trigger timed out")

    task = Resumed(task_id="task", flow="status", soft_fail=True, deferrable=True, **limits)

    with pytest.raises(error):
        task.resume_execution("execute_complete", {}, context())


NOT_THERE_YET = [ReturnError(404, "no such job yet"), {"status": "NOT_FOUND"}, ReturnRaw(404, "")]


@WAYS
@pytest.mark.parametrize("response", NOT_THERE_YET)
def test_a_job_that_is_not_known_yet_has_not_finished(org: LocalOrg, connect: Connect, way: str, response: Any) -> None:
    statuses(org, response)
    connect(org)

    with pytest.raises(AirflowSensorTimeout, match=r"Last seen: (the status flow returned 404|status is 'NOT_FOUND')"):
        run(way, max_failed_polls=0, success_when="status != 'RUNNING'")


@pytest.mark.parametrize("response", NOT_THERE_YET)
async def test_it_has_not_finished_for_the_trigger_either(
    org: LocalOrg, connect: Connect, world: Any, response: Any
) -> None:
    statuses(org, response, response, DONE)
    connect(org)

    fired = await events(trigger(world, max_failed_polls=0, success_when="status != 'RUNNING'"))

    assert fired == [{"outcome": "settled"}]
    assert len(org.flows["status"].runs) == 3


def test_a_404_that_is_not_known_to_be_the_flows_fails_and_says_what_to_return(connect: Connect, world: Any) -> None:
    with LocalOrg(rate_limit=None, execution_header=None) as org:
        statuses(org, ReturnError(404, "no such job yet"))
        connect(org)

        with pytest.raises(OktaFlowRefusedError, match="NOT_FOUND"):
            sensor().execute(context())


BLIND = [
    ({"state": "DONE", "at": 1}, "finds nothing at status: the response is an object with state, at"),
    ([{"status": "SUCCEEDED"}], "finds nothing at status: the response is a list of 1"),
    (ReturnRaw(200, "SUCCEEDED", {"Content-Type": "text/plain"}), "the response is text (text/plain), not JSON"),
    (ReturnRaw(200, '"SUCCEEDED"', {"Content-Type": "application/json"}), "the response is text (application/json)"),
    (None, "the response is empty"),
]


@WAYS
@pytest.mark.parametrize(
    ("response", "sentence"), [(ReturnRaw(200, b) if isinstance(b, list) else b, s) for b, s in BLIND]
)
def test_a_condition_that_finds_nothing_says_so_at_the_first_poll(
    org: LocalOrg, connect: Connect, way: str, response: Any, sentence: str, lines: Lines
) -> None:
    statuses(org, response)
    connect(org)

    with pytest.raises(AirflowSensorTimeout):
        run(way)

    (line,) = lines("finds nothing")
    assert sentence in line
    assert "success_when \"status == 'SUCCEEDED'\"" in line


def test_it_says_so_once_per_task(org: LocalOrg, connect: Connect, lines: Lines) -> None:
    statuses(org, {"state": "RUNNING"})
    connect(org)
    store = Store()
    task = sensor()

    for _ in range(3):
        task.poke(context())
    assert len(lines("finds nothing")) == 1
    for _ in range(3):
        sensor(mode="reschedule").poke(with_store(store))
    assert len(lines("finds nothing")) == 1
    sensor(mode="reschedule").poke(with_store(store, try_number=2))
    assert len(lines("finds nothing")) == 1
    wait = deferred(sensor(deferrable=True))
    assert len(lines("finds nothing")) == 1
    deferred(sensor(deferrable=True), event={"outcome": "settled"}, **wait.kwargs)
    assert lines("finds nothing") == []
    assert wait.trigger.serialize()[1]["warned"] is True


async def test_the_trigger_says_so_once_unless_the_worker_has(
    org: LocalOrg, connect: Connect, world: Any, lines: Lines
) -> None:
    statuses(org, {"state": "RUNNING"})
    connect(org)

    await events(trigger(world, deadline=world.now + 300, warned=True))
    assert lines("finds nothing") == []
    await events(trigger(world, deadline=world.now + 300))
    assert len(lines("finds nothing")) == 1


def test_a_status_that_is_there_is_no_reason_to_warn(org: LocalOrg, connect: Connect, lines: Lines) -> None:
    statuses(org, {"status": None}, DONE)
    connect(org)

    sensor(poke_interval=0).execute(context())

    assert lines("finds nothing") == []


def test_each_poll_says_what_it_sees(org: LocalOrg, connect: Connect, lines: Lines) -> None:
    statuses(org, RUNNING, DONE)
    connect(org)

    sensor(poke_interval=0).execute(context())

    assert len(lines("Not finished yet, according to flow 'status': status is 'RUNNING'")) == 1


def test_json_under_any_content_type_is_seen(org: LocalOrg, connect: Connect) -> None:
    for content_type in ("text/html; charset=utf-8", "text/plain", "application/octet-stream"):
        statuses(org, ReturnRaw(200, '{"status": "SUCCEEDED"}', {"Content-Type": content_type}))
        connect(org)

        assert sensor().execute(context()) == {"status": "SUCCEEDED"}


def test_a_result_that_is_not_in_the_response_is_null_with_a_warning(
    org: LocalOrg, connect: Connect, lines: Lines
) -> None:
    statuses(org, {"status": "SUCCEEDED"})
    connect(org)

    assert sensor(result="job.id").execute(context()) is None
    assert lines("result 'job.id' finds nothing at job.id: the response is an object with status")


@pytest.mark.parametrize("name", ["success_when", "failure_when", "result"])
def test_a_template_in_a_condition_is_refused_when_the_dag_is_parsed(name: str) -> None:
    with pytest.raises(OktaConfigurationError, match=f"{name} has a Jinja template"):
        sensor(**{name: "status == '{{ params.status }}'"})


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_payload_that_became_none_is_not_sent(org: LocalOrg, connect: Connect, deferrable: bool) -> None:
    statuses(org, DONE)
    connect(org)
    task = sensor(deferrable=deferrable, payload="{{ ti.xcom_pull('job') }}")
    task.payload = None  # as a native template renders it

    with pytest.raises(OktaConfigurationError, match=r"(?s)The payload is None.*\| tojson"):
        task.execute(context())
    assert org.log == []


def test_values_of_databases_go_into_a_deferred_wait_as_strings(org: LocalOrg, connect: Connect) -> None:
    statuses(org, RUNNING)
    connect(org)

    wait = deferred(
        sensor(
            deferrable=True,
            payload={"id": UUID(int=1), "day": datetime.date(2026, 1, 2), "amount": Decimal("1.5")},
            query={"since": datetime.date(2026, 1, 2), "n": [1, Decimal(2)], "none": None},
        )
    )

    arguments = wait.trigger.serialize()[1]
    assert json.loads(json.dumps(arguments)) == arguments
    assert json.loads(arguments["payload"])["day"] == "2026-01-02"
    assert arguments["query"] == {"since": ["2026-01-02"], "n": ["1", "2"], "none": []}
