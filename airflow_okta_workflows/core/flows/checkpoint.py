"""The checkpoint of one invocation, which tells a retry after a crash whether the flow may have run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.http.types import Headers
from airflow_okta_workflows.core.protocol import InvocationState

LARGEST_BODY = 32_768
"""Bytes of JSON; the checkpoint of a larger response omits the body."""


@dataclass(frozen=True)
class InvocationCheckpoint:
    """The known state of one wanted run.

    :param run: the wanted run; None if it cannot be read
    :param state: how far the invocation got
    :param response: the response, if the checkpoint contains it
    :param omitted: size of an omitted body in bytes, otherwise 0
    :param execution_id: the execution id of a run without a response so far, or None
    :param sent_at: when the invocation was sent, as text for people; None if that is not known
    :param settled: whether the response is that of a run whose end was waited for
    """

    run: WantedRun | None
    state: InvocationState
    response: FlowResponse | None = None
    omitted: int = 0
    execution_id: str | None = None
    sent_at: str | None = None
    settled: bool = False

    @classmethod
    def of_response(
        cls, run: WantedRun, response: FlowResponse, state: InvocationState, *, settled: bool = False
    ) -> InvocationCheckpoint:
        """Return the checkpoint of a response, without a body larger than :data:`LARGEST_BODY`.

        :param run: the wanted run
        :param response: the response
        :param state: ``RESPONDED`` or ``FAILED``
        :param settled: whether the end of the run was waited for
        """
        size = len(json.dumps(response.body).encode())
        body, omitted = (response.body, 0) if size <= LARGEST_BODY else (None, size)
        kept = FlowResponse(response.status_code, Headers(), body, response.execution_id, response.elapsed)
        return cls(run, state, kept, omitted, settled=settled)

    def to_json(self) -> dict[str, Any]:
        """Return the checkpoint as a JSON object."""
        checkpoint: dict[str, Any] = {**(self.run.to_json() if self.run else {}), "state": self.state.value}
        if self.execution_id:
            checkpoint["execution_id"] = self.execution_id
        if self.sent_at:
            checkpoint["sent_at"] = self.sent_at
        if self.response:
            checkpoint.update(self.response.to_json())
        if self.settled:
            checkpoint["settled"] = True
        if self.omitted:
            checkpoint["body_omitted_bytes"] = self.omitted
        return checkpoint

    @classmethod
    def from_json(cls, value: Any) -> InvocationCheckpoint:
        """Return the checkpoint that a JSON value describes, in state ``UNREADABLE`` if it cannot be parsed.

        An unreadable value still proves that an earlier try wrote a checkpoint.

        :param value: the stored value, not None
        """
        run = WantedRun.from_json(value) if isinstance(value, dict) else None
        if run is None:
            return cls(None, InvocationState.UNREADABLE)
        try:
            state = InvocationState(value.get("state"))
        except ValueError:
            state = InvocationState.UNREADABLE
        omitted = value.get("body_omitted_bytes")
        execution_id, sent_at = value.get("execution_id"), value.get("sent_at")
        return cls(
            run,
            state,
            FlowResponse.from_json(value),
            omitted if isinstance(omitted, int) else 0,
            execution_id if isinstance(execution_id, str) else None,
            sent_at if isinstance(sent_at, str) else None,
            value.get("settled") is True,
        )
