"""What a task notes of its invocation, so that a retry after a crash knows whether the flow may have run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_okta_workflows.core.answers import FlowResponse
from airflow_okta_workflows.core.exchange import Headers, Stage

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


STATE_OF_STAGE = {Stage.SENDING: NoteState.SENDING, Stage.NOT_RUN: NoteState.NOT_RUN}


@dataclass(frozen=True)
class InvocationNote:
    """Hold one note.

    :param invocation_key: the idempotency key it is about; a clearing by hand has another
    :param state: how far it had got
    :param response: the answer, where it is noted
    :param omitted: the bytes of the body if it was too large to note, else 0
    """

    invocation_key: str
    state: NoteState
    response: FlowResponse | None = None
    omitted: int = 0

    @classmethod
    def of_answer(cls, invocation_key: str, response: FlowResponse, state: NoteState) -> InvocationNote:
        """Make the note of an answer, without its body if that is too large.

        :param invocation_key: the idempotency key
        :param response: the answer
        :param state: ``ANSWERED`` or ``FAILED``
        """
        size = len(json.dumps(response.body).encode())
        body, omitted = (response.body, 0) if size <= LARGEST_BODY else (None, size)
        kept = FlowResponse(response.status_code, Headers(), body, response.execution_id, response.elapsed)
        return cls(invocation_key, state, kept, omitted)

    def to_json(self) -> dict[str, Any]:
        """Return the note as a JSON object."""
        note: dict[str, Any] = {"invocation_key": self.invocation_key, "state": self.state.value}
        if self.response:
            note.update(self.response.to_json())
        if self.omitted:
            note["body_omitted_bytes"] = self.omitted
        return note

    @classmethod
    def from_json(cls, value: Any, invocation_key: str) -> InvocationNote | None:
        """Read a note; None if there is none about this invocation, or none that can be read.

        :param value: what the store has
        :param invocation_key: the idempotency key it has to be about
        """
        if not isinstance(value, dict) or value.get("invocation_key") != invocation_key:
            return None
        try:
            state = NoteState(value.get("state"))
        except ValueError:
            # Written by a later version: it says at least that there was a try.
            state = NoteState.SENDING
        omitted = value.get("body_omitted_bytes")
        return cls(invocation_key, state, FlowResponse.from_json(value), omitted if isinstance(omitted, int) else 0)
