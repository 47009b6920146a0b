"""What works of this provider on this Python's Airflow: ``python -m tests.matrix.probe`` prints it as JSON.

It needs a database (``airflow db migrate``). Each finding comes from Airflow itself: a form that it serves, a command
that it runs, a task that it executes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

SCRIPTS = Path(sys.executable).parent


def form() -> dict[str, Any]:
    """Return what Airflow's form shows for this connection type: our fields, and our labels of Airflow's own fields.

    Airflow 2 builds the form in its web server, from the widgets of its providers manager; Airflow 3 serves it.
    """
    try:
        service = import_module("airflow.api_fastapi.core_api.services.ui.connections").HookMetaService
    except ImportError:
        from airflow.providers_manager import ProvidersManager

        manager: Any = ProvidersManager()  # type: ignore[no-untyped-call]  # Airflow leaves it untyped
        ours = [name for name in manager.connection_form_widgets if name.startswith("extra__okta_workflows__")]
        return {
            "fields": [name.removeprefix("extra__okta_workflows__") for name in ours],
            "relabeled": dict(manager.field_behaviours["okta_workflows"]["relabeling"]),
        }
    (found,) = [hook for hook in service.hook_meta_data() if hook.connection_type == "okta_workflows"]
    standard = found.standard_fields.model_dump() if found.standard_fields else {}
    titles = {name: field["title"] for name, field in standard.items() if field and field.get("title")}
    return {
        "fields": list(found.extra_fields or {}),
        "relabeled": {("host" if name == "url_schema" else name): title for name, title in titles.items()},
    }


def works(*command: str) -> bool:
    """Return whether a command succeeds."""
    done = subprocess.run([SCRIPTS / command[0], *command[1:]], capture_output=True, check=False, timeout=110)
    return done.returncode == 0


def retry_policy() -> bool:
    """Return whether Airflow keeps our retry policy with a task of a DAG."""
    from airflow.providers.common.compat.sdk import DAG

    from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator

    try:
        policy = import_module("airflow_okta_workflows.retry_policy").OktaFlowRetryPolicy()
    except ImportError:
        return False
    with DAG("retries", schedule=None):
        task = InvokeOktaFlowOperator(task_id="task", flow="x", retry_policy=policy)
    return getattr(task, "retry_policy", None) is policy


def extra_link() -> bool:
    """Return whether Airflow keeps the extra link with a serialized DAG, from which its pages are made."""
    from airflow.providers.common.compat.sdk import DAG

    from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator
    from tests.airflow_features import kept_by_airflow

    with DAG("linked", schedule=None) as dag:
        InvokeOktaFlowOperator(task_id="task", flow="x")
    return "Okta Workflows console" in kept_by_airflow(dag).get_task("task").extra_links


def crash_safe_invocation() -> bool:
    """Return whether a task that Airflow executes finds the store for the checkpoints of an invocation."""
    with tempfile.TemporaryDirectory() as directory:
        found = Path(directory) / "found"
        environment = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags")}
        subprocess.run(
            [sys.executable, "-m", "demo.run_dags", "matrix_look_for_the_store"],
            env={**environment, "MATRIX_FOUND": str(found)},
            capture_output=True,
            check=True,
            timeout=110,
        )
        return found.read_text() == "True"


def findings() -> dict[str, Any]:
    """Return all findings by name, as :mod:`tests.matrix.page` reads them."""
    return {
        "airflow": importlib.metadata.version("apache-airflow"),
        "python": platform.python_version(),
        "form": form(),
        "okta_workflows": works("okta-workflows", "check", "--help"),
        "airflow_okta_workflows": works("airflow", "okta-workflows", "check", "--help"),
        "crash_safe_invocation": crash_safe_invocation(),
        "retry_policy": retry_policy(),
        "extra_link": extra_link(),
    }


def printed_json(printed: str) -> Any:
    """Parse the last line that is a JSON object; Airflow may log to stdout before and after it."""
    return json.loads(next(line for line in reversed(printed.splitlines()) if line.startswith('{"')))


if __name__ == "__main__":
    print("\n" + json.dumps(findings()))
