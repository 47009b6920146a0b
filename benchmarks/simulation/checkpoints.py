"""Data that one invocation and one wait store in Airflow's metadata database."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.http.types import Headers
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
from benchmarks.simulation.comparison import Row, about, exactly
from benchmarks.simulation.counting_store import CountingStore

if TYPE_CHECKING:
    from benchmarks.simulation.comparison import Formulas

UUID = "b1946ac9-2fa6-4f5c-9c1b-6a7b8c9d0e1f"
BODY = {"user": {"id": UUID, "status": "ACTIVE", "groups": ["everyone", "engineering", "on-call"]}}


def rows(formulas: Formulas) -> list[Row]:
    """Compare the page's formulas for the database with what is written into it.

    :param formulas: the page's formulas
    """
    store = CountingStore()
    task = SimpleNamespace(max_tries=3)
    checkpoints = InvocationCheckpointStore({"task_state_store": store, "ti": task}, "onboard")
    checkpoints.earlier_response(idempotent=False)
    checkpoints.reached(InvocationState.SENDING)
    checkpoints.responded(FlowResponse(200, Headers(), BODY, UUID, 1.234567))
    payload = json.dumps({"job": UUID})
    trigger = OktaFlowStatusTrigger(
        flow="status", payload=payload, deadline=1.8e9, not_before=1.8e9, failure_when="status == 'FAILED'"
    )
    arguments = trigger.serialize()[1]
    return [
        exactly(
            "one invocation: reads and writes of its checkpoint", formulas["CHECKPOINT_CALLS"], store.gets + store.sets
        ),
        about(
            "one invocation: bytes of its checkpoint", formulas["checkpoint_bytes"](len(json.dumps(BODY))), store.bytes
        ),
        about(
            "one deferred sensor: bytes of its trigger",
            formulas["trigger_bytes"](len(payload)),
            len(json.dumps(arguments)),
            tolerance=0.1,
        ),
    ]
