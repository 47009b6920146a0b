"""Review of each account's access by a person: Airflow asks, and one task revokes what was chosen.

Needs Airflow 3.1 or newer, which lists the questions under Required Actions. On an older Airflow this file defines no
DAG.

The org needs two flows, secured with OAuth 2.0 and listed in the connection ``okta_workflows_default`` by these names:

* ``list_accounts`` takes ``application`` and returns ``accounts``, a list of objects with ``id``, ``email`` and
  ``last_login``.
* ``revoke_access`` takes ``account_id`` and ``application``, and returns ``revoked``, true or false.
"""

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowOptionalProviderFeatureException, Param, task

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator

try:
    from airflow.providers.standard.operators.hitl import HITLOperator
except (ImportError, AirflowOptionalProviderFeatureException):
    pass  # an Airflow before 3.1
else:
    with DAG(
        dag_id="okta_human_review",
        schedule=None,
        tags=["okta", "example"],
        # If a worker dies, a retry continues from the checkpoint and revokes nothing twice (Airflow 3.3).
        default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
        params={"application": Param("payroll", type="string")},
        doc_md=__doc__,
    ) as dag:
        accounts = InvokeOktaFlowOperator(
            task_id="list_accounts",
            flow="list_accounts",
            payload={"application": "{{ params.application }}"},
            result="accounts",
        ).output

        @task
        def questions(accounts: list[dict[str, Any]], params: Any = None) -> list[dict[str, str]]:
            """Return the question about each account."""
            return [
                {
                    "subject": f"Does {account['email']} still need {params['application']}?",
                    "body": f"Account `{account['id']}` last logged in on {account['last_login']}.",
                }
                for account in accounts
            ]

        # One question per account. The questions wait side by side, and none of them holds a worker slot.
        answers = HITLOperator.partial(
            task_id="decide",
            options=["Keep", "Revoke"],
            # Without an answer in time, the access stays.
            defaults="Keep",
            response_timeout=timedelta(days=7),
            map_index_template="{{ task.subject }}",
        ).expand_kwargs(questions(accounts))

        @task
        def revocations(
            accounts: list[dict[str, Any]], answers: list[dict[str, Any]], params: Any = None
        ) -> list[dict[str, str]]:
            """Return one payload per account whose access is revoked."""
            return [
                {"account_id": account["id"], "application": params["application"]}
                for account, answer in zip(accounts, answers, strict=True)
                if answer["chosen_options"] == ["Revoke"]
            ]

        InvokeOktaFlowBatchOperator(
            task_id="revoke_access",
            flow="revoke_access",
            payloads=revocations(accounts, answers.output),
            # A retry recognizes each account by its id.
            item_key="account_id",
            result="revoked",
        )
