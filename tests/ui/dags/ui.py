"""The DAGs of the UI tests: one for the connection that is made in the form, one for the extra links."""

from airflow.providers.common.compat.sdk import DAG

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor

with DAG("from_form", schedule=None):
    InvokeOktaFlowOperator(
        task_id="hello", flow="hello", payload={"name": "Ada"}, okta_workflows_conn_id="okta_from_form"
    )

with DAG("linked", schedule=None, default_args={"okta_workflows_conn_id": "okta_linked"}):
    InvokeOktaFlowOperator(task_id="hello", flow="hello", payload={"name": "Ada"})
    InvokeOktaFlowOperator(task_id="broken", flow="broken")
    OktaFlowSensor(task_id="status", flow="status")
