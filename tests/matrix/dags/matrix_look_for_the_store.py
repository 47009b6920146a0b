"""A DAG whose task tells whether it has the store in which an invocation is stored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator


class Look(InvokeOktaFlowOperator):
    """Look into the context that Airflow gives, and invoke nothing."""

    def execute(self, context: Any) -> None:
        """Write down whether the store is there."""
        Path(os.environ["MATRIX_FOUND"]).write_text(str(context.get("task_state_store") is not None))


with DAG("matrix_look_for_the_store", schedule=None) as dag:
    Look(task_id="look", flow="none")
