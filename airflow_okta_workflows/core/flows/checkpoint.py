"""What a task notes of its invocation, so that a retry after a crash knows whether the flow may have run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.protocol import Headers, Stage

LARGEST_BODY = 32_768
"""Bytes of JSON; a larger answer is noted without its body."""


class NoteState(Enum):
    """Say how far an invocation had got when it was noted."""

    SENDING = "sending"
    """It was about to be sent; whether it was, and what came of it, is not known."""
    NOT_RUN = "not_run"
    """It was not sent, or refused before the flow ran."""
    ANSWERED = "answered"
    """The flow ran and answered; the answer is noted."""
    FAILED = "failed"
    """The flow ran and failed, or its answer did not satisfy: a retry may ask for another run."""
    UNREADABLE = "unreadable"
    """Something is noted that this version of the provider cannot read: the flow may have run. Never written."""


STATE_OF_STAGE = {Stage.SENDING: NoteState.SENDING, Stage.NOT_RUN: NoteState.NOT_RUN}


@dataclass(frozen=True)
class InvocationNote:
    """What is known of one wanted run.

    :param run: the wanted run; None if it cannot be read
    :param state: how far it had got
    :param response: the response, where it is noted
    :param omitted: the bytes of the body if it was too large to note, otherwise 0
    """

    run: WantedRun | None
    state: NoteState
    response: FlowResponse | None = None
    omitted: int = 0

    @classmethod
    def of_answer(cls, run: WantedRun, response: FlowResponse, state: NoteState) -> InvocationNote:
        """Return the note of a response, without its body if that is too large.

        :param run: the wanted run
        :param response: the response
        :param state: ``ANSWERED`` or ``FAILED``
        """
        size = len(json.dumps(response.body).encode())
        body, omitted = (response.body, 0) if size <= LARGEST_BODY else (None, size)
        kept = FlowResponse(response.status_code, Headers(), body, response.execution_id, response.elapsed)
        return cls(run, state, kept, omitted)

    def to_json(self) -> dict[str, Any]:
        """Return the note as a JSON object."""
        note: dict[str, Any] = {**(self.run.to_json() if self.run else {}), "state": self.state.value}
        if self.response:
            note.update(self.response.to_json())
        if self.omitted:
            note["body_omitted_bytes"] = self.omitted
        return note

    @classmethod
    def from_json(cls, value: Any) -> InvocationNote:
        """Return the note that a JSON value describes; whatever it is, there was a try that noted something.

        :param value: what the store has; not None
        """
        run = WantedRun.from_json(value) if isinstance(value, dict) else None
        if run is None:
            return cls(None, NoteState.UNREADABLE)
        try:
            state = NoteState(value.get("state"))
        except ValueError:
            state = NoteState.UNREADABLE
        omitted = value.get("body_omitted_bytes")
        return cls(run, state, FlowResponse.from_json(value), omitted if isinstance(omitted, int) else 0)
