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
    okta.invoke()  # type: ignore[call-arg]
    okta.invoke(7)  # type: ignore[arg-type]
    okta.invoke("onboard", {}, "POST")  # type: ignore[call-arg]
    okta.invoke("onboard", idempotent="yes")  # type: ignore[arg-type]
    okta.invoke("onboard", retries=3)  # type: ignore[call-arg]
    _ = okta.invoke("onboard").status  # type: ignore[attr-defined]
    len(okta.invoke("onboard"))  # type: ignore[arg-type]
    _ = okta.ainvoke("onboard").body  # type: ignore[attr-defined]


async def hook_on_an_event_loop(okta: OktaWorkflowsHook) -> None:
    await okta.ainvoke("onboard", verify=False)  # type: ignore[call-arg]


def response(found: FlowResponse) -> None:
    found.body = {}  # type: ignore[misc]
    found.execution_id.upper()  # type: ignore[union-attr]


def operators() -> None:
    InvokeOktaFlowOperator(task_id="invoke")  # type: ignore[call-arg]
    InvokeOktaFlowOperator(task_id="invoke", flow=7)  # type: ignore[arg-type]
    InvokeOktaFlowOperator(task_id="invoke", flow="onboard", on_unknown="guess")  # type: ignore[arg-type]
    InvokeOktaFlowOperator(task_id="invoke", flow="onboard", status="status")  # type: ignore[arg-type]
    InvokeOktaFlowOperator(task_id="invoke", flow="onboard", response_check=len)  # type: ignore[arg-type]
    InvokeOktaFlowBatchOperator(task_id="batch", flow="onboard", payloads=[], on_error="ignore")  # type: ignore[arg-type]
    InvokeOktaFlowBatchOperator(task_id="batch", flow="onboard")  # type: ignore[call-arg]
    OktaFlowSensor(task_id="wait", flow="status", success_when=True)  # type: ignore[arg-type]
    StatusFlow("status", "job")  # type: ignore[call-arg]
    StatusFlow("status", settle="90")  # type: ignore[arg-type]
    SqlRows("hr")  # type: ignore[call-arg]


def trigger() -> None:
    OktaFlowStatusTrigger("status")  # type: ignore[call-arg]


def local_org(org: LocalOrg) -> None:
    LocalOrg(key_type="dsa")  # type: ignore[arg-type]
    org.inject("reset")  # type: ignore[arg-type]
    org.flows["onboard"].runs = 7  # type: ignore[assignment]
