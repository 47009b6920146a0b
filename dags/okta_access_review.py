"""Review the access of everyone in a group: one flow, invoked for each member from one task, at the flow's pace.

The org needs two flows, secured with OAuth 2.0 and named so in the connection ``okta_workflows_default``:

* ``list_members`` takes ``group`` and returns ``members``, a list of objects with ``id`` and ``email``.
* ``review_access`` takes such an object and returns ``keep``, true or false.
"""

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator

with DAG(
    dag_id="okta_access_review",
    schedule=None,
    params={"group": Param("on-call", type="string")},
    doc_md=__doc__,
) as dag:
    members = InvokeOktaFlowOperator(
        task_id="list_members",
        flow="list_members",
        payload={"group": "{{ params.group }}"},
        result="members",
    ).output

    reviews = InvokeOktaFlowBatchOperator(
        task_id="review_access",
        flow="review_access",
        payloads=members,
        result="keep",
        # Whoever cannot be reviewed is in the report, and does not hold up the others.
        on_error="collect",
    ).output

    @task
    def report(members: list[dict[str, Any]], reviews: list[dict[str, Any]]) -> dict[str, list[str]]:
        """Say who keeps the access, who loses it, and who was not reviewed."""
        found: dict[str, list[str]] = {"keeps": [], "loses": [], "not reviewed": []}
        for member, review in zip(members, reviews, strict=True):
            reviewed = review["outcome"] == "succeeded"
            found["not reviewed" if not reviewed else "keeps" if review["result"] else "loses"].append(member["email"])
        return found

    report(members, reviews)
