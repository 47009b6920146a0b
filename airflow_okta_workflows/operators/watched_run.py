"""Shared part of the two drivers of :mod:`airflow_okta_workflows.core.flows.exactly_once`."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.failed_polls import FailedPolls, ProcessMemory
from airflow_okta_workflows.core.flows.exactly_once import (
    Knowledge,
    KnownRun,
    LostResponse,
    RunFailedError,
    Settled,
    StatusReport,
)
from airflow_okta_workflows.core.flows.status import RunStatusRule, Status, describe_response, is_not_found
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import (
    OktaFlowError,
    OktaFlowFailedError,
    OktaFlowNoResponseError,
    OktaFlowResponseError,
    OktaWorkflowsError,
)

if TYPE_CHECKING:
    from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.operators.status_flow import StatusFlow

log = logging.getLogger(__name__)


class WatchedRun:
    """One wanted run: the rule by which the responses of its status flow are judged, and its errors.

    :param flow: the flow as the task names it
    :param status: the status flow
    :param rule: the conditions of the status flow, compiled
    :param level: level of the log line for each question that finds the run under way
    """

    def __init__(self, flow: str, status: StatusFlow, rule: RunStatusRule, level: int = logging.INFO) -> None:
        self._flow = flow
        self._status = status
        self._rule = rule
        self._level = level
        self.is_missing = False
        """Whether the status flow did not know the run when it was last asked."""
        self._failed_polls = FailedPolls(status.max_failed_polls, ProcessMemory())
        self._last_seen = ""
        self._under_way: tuple[str, str | None] | None = None
        self._taken = threading.Lock()
        """Locked, and never released, once the run has been taken for its ``cancel_flow``."""

    def begins(self, known: KnownRun) -> None:
        """Record what is known when the conversation begins.

        :param known: what is known about the run
        """
        if known.knowledge is not Knowledge.NEVER_SENT:
            self.watches(known.run, known.execution_id)

    def watches(self, run: WantedRun, execution_id: str | None) -> None:
        """Record that a run may be under way, because it exists or is asked about.

        :param run: the run
        :param execution_id: its execution id, or None
        """
        self._under_way = run.key, execution_id

    def reached(self, state: InvocationState, key: str) -> None:
        """Record how far an invocation got.

        :param state: how far it got
        :param key: its idempotency key
        """
        self._under_way = (key, None) if state is InvocationState.SENDING else None

    def take_under_way(self) -> tuple[str, str | None] | None:
        """Return key and execution id of the run that may be under way, for its ``cancel_flow``; only once."""
        under_way = self._under_way
        if under_way is None or not self._status.cancel_flow:
            return None
        # Unlike a flag, a lock cannot be taken twice by a signal handler that interrupts this.
        return under_way if self._taken.acquire(blocking=False) else None

    def report(self, response: FlowResponse, key: str, execution_id: str | None) -> StatusReport:
        """Return what the status flow reports.

        :param response: its response
        :param key: the key of the run that it was asked for
        :param execution_id: the execution id of that run, or None
        :raises CoreError: of kind ``NO_RESPONSE`` if the response is about another run, or has no status
        """
        self._failed_polls.reset()
        status = self._rule.report(response, key, self._status.flow)
        report = StatusReport(status, _about_run(response, execution_id))
        self.is_missing = status is Status.NOT_FOUND
        if status in (Status.RUNNING, Status.NOT_FOUND):
            self._seen(self._rule.describe(response))
        return report

    def report_error(self, error: OktaWorkflowsError, key: str, execution_id: str | None) -> StatusReport | None:
        """Return what the error of a question reports; None if it reports nothing and the question may be repeated.

        :param error: what the question ended with
        :param key: the key of the run that was asked for
        :param execution_id: the execution id of that run, or None
        :raises OktaFlowNoResponseError: if the error is not temporary or has occurred too often in a row
        """
        if isinstance(error, OktaFlowError) and error.response is not None and is_not_found(error.response):
            self._failed_polls.reset()
            self.is_missing = True
            self._seen("the status flow returned 404")
            return StatusReport(Status.NOT_FOUND, _about_run(error.response, execution_id))
        try:
            self._failed_polls.record_failure(error)
        except OktaWorkflowsError as final:
            raise _as_unknown(final, key) from None
        return None

    def _seen(self, what: str) -> None:
        self._last_seen = what
        names = shown(self._flow), shown(self._status.flow)
        log.log(self._level, "Flow %s has not ended yet, according to flow %s: %s", *names, what)

    def seconds_to_wait(self, seconds: float, deadline: float | None, now: float, key: str) -> float:
        """Return how long to wait for the next question.

        :param seconds: how long the conversation asks to wait
        :param deadline: when to give up, in seconds since the epoch, or None
        :param now: the time, in seconds since the epoch
        :param key: the key of the run
        :raises OktaFlowNoResponseError: if the deadline is over
        """
        if deadline is None:
            return seconds
        if now >= deadline:
            raise OktaFlowNoResponseError(
                f"Flow {shown(self._flow)} did not end within {self._status.timeout or 0:.0f} s.",
                hint="OKW-1635: Raise the timeout of StatusFlow, or look the run up in the flow's execution history. A"
                " retry waits for the same run.",
                **self._facts(key),
            )
        return min(seconds, deadline - now)

    def stopped(self, key: str) -> OktaFlowNoResponseError:
        """Return the error of a wait during which the task was stopped.

        :param key: the key of the run
        """
        return OktaFlowNoResponseError(
            f"The task was stopped while it waited for the end of flow {shown(self._flow)}.",
            hint="OKW-1690: Nothing, if the stop was intended. A retry asks the status flow how the run has ended.",
            **self._facts(key),
        )

    def lost_response(self, error: OktaWorkflowsError, key: str) -> LostResponse | None:
        """Return the event of an invocation whose outcome is unknown; None if the error says how it ended.

        :param error: what the invocation ended with
        :param key: the key of the run
        """
        if not isinstance(error, OktaFlowNoResponseError) and not _is_unreadable(error):
            return None
        log.warning("%s The status flow is asked.", error.message)
        # Unlike the first error, this one permits a retry, which asks first.
        return LostResponse(
            OktaFlowNoResponseError(
                f"Flow {shown(self._flow)} was invoked several times, and no invocation became a run.",
                hint="OKW-1637: Look at what is between here and the flow. A retry asks first, so it is safe.",
                **self._facts(key, f"{error.message}\n"),
            )
        )

    def _facts(self, key: str, first: str = "") -> dict[str, Any]:
        seen = f"Last seen: {self._last_seen}.\n" if self._last_seen else ""
        return {"detail": f"{first}{seen}Idempotency key: {key}", "flow": self._flow, "idempotency_key": key}

    def failed(self, failure: RunFailedError) -> OktaFlowFailedError:
        """Return the error of a run that failed.

        :param failure: the end of the conversation
        """
        response, key = failure.response, failure.run.key
        return OktaFlowFailedError(
            f"Flow {shown(self._flow)} ran and failed: {self._rule.describe_failure(response)}.",
            hint="OKW-1636: Correct what made the run fail. A retry asks for another run.",
            detail=f"{describe_response(response)}\nIdempotency key: {key}",
            flow=self._flow,
            idempotency_key=key,
            response=response,
        )


def _as_unknown(error: OktaWorkflowsError, key: str) -> OktaFlowNoResponseError:
    """Return the error of a question as that of its run, whose outcome remains unknown. A retry asks again."""
    return OktaFlowNoResponseError(
        error.message,
        hint=error.coded_hint,
        detail=f"{error.detail}\nIdempotency key of the run: {key}".lstrip(),
        flow=error.flow if isinstance(error, OktaFlowError) else None,
        idempotency_key=key,
    )


def _is_unreadable(error: OktaWorkflowsError) -> bool:
    """Return whether the flow responded, and the response is too large or unreadable; a redirect proves no run."""
    response = error.response if isinstance(error, OktaFlowResponseError) else None
    return response is not None and not 300 <= response.status_code < 400


def result_of(settled: Settled, rule: RunStatusRule) -> FlowResponse:
    """Return the response whose body is what the ``result`` of ``StatusFlow`` selects, for the conditions of the task.

    :param settled: the end of the run
    :param rule: the conditions of the status flow, compiled
    :raises CoreError: if ``result`` cannot be evaluated
    """
    return replace(settled.response, body=rule.result(settled.response))


def _about_run(response: FlowResponse, execution_id: str | None) -> FlowResponse:
    """Return a response of the status flow with the execution id of the run instead of the status flow's own."""
    return replace(response, execution_id=execution_id)
