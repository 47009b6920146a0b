"""One task for each proxy between this worker and the flow, and the same from the triggerer."""

import os
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator

with DAG("proxies", schedule=None):
    for proxy in os.environ["E2E_PROXIES"].split():
        for deferrable in (False, True):
            InvokeOktaFlowOperator(
                task_id=f"{proxy}_deferred" if deferrable else proxy,
                okta_workflows_conn_id=f"okta_{proxy}",
                flow="quick",
                payload={"proxy": proxy, "deferred": deferrable},
                deferrable=deferrable,
                idempotent=deferrable,
                retries=1,
                retry_delay=timedelta(seconds=0),
            )
