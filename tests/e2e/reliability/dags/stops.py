"""DAGs whose tasks are stopped, cleared or timed out while they wait or while their flow runs."""

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task
from held_tasks import tell_pid

from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator

USUAL: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=1), "pre_execute": tell_pid}

with DAG("marked_failed", schedule=None, default_args=USUAL):
    InvokeOktaFlowOperator(task_id="single", flow="limited", payload={"dag": "marked_failed", "task": "single", "n": 0})
    InvokeOktaFlowBatchOperator(
        task_id="batch",
        flow="limited_batch",
        payloads=[{"dag": "marked_failed", "task": "batch", "n": n} for n in range(3)],
    )

    @task
    def own() -> Any:
        return OktaWorkflowsHook().invoke("limited_own", {"dag": "marked_failed", "task": "own", "n": 0}).body

    own()

with DAG("cleared_while_its_flow_runs", schedule=None, default_args=USUAL):
    InvokeOktaFlowOperator(
        task_id="in_its_flow", flow="held", payload={"dag": "cleared_while_its_flow_runs", "n": 0, "hold": "flow"}
    )

with DAG("cleared_in_a_wait", schedule=None, default_args=USUAL):
    InvokeOktaFlowOperator(task_id="in_a_wait", flow="limited_once", payload={"dag": "cleared_in_a_wait", "n": 0})

with DAG("timed_out", schedule=None, default_args={"pre_execute": tell_pid}):
    InvokeOktaFlowOperator(
        task_id="timed_out",
        flow="held",
        payload={"dag": "timed_out", "n": 0, "hold": "flow"},
        execution_timeout=timedelta(seconds=25),
    )

with DAG("made_again", schedule=None, default_args=USUAL):
    InvokeOktaFlowOperator(task_id="made_again", flow="held", payload={"dag": "made_again", "n": 0, "hold": None})
