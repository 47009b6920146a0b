"""SIGTERM to a task that this Airflow executes, with the handler that this Airflow has: it ends, and nothing is sent."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airflow_okta_workflows.emulator import LocalOrg, TooManyRequests
from tests.pages import ROOT

_FOREVER = 3000
"""Seconds of a rate limit: whatever ends before has not waited for it."""

_DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG, task
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator

with DAG("stopped", schedule=None) as dag:
    {task}
"""
TASKS = {
    "an operator": 'InvokeOktaFlowOperator(task_id="task", flow="limited", payload={})',
    "a batch": 'InvokeOktaFlowBatchOperator(task_id="task", flow="limited", payloads=[{}])',
    "a hook in a function": 'task(task_id="task")(lambda: OktaWorkflowsHook().invoke("limited", {}).body)()',
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_that_is_told_to_end_sends_nothing_more(airflow: dict[str, str], task: str) -> None:
    dags = Path(airflow["AIRFLOW_HOME"]) / "dags"
    dags.mkdir(exist_ok=True)
    (dags / "stopped.py").write_text(_DAG_FILE.format(task=task))
    with LocalOrg(rate_limit=None) as org:
        org.flow("limited")(lambda request: {})
        org.inject(TooManyRequests(retry_after=_FOREVER), flow="limited", times=100)
        command = [sys.executable, "-W", "ignore", "-m", "demo.run_dags", "stopped"]
        environment = {
            **airflow,
            **org.environment(rate_limit_wait=3600),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            while not org.requests("limited") and process.poll() is None:
                threading.Event().wait(0.05)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=120)

        assert process.returncode == 1, output[-5000:]
        assert len(org.requests("limited")) == 1
        assert org.flows["limited"].runs == []
