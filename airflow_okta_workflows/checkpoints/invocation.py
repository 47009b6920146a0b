"""The checkpoint of one invocation in Airflow's task state store (Airflow 3.3+), which outlives a killed task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.wanted_run import new_wanted_run
from airflow_okta_workflows.core.flows.checkpoint import InvocationCheckpoint
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.exceptions import (
    OktaFlowError,
    OktaFlowOutcomeUnknownError,
    OktaFlowResponseError,
    OktaWorkflowsError,
    outcome_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
    from airflow_okta_workflows.core.flows.response import FlowResponse


log = logging.getLogger(__name__)

_NAME = "okta_workflows_invocation"

LOOK_IT_UP = (
    "Look it up in the flow's execution history before you clear the task. To run the flow again, clear the task."
)
FORGET_IT = (
    "To have the note forgotten, delete the entries that begin with okta_workflows_ in the task's Task State Store tab,"
    " and clear the task."
)


class InvocationCheckpointStore:
    """The checkpoint of one task instance's invocation, as earlier tries left it and as this one writes it.

    Without a store, as on Airflow before 3.3, nothing is noted and nothing is found.

    :param context: the task's context
    :param flow: the flow as the task names it
    """

    def __init__(self, context: Mapping[str, Any], flow: str) -> None:
        self._store: Any = context.get("task_state_store")
        self._flow = flow
        self._noted: InvocationState | None = None
        new = new_wanted_run(context)
        self._earlier = self._read(new)
        earlier = self._earlier.run if self._earlier else None
        self.run: WantedRun = earlier or new
        """The wanted run that this try is about."""
        if earlier and self._earlier and self._earlier.state is InvocationState.FAILED:
            self.run, self._earlier = earlier.after_failure(), None

    @property
    def key(self) -> str:
        """The idempotency key of the wanted run."""
        return self.run.key

    def earlier_response(self, *, idempotent: bool) -> FlowResponse | None:
        """Return the response that an earlier try got; None if this one may send.

        :param idempotent: whether the flow may run twice under one key
        :raises OktaFlowOutcomeUnknownError: if an earlier try was cut off and the flow may have run
        :raises OktaFlowResponseError: if it responded, and the response was too large to note
        """
        note = self._earlier
        if note is None or note.state is InvocationState.NOT_RUN:
            return None
        self._require_readable()
        if note.state is InvocationState.SENDING:
            self._judge_a_crash(idempotent=idempotent)
            return None
        if note.omitted or note.response is None:
            raise OktaFlowResponseError(
                f"Flow {self._flow!r} was invoked and answered in an earlier try, which was then cut off. Its answer of"
                f" {note.omitted} bytes was too large to be noted, so it cannot be returned now (idempotency key"
                f" {self.key}). {LOOK_IT_UP}",
                hint=LOOK_IT_UP,
                flow=self._flow,
                idempotency_key=self.key,
                response=note.response,
            )
        log.info(
            "Flow %r was answered in an earlier try, which was then cut off: that answer is returned, and nothing is"
            " sent (idempotency key %s)",
            self._flow,
            self.key,
        )
        return note.response

    def reached(self, state: InvocationState) -> None:
        """Checkpoint how far the invocation is; what cannot be noted is not sent.

        :param state: how far it is
        """
        self._write(InvocationCheckpoint(self.run, state))

    def announce(self) -> None:
        """Checkpoint the wanted run, so that later tries of the task have its key.

        :raises OktaFlowOutcomeUnknownError: if something is noted that cannot be read
        """
        self._require_readable()
        if self._earlier is None:
            self._write(InvocationCheckpoint(self.run, InvocationState.NOT_RUN))

    def responded(self, response: FlowResponse) -> None:
        """Checkpoint the response.

        :param response: the response
        """
        note = InvocationCheckpoint.of_response(self.run, response, InvocationState.RESPONDED)
        if note.omitted and self._store is not None:
            log.warning(
                "The answer of flow %r has %d bytes and is noted without its body: should this task be cut off now, a"
                " retry can tell that the flow has run, and not what it answered",
                self._flow,
                note.omitted,
            )
        self._write_after(note)

    def ended(self, error: OktaWorkflowsError) -> None:
        """Checkpoint what an error says of the flow: whether it ran, and whether a retry may run it again.

        :param error: what the invocation ended with
        """
        outcome = outcome_of(error)
        if outcome is Outcome.FAILED:
            response = error.response if isinstance(error, OktaFlowError) else None
            self._write_after(InvocationCheckpoint(self.run, InvocationState.FAILED, response))
        elif isinstance(error, OktaFlowResponseError):
            self._write_after(InvocationCheckpoint(self.run, InvocationState.RESPONDED))
        elif outcome is Outcome.NOT_SENT:
            self._write_after(InvocationCheckpoint(self.run, InvocationState.NOT_RUN))

    def _read(self, new: WantedRun) -> InvocationCheckpoint | None:
        """Return what earlier tries noted; None if there is nothing, or the task was cleared since."""
        value = self._store.get(_NAME) if self._store is not None else None
        if value is None:
            return None
        note = InvocationCheckpoint.from_json(value)
        cleared = note.run is not None and note.run.max_tries != new.max_tries
        return None if cleared else note

    def _require_readable(self) -> None:
        if self._earlier is None or self._earlier.state is not InvocationState.UNREADABLE:
            return
        raise OktaFlowOutcomeUnknownError(
            f"What an earlier try of this task noted of flow {self._flow!r} cannot be read by this version of the"
            f" provider: the flow may have run. Look it up in the flow's execution history. {FORGET_IT}",
            hint=FORGET_IT,
            flow=self._flow,
            idempotency_key=self._earlier.run.key if self._earlier.run else None,
        )

    def _judge_a_crash(self, *, idempotent: bool) -> None:
        if idempotent:
            log.warning(
                "An earlier try was cut off while it invoked flow %r, which may have run. It is declared idempotent, so"
                " it is invoked again under the same key (%s)",
                self._flow,
                self.key,
            )
            return
        raise OktaFlowOutcomeUnknownError(
            f"An earlier try of this task was cut off while it invoked flow {self._flow!r}, and the outcome is unknown"
            f" (idempotency key {self.key}). The flow may have run, so it is not invoked again. {LOOK_IT_UP} If running"
            " it twice does no harm, declare it so: idempotent=True.",
            hint=LOOK_IT_UP,
            flow=self._flow,
            idempotency_key=self.key,
        )

    def _write(self, note: InvocationCheckpoint) -> None:
        if self._store is not None and note.state is not self._noted:
            self._store.set(_NAME, note.to_json())
            self._noted = note.state

    def _write_after(self, note: InvocationCheckpoint) -> None:
        """Checkpoint what is over; the task goes on if that fails, since it knows the outcome itself."""
        try:
            self._noted = None
            self._write(note)
        except Exception:
            log.warning("What flow %r came to could not be noted", self._flow, exc_info=True)


def checkpointed_key(context: Mapping[str, Any]) -> str:
    """Return the idempotency key that an operator would use in this task, and note it for later tries.

    :param context: the task's context
    :raises OktaFlowOutcomeUnknownError: if something is noted that cannot be read
    """
    checkpoints = InvocationCheckpointStore(context, "of this task")
    checkpoints.announce()
    return checkpoints.key
