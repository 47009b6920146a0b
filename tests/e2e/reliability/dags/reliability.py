"""The DAGs of the end-to-end tests: tasks that get killed, sensors that wait, many tasks at once."""

import os
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath
from held_tasks import tell_pid

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor

KILLED = 20
SENSORS = 50
MANY = 200
BATCH = 150
DEFERRED = 20

for dag_id, idempotent in (("killed", False), ("killed_idempotent", True)):
    with DAG(dag_id, schedule=None):
        InvokeOktaFlowOperator.partial(
            task_id=dag_id,
            flow="slow",
            idempotent=idempotent,
            retries=2,
            retry_delay=timedelta(seconds=1),
            pre_execute=tell_pid,
        ).expand(payload=[{"n": n, "dag": dag_id} for n in range(KILLED)])

with DAG("cleared", schedule=None):
    InvokeOktaFlowOperator(
        task_id="cleared", flow="second_try", payload={}, retries=3, retry_delay=timedelta(seconds=1)
    )

with DAG("sensors", schedule=None):
    OktaFlowSensor.partial(
        task_id="wait", flow="status", poke_interval=5, timeout=240, deferrable=True, result="n"
    ).expand(payload=[{"n": n} for n in range(SENSORS)])

with DAG("batch", schedule=None):
    InvokeOktaFlowBatchOperator(
        task_id="batch",
        flow="slow",
        payloads=[{"n": n, "dag": "batch"} for n in range(BATCH)],
        result="n",
        on_error="collect",
        retries=2,
        retry_delay=timedelta(seconds=1),
        pre_execute=tell_pid,
    )

with DAG("files", schedule=None):
    InvokeOktaFlowBatchOperator(
        task_id="files",
        flow="quick",
        payloads=ObjectStoragePath(f"file://{os.environ['E2E_PIDS']}/leavers.csv"),
        item_key="n",
        records_path=f"file://{os.environ['E2E_PIDS']}/records.jsonl",
        result="n",
        on_error="collect",
        retries=2,
        retry_delay=timedelta(seconds=1),
        pre_execute=tell_pid,
    )

with DAG("deferred", schedule=None):
    InvokeOktaFlowOperator.partial(task_id="deferred", flow="slow", idempotent=True, deferrable=True).expand(
        payload=[{"n": n, "dag": "deferred"} for n in range(DEFERRED)]
    )

with DAG("many", schedule=None):
    InvokeOktaFlowOperator.partial(task_id="many", flow="quick").expand(payload=[{"n": n} for n in range(MANY)])
