"""An Airflow in processes of its own: what they are told, and flows that keep a sensor of theirs waiting."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_okta_workflows.emulator.sample_flows import sample_flows


def own_environment(home: Path, **settings: str) -> dict[str, str]:
    """Return the variables of processes with an Airflow home, and with none of Airflow's of this process.

    :param home: the home
    :param settings: further variables
    """
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **settings,
    }


IN_ONE_PROCESS = {"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "0"}
"""For DAGs that one process runs: no task comes back from a triggerer there before its worker has let go of it."""


def flows_that_keep_a_sensor_waiting() -> dict[str, Callable[..., Any]]:
    """Return the sample flows, whose time passes with each look at it.

    So provisioning is not done at the first look, however long the machine takes, and is done soon after.
    """
    looks = itertools.count()
    return sample_flows(provisioning_seconds=1.5, clock=lambda: next(looks))
