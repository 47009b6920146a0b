"""Uses of the public API that mypy in strict mode has to accept, with the types that it has to find."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

import requests
from airflow.providers.common.compat.sdk import Context

from airflow_okta_workflows import exceptions
from airflow_okta_workflows.decorators.okta_workflows import okta_flow_batch_task, okta_flow_task
from airflow_okta_workflows.emulator import Flow, FlowRequest, LocalOrg, LocalProxy, Reset, SeenRequest, StatusTable
from airflow_okta_workflows.exceptions import OktaFlowError, OktaFlowFailedError, OktaTokenError, OktaWorkflowsError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.links.okta_workflows import OktaFlowLink
from airflow_okta_workflows.notifications.okta_workflows import OktaFlowNotifier
from airflow_okta_workflows.operators.okta_workflows import (
    InvokeOktaFlowBatchOperator,
    InvokeOktaFlowOperator,
    SqlRows,
    StatusFlow,
)
from airflow_okta_workflows.retry_policy import OktaFlowRetryPolicy
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger, OktaFlowStatusTrigger
from airflow_okta_workflows.types import AccessToken, FlowResponse


def hook(context: Context) -> None:
    okta = OktaWorkflowsHook()
    assert_type(OktaWorkflowsHook(okta_workflows_conn_id="okta"), OktaWorkflowsHook)
    response = okta.invoke(
        "onboard",
        {"email": "ada@example.com"},
        method="POST",
        query={"day": "monday"},
        headers={"X-Team": "identity"},
        idempotency_key=okta.idempotency_key(context),
        idempotent=True,
        timeout=timedelta(seconds=30),
    )
    assert_type(response, FlowResponse)
    assert_type(response.status_code, int)
    assert_type(response.headers.get("Content-Type"), str | None)
    assert_type(response.body, Any)
    assert_type(response.execution_id, str | None)
    assert_type(response.elapsed, float)
    assert_type(okta.idempotency_key(context), str)
    assert_type(okta.get_conn(), requests.Session)
    assert_type(okta.test_connection(), tuple[bool, str])
    token = okta.get_access_token()
    assert_type(token, AccessToken)
    assert_type(token.value, str)
    assert_type(token.expires_at, float)


async def hook_on_an_event_loop(okta: OktaWorkflowsHook) -> None:
    assert_type(await okta.ainvoke("onboard", {"email": "ada@example.com"}, idempotent=True, timeout=5), FlowResponse)
    assert_type(await okta.aget_access_token(), AccessToken)


def operators() -> None:
    status = StatusFlow(
        "status",
        payload={"region": "eu"},
        success_when="done",
        failure_when="failed",
        not_found_when="lost",
        result="result",
        poke_interval=timedelta(seconds=10),
        timeout=600,
        settle=90,
        cancel_flow="cancel",
        max_failed_polls=3,
    )
    assert_type(
        InvokeOktaFlowOperator(
            task_id="invoke",
            flow="onboard",
            payload={"email": "ada@example.com"},
            query={"day": "monday"},
            headers={"X-Team": "identity"},
            method="POST",
            success_when="status == 'OK'",
            result="account.id",
            response_check=lambda response: bool(response.body),
            idempotent=True,
            status=status,
            on_unknown="fail",
            deferrable=True,
            timeout=30,
            okta_workflows_conn_id="okta",
            retries=3,
        ),
        InvokeOktaFlowOperator,
    )
    for payloads in ([{"id": 1}], ({"id": number} for number in range(3)), SqlRows("hr", "SELECT 1", parameters={})):
        InvokeOktaFlowBatchOperator(
            task_id="batch",
            flow="offboard",
            payloads=payloads,
            item_key="id",
            max_rate=5,
            max_in_flight=100,
            on_error="collect",
            idempotent=False,
            status=status,
            records_path="file:///tmp/records.jsonl",
        )
    OktaFlowSensor(
        task_id="wait",
        flow="status",
        payload={"job": 7},
        success_when="done",
        failure_when="failed",
        result="result",
        poke_interval=timedelta(seconds=5),
        timeout=timedelta(hours=1),
        mode="reschedule",
        deferrable=False,
    )
    InvokeOktaFlowOperator.partial(task_id="mapped", flow="onboard").expand(payload=[{"id": 1}, {"id": 2}])
    OktaFlowLink()


def notifier() -> None:
    assert_type(OktaFlowNotifier(flow="report", payload={"text": "{{ run_id }}"}), OktaFlowNotifier)


def triggers() -> None:
    assert_type(OktaFlowStatusTrigger(flow="status", deadline=1e9).serialize(), tuple[str, dict[str, Any]])
    assert_type(OktaFlowInvocationTrigger(flow="onboard", idempotency_key="k").serialize(), tuple[str, dict[str, Any]])


@okta_flow_task(flow="onboard")
def payload_of(email: str) -> dict[str, str]:
    return {"email": email}


@okta_flow_batch_task(flow="onboard")
def payloads() -> list[dict[str, str]]:
    return [{"email": "ada@example.com"}]


def retry_policy() -> OktaFlowRetryPolicy:
    return OktaFlowRetryPolicy(max_wait=600)


def errors(okta: OktaWorkflowsHook) -> None:
    try:
        okta.invoke("onboard")
    except OktaFlowFailedError as error:
        assert_type(error.response, FlowResponse | None)
        assert_type(error.flow, str | None)
        assert_type(error.idempotency_key, str | None)
    except OktaTokenError as error:
        assert_type(error.error, str | None)
        assert_type(error.status_code, int | None)
    except OktaFlowError as error:
        assert_type(error.hint, str)
    except OktaWorkflowsError as error:
        assert_type(error.code, str)
        assert_type(error.message, str)
    assert_type(exceptions.is_transient(OktaWorkflowsError("x")), bool)


def local_org() -> None:
    with LocalOrg(key_type="p256") as org:
        assert_type(org, LocalOrg)
        assert_type(org.url, str)
        assert_type(org.environment(), dict[str, str])
        assert_type(org.flows, dict[str, Flow])
        assert_type(org.requests("onboard"), list[SeenRequest])
        org.inject(Reset(), flow="onboard", times=2)

        @org.flow("onboard")
        def onboard(request: FlowRequest) -> dict[str, Any]:
            assert_type(request.idempotency_key, str | None)
            return {"account": request.body["email"]}

        table = StatusTable(seconds=2)
        org.add_flows({"provision": table.worker_flow(lambda request: {}), "status": table.status_flow})
    LocalProxy()
