"""Onboard a person through a chain of flows that use the results of earlier ones.

The org needs five flows, secured with OAuth 2.0 and listed in the connection ``okta_workflows_default`` by these names:

* ``create_account`` takes ``email`` and ``name`` and returns ``account``, an object with ``id`` and ``status``.
* ``add_to_group`` takes ``account_id`` and ``group``.
* ``provision`` takes ``account_id``, first writes a row under the header ``Idempotency-Key``, responds at once (Close
  card), and runs on for minutes.
* ``provision_status`` takes ``idempotency_key`` and returns from that row ``status``, RUNNING, SUCCEEDED or FAILED, and
  ``result``, an object with ``applications``. Without such a row, ``status`` is NOT_FOUND.
* ``send_welcome`` takes ``account_id``, ``groups`` and ``applications``.
"""

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator, StatusFlow

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

    applications = InvokeOktaFlowOperator(
        task_id="provision",
        flow="provision",
        payload={"account_id": account["id"]},
        # The task waits for the end of the run. If a response or a worker is lost, it asks the status flow.
        status=StatusFlow(
            "provision_status",
            result="result.applications",
            # For your own org, keep the default of 60 seconds: each poll consumes Workflows steps of the org.
            poke_interval=5,
            timeout=3600,
        ),
        deferrable=True,
    ).output

    InvokeOktaFlowOperator(
        task_id="send_welcome",
        flow="send_welcome",
        payload={"account_id": account["id"], "groups": added.output, "applications": applications},
    )
