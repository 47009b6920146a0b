"""Offboard the leavers of the HR table: one task reads the rows, invokes a flow for each, and writes the results.

The rows are read from the connection ``hr_database``, which can be of any database that Airflow has a hook for;
``okta_offboarding.sql`` makes a table to try it with. The records are lines of JSON in a file, which can be in any
object store, such as ``s3://hr-reports``.

The org needs one flow, secured with OAuth 2.0 and listed in the connection ``okta_workflows_default``:

* ``offboard`` takes ``employee_id``, ``email`` and ``last_day``, and returns ``suspended``, true or false.
"""

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, SqlRows

with DAG(
    dag_id="okta_offboarding",
    schedule=None,
    tags=["okta", "example"],
    params={"reports": Param("file:///tmp/okta_offboarding", type="string")},
    doc_md=__doc__,
) as dag:
    offboarded = InvokeOktaFlowBatchOperator(
        task_id="offboard",
        flow="offboard",
        payloads=SqlRows(
            "hr_database",
            "SELECT employee_id, email, last_day FROM leavers WHERE last_day <= CURRENT_DATE ORDER BY employee_id",
        ),
        # A retry recognizes by it who has been offboarded, even if they are no longer in the table.
        item_key="employee_id",
        result="suspended",
        records_path="{{ params.reports }}/{{ run_id }}.jsonl",
        retries=2,
    ).output

    @task
    def report(offboarded: dict[str, Any]) -> str:
        """Return how many have been offboarded, and where the records are."""
        return f"{offboarded['counts'].get('succeeded', 0)} offboarded; the records are in {offboarded['path']}"

    report(offboarded)
