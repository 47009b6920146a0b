"""Invoke one flow: the smallest useful DAG.

The org needs one flow, listed as ``hello`` in the connection ``okta_workflows_default``: an API Endpoint card secured
with OAuth 2.0 that takes ``name``, and a Return card that returns ``greeting``.
"""

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator

with DAG(
    dag_id="okta_first_flow",
    schedule=None,
    tags=["okta", "example"],
    params={"name": Param("Ada", type="string")},
    doc_md=__doc__,
) as dag:
    InvokeOktaFlowOperator(
        task_id="hello",
        flow="hello",
        payload={"name": "{{ params.name }}"},
    )
