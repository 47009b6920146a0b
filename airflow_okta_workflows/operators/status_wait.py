"""Driver of :mod:`airflow_okta_workflows.core.flows.exactly_once` on a worker."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.failed_polls import FailedPolls, ProcessMemory
from airflow_okta_workflows.client.base import End, resume
from airflow_okta_workflows.core.flows.exactly_once import (
    AskStatus,
    InvokeOnce,
    Knowledge,
    KnownRun,
    LostResponse,
    RunExists,
    RunFailedError,
    Settled,
    StatusReport,
    run_exactly_once,
)
from airflow_okta_workflows.core.flows.status import Status, describe_response, is_not_found
from airflow_okta_workflows.core.protocol import InvocationState, Wait
from airflow_okta_workflows.exceptions import (
    OktaFlowError,
    OktaFlowFailedError,
    OktaFlowNoResponseError,
    OktaFlowResponseError,
    OktaWorkflowsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
    from airflow_okta_workflows.core.flows.exactly_once import Step
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.hooks.flow_hook import FlowHook
    from airflow_okta_workflows.operators.status_flow import StatusFlow

log = logging.getLogger(__name__)

CANCELLED_WITHIN = 3.0
"""Seconds that a ``cancel_flow`` gets: Airflow kills a task's process after five."""


@dataclass(frozen=True)
class StillRunning:
    """A run to wait for in the triggerer.

    :param run: what is known about it
    """

    run: KnownRun


class StatusWait:
    """Invocation of a flow that has a status flow, and the wait for the end of its run.

    :param flow: the flow as the task names it
    :param status: the status flow
    :param hook: the connection
    :param checkpoints: the checkpoint of the task
    :param invoke: invokes the flow under the key of ``checkpoints``, given what is called with each state
    :param read_timeout: seconds that the flow's response may take
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
    ) -> None:
        self._flow = flow
        self._status = status
        self._hook = hook
        self._checkpoints = checkpoints
        self._invoke = invoke
        self._patience = status.patience(read_timeout)
        self._rule = status.rule
        self._failed_polls = FailedPolls(status.max_failed_polls, ProcessMemory())
        self._last_seen = ""
        self._under_way: tuple[str, str | None] | None = None
        """Idempotency key and execution id of the run that may be under way, or None."""

    @property
    def poke_interval(self) -> float:
        """Seconds between two questions."""
        return self._patience.poke_interval

    def run(self, known: KnownRun, *, deadline: float | None, leaves: bool) -> Settled | StillRunning:
        """Return the end of one successful run, or the run if it is to be waited for in the triggerer.

        :param known: what is known about the run
        :param deadline: when to give up, in seconds since the epoch, or None
        :param leaves: whether to wait in the triggerer once the run is known to exist
        :raises OktaFlowFailedError: if the run failed
        :raises OktaFlowNoResponseError: if its outcome is still unknown; a retry asks again
        :raises OktaWorkflowsError: if the flow was not invoked
        """
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
                    if isinstance(progress, Wait) and exists and leaves:
                        return StillRunning(exists)
                    progress = resume(conversation, self._perform(progress, deadline))
            except RunFailedError as failure:
                error = self._failed(failure)
                self._checkpoints.ended(error)
                raise error from None
            return progress.result

    def _perform(self, step: Step, deadline: float | None) -> object:
        match step:
            case InvokeOnce(run):
                self._checkpoints.wants(run)
                return self._sent()
            case AskStatus(run, execution_id):
                self._under_way = run.key, execution_id
                return self._asked(run.key, execution_id)
            case RunExists(run, execution_id):
                self._under_way = run.key, execution_id
                self._checkpoints.started(run, execution_id)
            case Wait(seconds):
                self._wait(seconds, deadline)
        return None

    def _sent(self) -> FlowResponse | LostResponse:
        try:
            return self._invoke(self._reached)
        except OktaWorkflowsError as error:
            if isinstance(error, OktaFlowNoResponseError) or _is_unreadable(error):
                log.warning("%s The status flow is asked.", error.message)
                return LostResponse(self._lost(error))
            self._checkpoints.ended(error)
            raise

    def _reached(self, state: InvocationState) -> None:
        self._under_way = (self._checkpoints.key, None) if state is InvocationState.SENDING else None
        self._checkpoints.reached(state)

    def _asked(self, key: str, execution_id: str | None) -> StatusReport | None:
        status, runtime = self._status, self._hook.runtime
        try:
            # A question changes nothing, so one that got no response may be sent again.
            response = self._hook.invoke(status.flow, status.question(key, execution_id), idempotent=True)
        except OktaWorkflowsError as error:
            if runtime.stop.requested:
                raise
            if isinstance(error, OktaFlowError) and error.response is not None and is_not_found(error.response):
                self._failed_polls.reset()
                self._seen("the status flow returned 404")
                return StatusReport(Status.NOT_FOUND, error.response)
            self._failed_polls.record_failure(error)
            return None
        self._failed_polls.reset()
        report = StatusReport(self._rule.report(response, key, status.flow), response)
        if report.status in (Status.RUNNING, Status.NOT_FOUND):
            self._seen(self._rule.describe(response))
        return report

    def _seen(self, what: str) -> None:
        self._last_seen = what
        log.info("Flow %r has not ended yet, according to flow %r: %s", self._flow, self._status.flow, what)

    def _wait(self, seconds: float, deadline: float | None) -> None:
        runtime = self._hook.runtime
        left = seconds if deadline is None else min(seconds, deadline - runtime.clock())
        if left <= 0:
            raise self.timed_out()
        runtime.wait(left)
        if runtime.stop.requested:
            raise OktaFlowNoResponseError(
                f"The task was stopped while it waited for the end of flow {self._flow!r}.", **self._facts()
            )

    def cancel(self) -> None:
        """Invoke the ``cancel_flow`` if a run may be under way, at most once. May be called from a signal handler."""
        run, self._under_way = self._under_way, None
        if run is None or not self._status.cancel_flow:
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
            log.info("Flow %r was asked to cancel the run (idempotency key %s)", flow, key)
        except Exception as error:
            log.warning("Flow %r could not be asked to cancel the run: %s", flow, error)
        finally:
            hook.close()

    def timed_out(self) -> OktaWorkflowsError:
        """Return the error of a wait that has lasted for the status flow's ``timeout``."""
        return OktaFlowNoResponseError(
            f"Flow {self._flow!r} did not end within {self._status.timeout or 0:.0f} s.",
            hint="OKW-1635: Raise the timeout of StatusFlow, or look the run up in the flow's execution history. A"
            " retry waits for the same run.",
            **self._facts(),
        )

    def _lost(self, error: OktaWorkflowsError) -> OktaFlowNoResponseError:
        """Return the error to raise if no request becomes a run; it permits a retry, which asks first."""
        return OktaFlowNoResponseError(
            f"Flow {self._flow!r} was invoked several times, and no invocation became a run.",
            hint="OKW-1637: Look at what is between here and the flow. A retry asks first, so it is safe.",
            **self._facts(f"{error.message}\n"),
        )

    def _facts(self, first: str = "") -> dict[str, Any]:
        seen = f"Last seen: {self._last_seen}.\n" if self._last_seen else ""
        key = self._checkpoints.key
        return {"detail": f"{first}{seen}Idempotency key: {key}", "flow": self._flow, "idempotency_key": key}

    def _failed(self, failure: RunFailedError) -> OktaFlowFailedError:
        response, key = failure.response, failure.run.key
        return OktaFlowFailedError(
            f"Flow {self._flow!r} ran and failed: {self._rule.describe_failure(response)}.",
            hint="OKW-1636: Correct what made the run fail. A retry asks for another run.",
            detail=f"{describe_response(response)}\nIdempotency key: {key}",
            flow=self._flow,
            idempotency_key=key,
            response=response,
        )


def _is_unreadable(error: OktaWorkflowsError) -> bool:
    """Return whether the flow responded, and the response is too large or unreadable; a redirect proves no run."""
    response = error.response if isinstance(error, OktaFlowResponseError) else None
    return response is not None and not 300 <= response.status_code < 400


def result_of(settled: Settled, status: StatusFlow) -> FlowResponse:
    """Return the response whose body is what the status flow's ``result`` selects, for the conditions of the task.

    :param settled: the end of the run
    :param status: the status flow
    """
    execution_id = settled.execution_id or settled.response.execution_id
    return replace(settled.response, body=status.rule.result(settled.response), execution_id=execution_id)
