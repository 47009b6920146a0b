"""The sample flows, except that provisioning runs until a test lets it end; the strict org loads this file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_okta_workflows.emulator import FlowRequest, flow
from airflow_okta_workflows.emulator.sample_flows import sample_flows

PROVISIONING_MAY_END = Path("/tmp/provisioning-may-end")
"""File in the org's container; provisioning has ended as soon as it exists."""


def _with_a_hold(name: str, sample: Callable[[FlowRequest], Any]) -> Callable[[FlowRequest], Any]:
    @flow(name)
    def run(request: FlowRequest) -> Any:
        returned = sample(request)
        held = name in ("provisioning_status", "provision_status") and not PROVISIONING_MAY_END.exists()
        # A run that failed or is not there stays what it is.
        if held and isinstance(returned, dict) and returned["status"] == "SUCCEEDED":
            return {**returned, "status": "RUNNING", "result": None}
        return returned

    return run


globals().update(
    {name: _with_a_hold(name, sample) for name, sample in sample_flows(provisioning_seconds=0).items()},
)
