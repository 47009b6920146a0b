"""Deferred sensors that wait for a flow that never reports an end."""

from airflow.providers.common.compat.sdk import DAG

from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor

with DAG("waiting_sensors", schedule=None, max_active_tasks=12) as dag:
    OktaFlowSensor.partial(task_id="wait", flow="waiting", poke_interval=60, timeout=3600, deferrable=True).expand(
        payload=[{"number": number} for number in range(100)]
    )
