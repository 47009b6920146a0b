"""The extra link: what operators and sensor leave for it, whatever becomes of the invocation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, TaskDeferred

from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, ReturnError
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaTokenRefusedError,
)
from airflow_okta_workflows.links.okta_workflows import OktaFlowLink
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from tests.airflow_features import kept_by_airflow
from tests.console_link import console_link
from tests.integration.task_context import Store, TaskInstance, context, with_store

Connect = Callable[..., None]


def invoke(**options: Any) -> InvokeOktaFlowOperator:
    return InvokeOktaFlowOperator(**{"task_id": "task", "flow": "echo", **options})


def link_in(given: Any) -> str | None:
    link: str | None = given["ti"].pushed.get(OktaFlowLink().xcom_key)
    return link


def test_it_stands_while_the_flow_runs_and_gets_the_execution_with_the_respond(org: LocalOrg, connect: Connect) -> None:
    given, seen = context(), []

    @org.flow("slow")
    def slow(request: Any) -> None:
        seen.append(link_in(given))

    connect(org)
    task = invoke(flow="slow")
    task.execute(given)

    assert seen == [f"{org.url}/app"]
    assert console_link(task, given) == f"{org.url}/app#execution_id={org.flows['slow'].runs[0].execution_id}"


def test_it_leads_to_the_execution_that_failed(org: LocalOrg, connect: Connect) -> None:
    org.flow("broken")(lambda request: ReturnError(500, "no such account"))
    connect(org)
    for task, flow in ((invoke(flow="broken"), "broken"), (invoke(success_when="body.ok"), "echo")):
        given = context()
        with pytest.raises(OktaFlowFailedError):
            task.execute(given)

        assert console_link(task, given) == f"{org.url}/app#execution_id={org.flows[flow].runs[0].execution_id}"


def test_it_leads_to_the_console_when_the_outcome_is_unknown(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.inject(Reset(after_run=True), flow="echo")
    store = Store()
    cut_off, retried = with_store(store), with_store(store)
    for given in (cut_off, retried):
        with pytest.raises(OktaFlowOutcomeUnknownError):
            invoke(retries=3).execute(given)

    assert link_in(cut_off) == link_in(retried) == f"{org.url}/app"


def test_it_stands_before_the_task_is_deferred(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    given = context()
    with pytest.raises(TaskDeferred):
        invoke(idempotent=True, deferrable=True).execute(given)

    assert link_in(given) == f"{org.url}/app"


def test_it_leads_to_where_the_flow_is(org: LocalOrg, connect: Connect) -> None:
    with LocalOrg() as other:
        other.flow("elsewhere", security="public")(lambda request: {})
        connect(org, allowed_hosts=f"127.0.0.1:{other.port}")
        task, given = invoke(flow=other.invoke_url("elsewhere")), context()
        task.execute(given)

        assert str(console_link(task, given)).startswith(f"{other.url}/app#execution_id=")


@pytest.mark.parametrize(
    ("told", "fragment"),
    [
        ({}, ""),
        ({"x-execution-id": "f47ac10b:4372"}, "#execution_id=f47ac10b%3A4372"),
        ({"x-execution-id": "a b/../?c#<script>"}, ""),
        ({"x-execution-id": "0" * 201}, ""),
    ],
)
def test_whatever_the_response_tells_is_no_more_than_an_id(
    org: LocalOrg, connect: Connect, told: dict[str, str], fragment: str
) -> None:
    connect(org)
    org.inject(Answer(200, b"{}", {"Content-Type": "application/json", **told}), flow="echo")
    task, given = invoke(), context()
    task.execute(given)

    assert console_link(task, given) == f"{org.url}/app{fragment}"


def test_a_sensor_leads_to_its_last_poll(org: LocalOrg, connect: Connect) -> None:
    status = iter(["RUNNING", "FAILED"])
    org.flow("status")(lambda request: {"status": next(status)})
    connect(org)
    sensor, given, links = OktaFlowSensor(task_id="task", flow="status"), context(), []
    sensor.poke(given)
    links.append(console_link(sensor, given))
    with pytest.raises(OktaFlowFailedError):
        sensor.poke(given)
    links.append(console_link(sensor, given))

    runs = org.flows["status"].runs
    assert links == [f"{org.url}/app#execution_id={run.execution_id}" for run in runs]
    assert len(runs) == 2


def test_a_sensor_whose_status_flow_fails_leads_there(org: LocalOrg, connect: Connect) -> None:
    org.flow("status")(lambda request: ReturnError(400, "no such job"))
    connect(org)
    sensor, given = OktaFlowSensor(task_id="task", flow="status"), context()
    with pytest.raises(OktaFlowFailedError):
        sensor.poke(given)

    assert console_link(sensor, given) == f"{org.url}/app#execution_id={org.flows['status'].runs[0].execution_id}"


def test_a_batch_leads_to_the_console(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    given = context()
    InvokeOktaFlowBatchOperator(task_id="task", flow="echo", payloads=[{"n": 1}], idempotent=True).execute(given)

    assert link_in(given) == f"{org.url}/app"


def test_a_connection_that_gives_no_link_says_so_in_its_own_way(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(org)
    given = context()
    with pytest.raises(OktaConfigurationError, match="no flow named"):
        invoke(flow="unknown").execute(given)
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", '{"conn_type": "okta_workflows"}')
    with pytest.raises(OktaConfigurationError, match="Client ID"):
        invoke().execute(given)
    monkeypatch.delenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT")
    with pytest.raises(AirflowException, match="okta_workflows_default"):
        invoke().execute(given)

    assert link_in(given) is None


@pytest.mark.parametrize("task", [invoke(), OktaFlowSensor(task_id="task", flow="echo", success_when="key")])
def test_it_is_not_worth_a_task(org: LocalOrg, connect: Connect, task: Any) -> None:
    connect(org)

    class Unreachable(TaskInstance):
        def xcom_push(self, key: str, value: Any) -> None:
            if key == OktaFlowLink().xcom_key:
                raise ConnectionError("the API server is down")

    task.execute({**context(), "ti": Unreachable()})

    assert len(org.flows["echo"].runs) == 1


def test_a_refused_token_leaves_the_link_alone(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.app.granted_scopes.clear()
    given = context()
    with pytest.raises(OktaTokenRefusedError):
        invoke().execute(given)

    assert given["ti"].pushed == {OktaFlowLink().xcom_key: f"{org.url}/app"}


def test_airflow_keeps_it_with_the_serialized_dag() -> None:
    with DAG("linked", schedule=None) as dag:
        invoke(task_id="one")
        InvokeOktaFlowOperator.partial(task_id="mapped", flow="echo").expand(payload=[{"n": 1}])
        InvokeOktaFlowBatchOperator(task_id="many", flow="echo", payloads=[])
        OktaFlowSensor(task_id="wait", flow="status")
    kept = kept_by_airflow(dag)

    for task_id in ("one", "mapped", "many", "wait"):
        assert kept.get_task(task_id).extra_links == ["Okta Workflows console"], task_id
