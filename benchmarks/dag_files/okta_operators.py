"""A DAG file with our operators and sensor."""

from airflow.sdk import dag, task

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor


@dag
def okta_operators() -> None:
    """Start something, wait for it, and invoke a batch."""

    @task
    def first() -> None:
        """Do nothing."""

    start = InvokeOktaFlowOperator(task_id="start", flow="start")
    wait = OktaFlowSensor(task_id="wait", flow="status")
    first() >> start >> wait >> InvokeOktaFlowBatchOperator(task_id="many", flow="many", payloads=[{"n": 1}])


okta_operators()
