"""What importing the modules of a DAG file brings along: Airflow parses them again and again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.airflow_features import IMPORTS_OF_A_DAG_FILE


@pytest.mark.parametrize("module", ["decorators", "notifications", "operators", "sensors", "triggers"])
def test_a_dag_file_imports_no_http_client_and_no_cryptography(module: str) -> None:
    code = (
        f"import sys; {IMPORTS_OF_A_DAG_FILE}; import airflow.triggers.base;"
        "from airflow.providers.common.compat.sdk import BaseNotifier;"
        "before = set(sys.modules);"
        f"import airflow_okta_workflows.{module}.okta_workflows;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)

    brought = done.stdout.splitlines()[-1].split()  # Airflow may log to stdout before
    assert f"airflow_okta_workflows.{module}.okta_workflows" in brought
    assert [name for name in brought if not name.startswith("airflow_okta_workflows")] == []
    assert not {"hooks", "client", "transport"} & {name.split(".")[1] for name in brought if "." in name}
