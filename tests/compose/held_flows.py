"""The sample flows, held until a test lets them end; the strict org loads this file.

Provisioning is ``RUNNING`` until then. One person's account and the provisioning of another's get no response until
then, so that a test can kill their tasks in the middle of an invocation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_okta_workflows.emulator import FlowRequest, flow
from airflow_okta_workflows.emulator.sample_flows import sample_flows

FLOWS_MAY_END = Path("/tmp/flows-may-end")
"""File in the org's container; all flows end as soon as it exists."""
WITHOUT_RESPONSE = {"provision": "barbara@example.com", "create_account": "grace@example.com"}
"""The person for whom a flow takes effect and does not respond."""

_emails: dict[str, str] = {}


def _with_a_hold(name: str, sample: Callable[[FlowRequest], Any]) -> Callable[[FlowRequest], Any]:
    @flow(name)
    def run(request: FlowRequest) -> Any:
        returned = sample(request)
        if name == "create_account":
            _emails[returned["account"]["id"]] = returned["account"]["email"]
        if name in WITHOUT_RESPONSE and _email(request.body) == WITHOUT_RESPONSE[name]:
            # The org itself cuts the connection after 60 seconds.
            while not FLOWS_MAY_END.exists():
                time.sleep(0.1)
        # A run that failed or is not there stays what it is.
        held = name == "provision_status" and not FLOWS_MAY_END.exists()
        if held and isinstance(returned, dict) and returned["status"] == "SUCCEEDED":
            return {**returned, "status": "RUNNING", "result": None}
        return returned

    return run


def _email(fields: dict[str, str]) -> str:
    return fields.get("email") or _emails[fields["account_id"]]


globals().update(
    {name: _with_a_hold(name, sample) for name, sample in sample_flows(provisioning_seconds=0).items()},
)
