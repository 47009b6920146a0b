"""Driver of :mod:`airflow_okta_workflows.core.flows.exactly_once` on a worker."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_okta_workflows.core.errors import error_text
from airflow_okta_workflows.core.flows.exactly_once import (
    AskStatus,
    InvokeOnce,
    Knowledge,
    KnownRun,
    LostResponse,
    RunExists,
    RunFailedError,
    StatusReport,
    run_exactly_once,
)
from airflow_okta_workflows.core.protocol import End, InvocationState, Wait, resume
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaWorkflowsError
from airflow_okta_workflows.operators.watched_run import WatchedRun, result_of
from airflow_okta_workflows.triggers.events import CANCELLED_WITHIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
    from airflow_okta_workflows.core.flows.exactly_once import Step
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.hooks.flow_hook import FlowHook
    from airflow_okta_workflows.operators.status_flow import StatusFlow

log = logging.getLogger(__name__)


class StatusWait:
    """Invocation of a flow that has a status flow, and the wait for the end of its run.

    :param flow: the flow as the task names it
    :param status: the status flow
    :param hook: the connection
    :param checkpoints: the checkpoint of the task
    :param invoke: invokes the flow under the key of ``checkpoints``, given what is called with each state
    :param read_timeout: seconds that the flow's response may take
    :param deadline: when the status flow's ``timeout`` ends, in seconds since the epoch; None without one
    :param execution_deadline: when ``execution_timeout`` ends, in seconds since the epoch; None without one
    :raises OktaConfigurationError: if ``settle`` is too short, or the status flow or its ``cancel_flow`` cannot be
        invoked
    """

    def __init__(
        self,
        flow: str,
        status: StatusFlow,
        hook: FlowHook,
        *,
        checkpoints: InvocationCheckpointStore,
        invoke: Callable[[Callable[[InvocationState], None]], FlowResponse],
        read_timeout: float,
        deadline: float | None,
        execution_deadline: float | None,
    ) -> None:
        self._flow = flow
        self._deadline = deadline
        self._execution_deadline = execution_deadline
        self._status = status
        self._hook = hook
        self._checkpoints = checkpoints
        self._invoke = invoke
        self._patience = status.patience(read_timeout)
        self._rule = status.rule
        status.template(hook.settings, hook.runtime.new_id())  # raises if a question could not be asked
        self._run = WatchedRun(flow, status, self._rule)

    def run(self, known: KnownRun, *, leaves: bool) -> FlowResponse | KnownRun:
        """Return the result of one successful run, or the run if it is to be waited for in the triggerer.

        :param known: what is known about the run
        :param leaves: whether to wait in the triggerer once the run is known to exist
        :raises OktaFlowFailedError: if the run failed
        :raises OktaFlowNoResponseError: if its outcome is still unknown; a retry asks again
        :raises OktaWorkflowsError: if the flow was not invoked
        :raises AirflowTaskTimeout: if ``execution_timeout`` ends first
        """
        self._run.begins(known)
        if self._hook.runtime.stop.requested:
            # The task was killed before it knew of a run.
            self.cancel()
        conversation = run_exactly_once(
            known,
            self._patience,
            self._rule.first_status,
            self._hook.runtime.monotonic,
            checkpointed=self._checkpoints.is_kept,
        )
        with closing(conversation):
            exists = known if known.own else None
            try:
                progress = resume(conversation, None)
                while not isinstance(progress, End):
                    if isinstance(progress, RunExists):
                        exists = KnownRun(progress.run, Knowledge.EXISTS, own=True, execution_id=progress.execution_id)
                    # A run that is missing is waited for here: each deferral would begin the time of settle again.
                    if isinstance(progress, Wait) and exists and leaves and not self._run.is_missing:
                        return exists
                    progress = resume(conversation, self._perform(progress))
            except RunFailedError as failure:
                error = self._run.failed(failure)
                self._checkpoints.ended(error)
                raise error from None
            return result_of(progress.result, self._rule)

    def _perform(self, step: Step) -> object:
        match step:
            case InvokeOnce(run):
                self._checkpoints.wants(run)
                return self._sent()
            case AskStatus(run, execution_id):
                self._run.watches(run, execution_id)
                return self._asked(run.key, execution_id)
            case RunExists(run, execution_id):
                self._run.watches(run, execution_id)
                self._checkpoints.started(run, execution_id)
            case Wait(seconds):
                self._wait(seconds)
        return None

    def _sent(self) -> FlowResponse | LostResponse:
        try:
            return self._invoke(self._reached)
        except OktaWorkflowsError as error:
            if lost := self._run.lost_response(error, self._checkpoints.key):
                return lost
            self._checkpoints.ended(error)
            raise

    def _reached(self, state: InvocationState) -> None:
        self._run.reached(state, self._checkpoints.key)
        self._checkpoints.reached(state)

    def _asked(self, key: str, execution_id: str | None) -> StatusReport | None:
        status, runtime = self._status, self._hook.runtime
        try:
            # A question changes nothing, so one that got no response may be sent again.
            response = self._hook.invoke(status.flow, status.question(key, execution_id), idempotent=True)
        except OktaWorkflowsError as error:
            if runtime.stop.requested:
                raise self._run.stopped(key) from None
            return self._run.report_error(error, key, execution_id)
        return self._run.report(response, key, execution_id)

    def _wait(self, seconds: float) -> None:
        runtime = self._hook.runtime
        runtime.wait(self.seconds_to_wait(seconds))
        if runtime.stop.requested:
            raise self._run.stopped(self._checkpoints.key)

    def seconds_to_wait(self, seconds: float) -> float:
        """Return how long the wait for the end of the run may go on.

        :param seconds: how long it goes on if nothing ends it
        :raises OktaFlowNoResponseError: if the status flow's ``timeout`` is over
        :raises AirflowTaskTimeout: if ``execution_timeout`` is over, which Airflow applies only to a part of the wait
            if a task comes back from the triggerer
        """
        now, key, ends = self._hook.runtime.clock(), self._checkpoints.key, self._execution_deadline
        if ends is not None:
            if now >= ends:
                raise AirflowTaskTimeout(
                    error_text(
                        f"execution_timeout is over, and flow {shown(self._flow)} has not ended.",
                        "OKW-1638: Raise execution_timeout. A retry waits for the same run.",
                        f"Idempotency key: {key}",
                    )
                )
            seconds = min(seconds, ends - now)
        return self._run.seconds_to_wait(seconds, self._deadline, now, key)

    def cancel(self) -> None:
        """Invoke the ``cancel_flow`` if a run may be under way, at most once. May be called from a signal handler."""
        run = self._run.take_under_way()
        if run is None:
            return
        # In a thread, because the interrupted main thread may hold a lock of the token source.
        thread = threading.Thread(target=self._cancel, args=run, name="okta-cancel", daemon=True)
        thread.start()
        thread.join(CANCELLED_WITHIN)

    def _cancel(self, key: str, execution_id: str | None) -> None:
        flow = str(self._status.cancel_flow)
        # The task's own hook sends nothing any more.
        hook = self._hook.without_stop()
        try:
            hook.invoke(flow, self._status.question(key, execution_id), idempotency_key=key, timeout=CANCELLED_WITHIN)
            log.info("Flow %s was asked to cancel the run (idempotency key %s)", shown(flow), key)
        except Exception as error:
            log.warning("Flow %s could not be asked to cancel the run: %s", shown(flow), error)
        finally:
            hook.close()
