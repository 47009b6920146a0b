"""The notes of an invocation in Airflow's task state store (Airflow 3.3+), which outlive a killed task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.invocation_note import STATE_OF_STAGE, InvocationNote, NoteState
from airflow_okta_workflows.core.outcomes import Outcome
from airflow_okta_workflows.exceptions import (
    OktaFlowAnswerError,
    OktaFlowError,
    OktaFlowOutcomeUnknownError,
    OktaWorkflowsError,
    outcome_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.core.answers import FlowResponse
    from airflow_okta_workflows.core.exchange import Stage

log = logging.getLogger(__name__)

_NAME = "okta_workflows_invocation"


class InvocationJournal:
    """Keep the note of one task instance's invocation.

    Without a store, as on Airflow before 3.3, nothing is noted and nothing is found.

    :param context: the task's context
    :param invocation_key: the idempotency key of the invocation
    :param flow: the flow as the task names it
    """

    def __init__(self, context: Mapping[str, Any], invocation_key: str, flow: str) -> None:
        self._store: Any = context.get("task_state_store")
        self._key = invocation_key
        self._flow = flow
        self._noted: NoteState | None = None

    def earlier_answer(self, *, idempotent: bool) -> FlowResponse | None:
        """Return the answer that an earlier try got; None if this one may send.

        :param idempotent: whether the flow may run twice under one key
        :raises OktaFlowOutcomeUnknownError: if an earlier try was cut off and the flow may have run
        :raises OktaFlowAnswerError: if it was answered, and the answer was too large to note
        """
        if self._store is None:
            return None
        note = InvocationNote.from_json(self._store.get(_NAME), self._key)
        if note is None or note.state in (NoteState.NOT_RUN, NoteState.FAILED):
            return None
        if note.state is NoteState.SENDING:
            self._judge_a_crash(idempotent=idempotent)
            return None
        if note.omitted or note.response is None:
            raise OktaFlowAnswerError(
                f"Flow {self._flow!r} was invoked and answered in an earlier try, which was then cut off. Its answer of"
                f" {note.omitted} bytes was too large to be noted, so it cannot be returned now (invocation key"
                f" {self._key}). Look it up in the flow's execution history; to run the flow again, clear the task.",
                hint="Look it up in the flow's execution history; to run the flow again, clear the task.",
                flow=self._flow,
                invocation_key=self._key,
                response=note.response,
            )
        log.info(
            "Flow %r was answered in an earlier try, which was then cut off: that answer is returned, and nothing is"
            " sent (invocation key %s)",
            self._flow,
            self._key,
        )
        return note.response

    def stage(self, stage: Stage) -> None:
        """Note how far the invocation is; what cannot be noted is not sent.

        :param stage: how far it is
        """
        self._write(InvocationNote(self._key, STATE_OF_STAGE[stage]))

    def answered(self, response: FlowResponse) -> None:
        """Note the answer.

        :param response: the answer
        """
        note = InvocationNote.of_answer(self._key, response, NoteState.ANSWERED)
        if note.omitted and self._store is not None:
            log.warning(
                "The answer of flow %r has %d bytes and is noted without its body: should this task be cut off now, a"
                " retry can tell that the flow has run, and not what it answered",
                self._flow,
                note.omitted,
            )
        self._write_after(note)

    def ended(self, error: OktaWorkflowsError) -> None:
        """Note what an error says of the flow: whether it ran, and whether a retry may run it again.

        :param error: what the invocation ended with
        """
        outcome = outcome_of(error)
        if outcome is Outcome.FAILED:
            response = error.response if isinstance(error, OktaFlowError) else None
            self._write_after(InvocationNote(self._key, NoteState.FAILED, response))
        elif isinstance(error, OktaFlowAnswerError):
            self._write_after(InvocationNote(self._key, NoteState.ANSWERED))
        elif outcome is Outcome.NOT_SENT:
            self._write_after(InvocationNote(self._key, NoteState.NOT_RUN))

    def _judge_a_crash(self, *, idempotent: bool) -> None:
        if idempotent:
            log.warning(
                "An earlier try was cut off while it invoked flow %r, which may have run. It is declared idempotent, so"
                " it is invoked again under the same key (%s)",
                self._flow,
                self._key,
            )
            return
        raise OktaFlowOutcomeUnknownError(
            f"An earlier try of this task was cut off while it invoked flow {self._flow!r}, and the outcome is unknown"
            f" (invocation key {self._key}). The flow may have run, so it is not invoked again. Look it up in the"
            " flow's execution history before you clear the task. If running it twice does no harm, declare it so:"
            " idempotent=True.",
            hint="Look it up in the flow's execution history before you clear the task.",
            flow=self._flow,
            invocation_key=self._key,
        )

    def _write(self, note: InvocationNote) -> None:
        if self._store is not None and note.state is not self._noted:
            self._store.set(_NAME, note.to_json())
            self._noted = note.state

    def _write_after(self, note: InvocationNote) -> None:
        """Note what is over; the task goes on if that fails, since it knows the outcome itself."""
        try:
            self._noted = None
            self._write(note)
        except Exception:
            log.warning("What flow %r came to could not be noted", self._flow, exc_info=True)
