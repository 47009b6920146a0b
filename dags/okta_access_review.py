"""Review the access of everyone in a group: one task invokes a flow for each member, at the rate that the flow accepts.

The org needs two flows, secured with OAuth 2.0 and listed in the connection ``okta_workflows_default`` by these names:

* ``list_members`` takes ``group`` and returns ``members``, a list of objects with ``id`` and ``email``.
* ``review_access`` takes one of these objects and returns ``keep``, true or false.
"""

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator

with DAG(
    dag_id="okta_access_review",
    schedule=None,
    tags=["okta", "example"],
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
        # A member whose review fails appears in the report and does not stop the other reviews.
        on_error="collect",
    ).output

    @task
    def report(members: list[dict[str, Any]], reviews: list[dict[str, Any]]) -> dict[str, list[str]]:
        """Return the members who keep their access, those who lose it, and those who were not reviewed."""
        found: dict[str, list[str]] = {"keeps": [], "loses": [], "not reviewed": []}
        for member, review in zip(members, reviews, strict=True):
            reviewed = review["outcome"] == "succeeded"
            found["not reviewed" if not reviewed else "keeps" if review["result"] else "loses"].append(member["email"])
        return found

    report(members, reviews)
