"""The checkpoint of one invocation in Airflow's task state store (Airflow 3.3+), which outlives a killed task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.wanted_run import known_without_store, new_wanted_run
from airflow_okta_workflows.core.flows.checkpoint import InvocationCheckpoint
from airflow_okta_workflows.core.flows.exactly_once import Knowledge, KnownRun
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.core.runtime import Runtime, time_text
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import (
    OktaFlowError,
    OktaFlowOutcomeUnknownError,
    OktaFlowResponseError,
    OktaWorkflowsError,
    outcome_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.core.flows.response import FlowResponse


log = logging.getLogger(__name__)

_NAME = "okta_workflows_invocation"

LOOK_IT_UP = "OKW-1602: Look it up in the flow's execution history. To run the flow again, clear the task."
FORGET_IT = (
    "OKW-1601: To forget the checkpoint, delete the entries that begin with okta_workflows_ in the task's Task State"
    " Store tab, and clear the task."
)


class InvocationCheckpointStore:
    """The checkpoint of one task instance's invocation: that of earlier tries, and that which this try writes.

    Without a task state store, as on Airflow before 3.3, there is none and none is written.

    :param context: the task's context
    :param flow: the flow as the task names it; None if the task calls the hook itself
    """

    def __init__(self, context: Mapping[str, Any], flow: str | None) -> None:
        self._store: Any = context.get("task_state_store")
        self._ti = context["ti"]
        self._flow = flow
        self._written: InvocationCheckpoint | None = None
        self.sent_at: str | None = None
        """When the invocation was last sent, in this try or an earlier one; None if that is not known."""
        new = new_wanted_run(context)
        self._earlier = self._read(new)
        earlier = self._earlier.run if self._earlier else None
        self.run: WantedRun = earlier or new
        """The wanted run of this try."""
        if earlier and self._earlier and self._earlier.state is InvocationState.FAILED:
            self.run, self._earlier = earlier.after_failure(), None
        if self._earlier:
            self.sent_at = self._earlier.sent_at

    @property
    def key(self) -> str:
        """The idempotency key of the wanted run."""
        return self.run.key

    def earlier_response(self, *, idempotent: bool) -> FlowResponse | None:
        """Return the response that an earlier try received; None if this try may send.

        :param idempotent: whether running the flow twice under one key does no harm
        :raises OktaFlowOutcomeUnknownError: if an earlier try was cut off and the flow may have run, or if the
            checkpoint cannot be read
        :raises OktaFlowResponseError: if the flow responded and the checkpoint does not contain the response
        """
        checkpoint = self._earlier
        if checkpoint is None or checkpoint.state is InvocationState.NOT_RUN:
            return None
        self._require_readable()
        if checkpoint.state in (InvocationState.SENDING, InvocationState.STARTED):
            self._judge_a_crash(idempotent=idempotent)
            return None
        if checkpoint.omitted or checkpoint.response is None:
            why = (
                f"its response of {checkpoint.omitted} bytes was too large for a checkpoint"
                if checkpoint.omitted
                else "its response could not be read"
            )
            raise OktaFlowResponseError(
                f"Flow {shown(self._flow)} responded in an earlier try, and {why}.",
                detail=f"Nothing was sent now.\nIdempotency key: {self.key}",
                hint=LOOK_IT_UP,
                flow=self._flow,
                idempotency_key=self.key,
                response=checkpoint.response,
            )
        log.info(
            "Flow %s responded in an earlier try, which was then cut off: that response is returned, and nothing is"
            " sent (idempotency key %s)",
            shown(self._flow),
            self.key,
        )
        return checkpoint.response

    def known_run(self) -> KnownRun:
        """Return what is known about the wanted run when this try starts, for a flow with a status flow.

        :raises OktaFlowOutcomeUnknownError: if there is a checkpoint and its run cannot be read, so that nobody can ask
        """
        if self._store is None:
            return known_without_store(self.run, self._ti)
        checkpoint = self._earlier
        if checkpoint is None or checkpoint.state is InvocationState.NOT_RUN:
            return KnownRun(self.run, Knowledge.NEVER_SENT)
        if checkpoint.run is None:
            self._require_readable()
        if checkpoint.state in (InvocationState.STARTED, InvocationState.RESPONDED):
            response_id = checkpoint.response.execution_id if checkpoint.response else None
            return KnownRun(self.run, Knowledge.EXISTS, execution_id=checkpoint.execution_id or response_id)
        return KnownRun(self.run, Knowledge.MAY_RUN)

    @property
    def is_kept(self) -> bool:
        """Whether checkpoints outlive this try."""
        return self._store is not None

    def settled_response(self) -> FlowResponse | None:
        """Return the last response of a run that an earlier try saw succeed; None if it has to be asked for.

        A deployment may have added the status flow after an earlier try, which then stored the flow's early response.
        """
        checkpoint = self._earlier
        if checkpoint is None or not checkpoint.settled or checkpoint.omitted:
            return None
        return checkpoint.response if checkpoint.state is InvocationState.RESPONDED else None

    def wants(self, run: WantedRun) -> None:
        """Continue with a run.

        :param run: the wanted run
        """
        self.run = run

    def resumes(self, run: Mapping[str, Any] | None) -> None:
        """Continue with the run for which the task was suspended.

        :param run: the wanted run as JSON; if it cannot be read, that of the checkpoint
        """
        self.wants(WantedRun.from_json(run or {}) or self.run)

    def started(self, run: WantedRun, execution_id: str | None) -> None:
        """Checkpoint that the run exists.

        :param run: the run
        :param execution_id: its execution id, or None
        """
        self.run = run
        self._write_after(InvocationCheckpoint(run, InvocationState.STARTED, execution_id=execution_id))

    def reached(self, state: InvocationState) -> None:
        """Checkpoint how far the invocation got. An error of the store propagates, so that nothing is sent.

        Written before each request, also if nothing has changed: Airflow may have given this try up, and only refusing
        a checkpoint shows that.

        :param state: how far it got
        """
        if state is InvocationState.SENDING:
            self.sent_at = time_text(Runtime.clock())
        self._write(InvocationCheckpoint(self.run, state, sent_at=self.sent_at))

    def announce(self) -> None:
        """Checkpoint the wanted run, so that later tries of the task use its key.

        :raises OktaFlowOutcomeUnknownError: if an earlier checkpoint cannot be read
        """
        self._require_readable()
        if self._earlier is None:
            self._write(InvocationCheckpoint(self.run, InvocationState.NOT_RUN))

    def responded(self, response: FlowResponse, *, settled: bool = False) -> None:
        """Checkpoint the response.

        :param response: the response
        :param settled: whether the end of the run was waited for
        """
        checkpoint = InvocationCheckpoint.of_response(self.run, response, InvocationState.RESPONDED, settled=settled)
        if checkpoint.omitted and self._store is not None:
            log.warning(
                "The response of flow %s has %d bytes and is stored without its body: if this task is cut off now,"
                " a retry knows that the flow has run, but not what it returned",
                shown(self._flow),
                checkpoint.omitted,
            )
        self._write_after(checkpoint)

    def ended(self, error: OktaWorkflowsError) -> None:
        """Checkpoint what an error tells a retry: whether the flow ran, and whether it may run again.

        An unknown outcome is not checkpointed: the state remains ``SENDING``.

        :param error: the error that ended the invocation
        """
        outcome = outcome_of(error)
        if outcome is Outcome.FAILED:
            response = error.response if isinstance(error, OktaFlowError) else None
            self._write_after(InvocationCheckpoint(self.run, InvocationState.FAILED, response))
        elif isinstance(error, OktaFlowResponseError):
            self._write_after(InvocationCheckpoint(self.run, InvocationState.RESPONDED))
        elif outcome is Outcome.NOT_SENT and not self._written_as_not_run():
            self._write_after(InvocationCheckpoint(self.run, InvocationState.NOT_RUN))

    def _written_as_not_run(self) -> bool:
        # Not written again: Airflow leaves a task that it stops five seconds, and its API may be slow.
        last = self._written
        return last is not None and last.state is InvocationState.NOT_RUN and last.run == self.run

    def _read(self, new: WantedRun) -> InvocationCheckpoint | None:
        """Return the checkpoint of earlier tries; None if there is none or the task was cleared since."""
        value = self._store.get(_NAME) if self._store is not None else None
        if value is None:
            return None
        checkpoint = InvocationCheckpoint.from_json(value)
        cleared = checkpoint.run is not None and checkpoint.run.max_tries != new.max_tries
        return None if cleared else checkpoint

    def _require_readable(self) -> None:
        if self._earlier is None or self._earlier.state is not InvocationState.UNREADABLE:
            return
        of = f" of flow {shown(self._flow)}" if self._flow else ""
        raise OktaFlowOutcomeUnknownError(
            f"The checkpoint{of} is of another version of this provider and cannot be read.",
            detail="The flow may have run: look it up in its execution history.",
            hint=FORGET_IT,
            flow=self._flow,
            idempotency_key=self._earlier.run.key if self._earlier.run else None,
        )

    def _judge_a_crash(self, *, idempotent: bool) -> None:
        if idempotent:
            log.warning(
                "An earlier try was cut off while it invoked flow %s, which may have run. It is declared idempotent, so"
                " it is invoked again under the same key (%s)",
                shown(self._flow),
                self.key,
            )
            return
        raise OktaFlowOutcomeUnknownError(
            f"An earlier try was cut off while it invoked flow {shown(self._flow)}, and the outcome is unknown.",
            detail="The flow may have run, so it is not invoked again. If running it twice does no harm, declare it so:"
            f" idempotent=True.\nIdempotency key: {self.key}",
            hint=LOOK_IT_UP,
            flow=self._flow,
            idempotency_key=self.key,
        )

    def _write(self, checkpoint: InvocationCheckpoint) -> None:
        if self._store is not None:
            self._store.set(_NAME, checkpoint.to_json())
            self._written = checkpoint

    def _write_after(self, checkpoint: InvocationCheckpoint) -> None:
        """Write the final checkpoint. A failure is only logged, because this try itself knows the outcome."""
        try:
            self._write(checkpoint)
        except Exception:
            log.warning("The outcome of flow %s could not be stored", shown(self._flow), exc_info=True)


def checkpointed_key(context: Mapping[str, Any]) -> str:
    """Return the idempotency key that an operator would use in this task, and checkpoint it for later tries.

    :param context: the task's context
    :raises OktaFlowOutcomeUnknownError: if an earlier checkpoint cannot be read
    """
    checkpoints = InvocationCheckpointStore(context, None)
    checkpoints.announce()
    return checkpoints.key
