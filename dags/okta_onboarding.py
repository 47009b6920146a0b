"""Onboard a person through a chain of flows that use the results of earlier ones.

The org needs five flows, secured with OAuth 2.0 and listed in the connection ``okta_workflows_default`` by these names:

* ``create_account`` takes ``email`` and ``name`` and returns ``account``, an object with ``id`` and ``status``.
* ``add_to_group`` takes ``account_id`` and ``group``.
* ``start_provisioning`` takes ``account_id``, responds at once (Close card) with a ``job_id``, and runs on for minutes.
* ``provisioning_status`` takes a ``job_id`` and returns ``status``: RUNNING, SUCCEEDED or FAILED, and a ``result``.
* ``send_welcome`` takes ``account_id``, ``groups`` and ``applications``.
"""

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor

with DAG(
    dag_id="okta_onboarding",
    schedule=None,
    tags=["okta", "example"],
    # If a worker dies, a retry continues from the checkpoint and invokes no flow twice (Airflow 3.3).
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "email": Param("ada@example.com", type="string", format="email"),
        "name": Param("Ada Lovelace", type="string"),
        "groups": Param(["everyone", "engineering", "on-call"], type="array", items={"type": "string"}),
    },
    doc_md=__doc__,
) as dag:
    account = InvokeOktaFlowOperator(
        task_id="create_account",
        flow="create_account",
        payload={"email": "{{ params.email }}", "name": "{{ params.name }}"},
        success_when="account.status == 'STAGED'",
        result="account",
        # A separate XCom for each member of the result, so that account["id"] can be passed on.
        multiple_outputs=True,
    ).output

    @task
    def memberships(account: dict[str, Any], params: Any = None) -> list[dict[str, str]]:
        """Return one payload per group."""
        return [{"account_id": account["id"], "group": group} for group in params["groups"]]

    added = InvokeOktaFlowOperator.partial(
        task_id="add_to_group",
        flow="add_to_group",
        # What the page of the run shows for each mapped task, instead of its number.
        map_index_template="{{ task.payload['group'] }}",
    ).expand(payload=memberships(account))

    job = InvokeOktaFlowOperator(
        task_id="start_provisioning",
        flow="start_provisioning",
        payload={"account_id": account["id"]},
        multiple_outputs=True,
    ).output

    applications = OktaFlowSensor(
        task_id="wait_for_provisioning",
        flow="provisioning_status",
        payload={"job_id": job["job_id"]},
        result="result.applications",
        # For your own org, keep the default of 60 seconds: each poll consumes Workflows steps of the org.
        poke_interval=5,
        timeout=3600,
        deferrable=True,
    ).output

    InvokeOktaFlowOperator(
        task_id="send_welcome",
        flow="send_welcome",
        payload={"account_id": account["id"], "groups": added.output, "applications": applications},
    )
