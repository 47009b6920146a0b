"""Airflow in separate processes: their environment, and flows that keep a task waiting."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_okta_workflows.emulator.sample_flows import sample_flows

ROOT = Path(__file__).parents[1]


def own_environment(home: Path, **settings: str) -> dict[str, str]:
    """Return environment variables with an Airflow home, and without the Airflow variables of this process.

    :param home: the home
    :param settings: further variables
    """
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **settings,
    }


def run_python(environment: dict[str, str], *arguments: str) -> str:
    """Run Python in the repository's folder, and return its output.

    :param environment: its environment
    :param arguments: its arguments
    :raises AssertionError: if it fails; the message has the end of its output
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-5000:]
    return output


IN_ONE_PROCESS = {"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "0"}
"""For DAGs that run in one process, in which no task can return from a triggerer before its worker has released it."""


def flows_that_keep_a_task_waiting() -> dict[str, Callable[..., Any]]:
    """Return the sample flows with a clock that advances by a second at each reading.

    So provisioning is never done at the first poll, however slow the machine is, and is done soon after.
    """
    looks = itertools.count()
    return sample_flows(provisioning_seconds=1.5, clock=lambda: next(looks))
