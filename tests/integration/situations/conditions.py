"""Conditions of operators and sensors, what they see of a response, and how the wait of a sensor ends."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout

from airflow_okta_workflows.emulator import Answer, ReturnRaw
from airflow_okta_workflows.exceptions import OktaFlowFailedError, OktaFlowRefusedError
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from tests.airflow_features import TASK_SDK
from tests.integration.situations.stage import Act, Stage, each, refused, taken
from tests.integration.task_context import context
from tests.integration.test_sensor_conditions import NOT_THERE_YET, run
from tests.integration.test_sensors import statuses

WAYS = ("poke", "reschedule", "deferred") if TASK_SDK.there else ("poke", "deferred")
DONE, RUNNING, FAILED = ({"status": status} for status in ("SUCCEEDED", "RUNNING", "FAILED"))
JSON_AS_TEXT = [ReturnRaw(200, '{"status": "SUCCEEDED"}', {"Content-Type": kind}) for kind in ("text/html", "text/plain", "application/octet-stream")]  # fmt: skip


def task(response: Any = DONE, **options: Any) -> Act:
    """Return a form that executes an operator whose flow returns a response."""

    def act(stage: Stage) -> str:
        statuses(stage.org, response)
        stage.connect(stage.org.connection())
        result = InvokeOktaFlowOperator(task_id="task", flow="status", **options).execute(context())
        return f"Succeeds with `{json.dumps(result)}`"

    return act


def sensor(*responses: Any, ways: Sequence[str] = WAYS, **options: Any) -> list[Act]:
    """Return a form for each way to wait: a sensor whose status flow returns these responses, the last for ever."""

    def act(stage: Stage, way: str) -> str:
        statuses(stage.org, *responses)
        stage.connect(stage.org.connection())
        result = run(way, **options)
        return f"Succeeds with `{json.dumps(result)}`"

    return each(act, ways)


def parsed(**options: Any) -> list[Act]:
    """Return a form for each operator that takes a condition; it is refused when the DAG is parsed."""

    def act(stage: Stage, given: tuple[Any, dict[str, Any]]) -> str:
        kind, own = given
        kind(task_id="task", flow="status", **own, **options)
        return "The DAG is parsed"

    kinds: list[tuple[Any, dict[str, Any]]] = [
        (InvokeOktaFlowOperator, {}), (InvokeOktaFlowBatchOperator, {"payloads": []}), (OktaFlowSensor, {}),
    ]  # fmt: skip
    return each(act, kinds)


def _not_found(stage: Stage) -> str:
    stage.org.inject(Answer(404, b'{"message": "no such job"}', {"Content-Type": "application/json"}), flow="status")
    (poke,) = sensor(RUNNING, ways=("poke",))
    return poke(stage)


def _past_execution_timeout(stage: Stage) -> str:
    statuses(stage.org, RUNNING)
    stage.connect(stage.org.connection())
    limits: dict[str, Any] = {"timeout": 3600, "execution_timeout": datetime.timedelta(microseconds=1)}
    wait = OktaFlowSensor(task_id="task", flow="status", soft_fail=True, deferrable=True, **limits)
    wait.execute(context())
    return "Succeeds"


CONDITIONS = [
    refused("A template in a condition, such as `success_when`", parsed(success_when="status == '{{ params.expected }}'"), "OKW-1521"),
    refused("A template in `failure_when` of a sensor", lambda stage: str(OktaFlowSensor(task_id="task", flow="status", failure_when="{{ params.failed }}")), "OKW-1521"),
    refused("A condition that is no JMESPath", parsed(success_when="status = 'SUCCEEDED'"), "OKW-1519"),
    refused("A text in double quotes: `status == \"SUCCEEDED\"`", parsed(success_when='status == "SUCCEEDED"'), "OKW-1518"),
    refused("A bool without backticks: `done == true`", parsed(success_when="done == true"), "OKW-1517"),
    refused("A text without quotes: `status == SUCCEEDED`", parsed(success_when="status == SUCCEEDED"), "OKW-1518"),
    refused("A text in double quotes as an argument: `contains(tags, \"DONE\")`", parsed(success_when='contains(tags, "DONE")'), "OKW-1518"),
    refused("A text without quotes in a filter: `items[?state == DONE]`", parsed(success_when="items[?state == DONE]"), "OKW-1518"),
    refused("A function that JMESPath does not have", parsed(success_when="lenght(items) > `0`"), "OKW-1580"),
    refused("A function with too few arguments", parsed(success_when="length()"), "OKW-1581"),
    refused("A `success_when` of an operator that is false", task({"status": "PENDING"}, success_when="status == 'DONE'"), "OKW-1603", OktaFlowFailedError),
    refused("A `success_when` that looks at a member with the name of a secret", task({"token": "t0ken"}, success_when="token == 'other'"), "OKW-1603", OktaFlowFailedError),
    refused("A `success_when` that looks at a member that is not there", task({"state": "DONE"}, success_when="status == 'DONE'"), "OKW-1603", OktaFlowFailedError),
    refused("A `success_when` that cannot be evaluated over the response", task({"status": 5}, success_when="length(status) > `0`"), "OKW-1603", OktaFlowFailedError),
    taken("JSON under `text/html`, `text/plain` or no JSON's content type, as Return Raw sends it", [task(one, success_when="status == 'SUCCEEDED'") for one in JSON_AS_TEXT], 'Succeeds with `{"status": "SUCCEEDED"}`'),
    refused("A condition, and a response that is text", task(ReturnRaw(200, "fine"), success_when="status == 'DONE'"), "OKW-1603", OktaFlowFailedError),
    refused("A `result`, and a response that is empty", task(None, result="account.id"), "OKW-1603", OktaFlowFailedError),
    taken("A `result` that is not in the response", task({"state": "DONE"}, result="account.id"), "Succeeds with `null`", warned=True),
    refused("A sensor's flow that reports FAILED", sensor(FAILED), "OKW-1611", OktaFlowFailedError),
    refused("The same with `soft_fail`", sensor(FAILED, soft_fail=True), "OKW-1611", OktaFlowFailedError),
    refused("A sensor whose `timeout` is over", sensor(RUNNING), "OKW-1609", AirflowSensorTimeout),
    refused("The same with `soft_fail`", sensor(RUNNING, soft_fail=True), "OKW-1609", AirflowSkipException),
    refused("`soft_fail`, and a flow that the connection does not have", sensor(RUNNING, flow="mistyped", soft_fail=True), "OKW-1042"),
    refused("`soft_fail`, and an alias that the org does not have", sensor(RUNNING, flow="0" * 32, soft_fail=True), "OKW-1433", OktaFlowRefusedError),
    refused("`soft_fail`, and `execution_timeout` is over", _past_execution_timeout, "OKW-1609", AirflowTaskTimeout),
    taken("A status flow that returns a 404 with an execution id, or NOT_FOUND, as long as it has no row", [
        act for one in NOT_THERE_YET for act in sensor(one, DONE, ways=("poke",), timeout=60)
    ], 'Succeeds with `{"status": "SUCCEEDED"}`'),
    refused("A 404 without an execution id, which is not known to be the status flow's", _not_found, "OKW-1423", OktaFlowRefusedError),
    refused("A sensor's response that has none of the condition's members", sensor({"state": "DONE", "at": 1}), "OKW-1609", AirflowSensorTimeout, warned=True),
    refused("A sensor's response that has only some of them", sensor({"status": "RUNNING", "done": True}, success_when="status == 'RUNNING' && Done"), "OKW-1609", AirflowSensorTimeout, warned=True),
    refused("A sensor's filter that looks at a member that no element has", sensor({"items": [DONE]}, success_when="length(items[?Status == 'SUCCEEDED']) == `1`"), "OKW-1609", AirflowSensorTimeout, warned=True),
    refused("A sensor's condition that compares a bool with a string", sensor({"done": True}, success_when="done == 'true'"), "OKW-1609", AirflowSensorTimeout, warned=True),
    refused("A sensor's response that is a list", sensor(ReturnRaw(200, [DONE])), "OKW-1609", AirflowSensorTimeout, warned=True),
    refused("A sensor's response that is text", sensor(ReturnRaw(200, "SUCCEEDED", {"Content-Type": "text/plain"})), "OKW-1609", AirflowSensorTimeout, warned=True),
    refused("A sensor's response that is empty", sensor(None), "OKW-1609", AirflowSensorTimeout, warned=True),
]  # fmt: skip
