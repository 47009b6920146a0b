"""Uses of the public API that mypy in strict mode has to refuse: an ignore that is not needed fails `make lint`."""

from __future__ import annotations

from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import (
    InvokeOktaFlowBatchOperator,
    InvokeOktaFlowOperator,
    SqlRows,
    StatusFlow,
)
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
from airflow_okta_workflows.types import FlowResponse


def hook(okta: OktaWorkflowsHook) -> None:
    okta.invoke()
    okta.invoke(7)
    okta.invoke("onboard", {}, "POST")
    okta.invoke("onboard", idempotent="yes")
    okta.invoke("onboard", retries=3)
    okta.invoke("onboard").status
    number: int = okta.invoke("onboard")
    okta.ainvoke("onboard").body


async def hook_on_an_event_loop(okta: OktaWorkflowsHook) -> None:
    await okta.ainvoke("onboard", verify=False)


def response(found: FlowResponse) -> None:
    found.body = {}
    found.execution_id.upper()


def operators() -> None:
    InvokeOktaFlowOperator(task_id="invoke")
    InvokeOktaFlowOperator(task_id="invoke", flow=7)
    InvokeOktaFlowOperator(task_id="invoke", flow="onboard", on_unknown="guess")
    InvokeOktaFlowOperator(task_id="invoke", flow="onboard", status="status")
    InvokeOktaFlowOperator(task_id="invoke", flow="onboard", response_check=len)
    InvokeOktaFlowBatchOperator(task_id="batch", flow="onboard", payloads=[], on_error="ignore")
    InvokeOktaFlowBatchOperator(task_id="batch", flow="onboard")
    OktaFlowSensor(task_id="wait", flow="status", success_when=True)
    StatusFlow("status", "job")
    StatusFlow("status", settle="90")
    SqlRows("hr")


def trigger() -> None:
    OktaFlowStatusTrigger("status")


def local_org(org: LocalOrg) -> None:
    LocalOrg(key_type="dsa")
    org.inject("reset")
    org.flows["onboard"].runs = 7
