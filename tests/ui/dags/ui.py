"""The DAGs of the UI tests: for the connection that is made in the form, for the extra links, and for errors in logs."""

from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor

with DAG("from_form", schedule=None):
    InvokeOktaFlowOperator(
        task_id="hello", flow="hello", payload={"name": "Ada"}, okta_workflows_conn_id="okta_from_form"
    )

with DAG("linked", schedule=None, default_args={"okta_workflows_conn_id": "okta_linked"}):
    InvokeOktaFlowOperator(task_id="hello", flow="hello", payload={"name": "Ada"})
    InvokeOktaFlowOperator(task_id="broken", flow="broken")
    OktaFlowSensor(task_id="status", flow="status")


class TalkativeSensor(OktaFlowSensor):
    """Sensor with a log that is longer than the page."""

    def execute(self, context: Any) -> Any:
        for line in range(200):
            self.log.info("Line %s", line)
        return super().execute(context)


with DAG("misnamed", schedule=None, default_args={"okta_workflows_conn_id": "okta_linked"}):
    InvokeOktaFlowOperator(task_id="operator", flow="nobody")
    InvokeOktaFlowBatchOperator(task_id="batch", flow="nobody", payloads=[{"n": 1}, {"n": 2}])
    OktaFlowSensor(task_id="sensor", flow="nobody")
    TalkativeSensor(task_id="talkative_sensor", flow="nobody")

with DAG("asks", schedule=None, default_args={"okta_workflows_conn_id": "okta_linked", "on_unknown": "ask"}):
    InvokeOktaFlowOperator(task_id="one", flow="loses_one")
    InvokeOktaFlowBatchOperator(
        task_id="many", flow="loses_two", payloads=[{"n": n} for n in range(3)], max_in_flight=1
    )
