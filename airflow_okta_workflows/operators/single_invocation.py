"""Base class of the operator that invokes a flow once: the invocation, and the question if its outcome is unknown."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.exceptions import (
    OktaFlowError,
    OktaFlowOutcomeUnknownError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.operators.base import FlowOperator
from airflow_okta_workflows.operators.question import ASK, GIVE_UP, RAN, TIMED_OUT, check_on_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.protocol import InvocationState

_TRIGGER_FAILED = "__fail__"
"""The method that Airflow names if a task cannot be resumed."""


class SingleInvocationOperator(FlowOperator):
    """Base class of the operator that invokes a flow once.

    :param on_unknown: ``fail``: the task fails if the outcome of its invocation is unknown; ``ask``: a person decides,
        in Airflow's Required Actions (Airflow 3.1+)
    """

    payload: Any
    method: str

    def __init__(self, *, on_unknown: Literal["fail", "ask"] = "fail", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_on_unknown(on_unknown, has_status=self.status is not None)
        self.on_unknown = on_unknown

    def answer_complete(
        self,
        context: Context,
        event: Any = None,
        run: Mapping[str, Any] | None = None,
        unknown: Mapping[str, Any] | None = None,
        sent_at: str | None = None,
        deadline: float | None = None,
    ) -> Any:
        """Do what the person answered.

        :param context: the task's context
        :param event: the answer, from Airflow
        :param run: the wanted run as JSON
        :param unknown: the error about the unknown outcome as JSON
        :param sent_at: when the invocation was sent, as text
        :param deadline: when ``execution_timeout`` is over, in seconds since the epoch, or None
        """
        from airflow_okta_workflows.exceptions import error_from_json
        from airflow_okta_workflows.operators.question import parse_answer

        self._begin()
        checkpoints = self._checkpoints(context)
        checkpoints.wants(WantedRun.from_json(run or {}) or checkpoints.run)
        checkpoints.sent_at = sent_at
        error = error_from_json(unknown or {})
        answer = parse_answer(event)
        if answer.choice == TIMED_OUT:
            raise self._unanswered("nobody has answered within execution_timeout", checkpoints)
        if answer.choice == GIVE_UP:
            raise error
        if answer.problem:
            self.log.warning("The answer cannot be used: %s The question is asked again.", answer.problem)
            return self._ask(context, checkpoints, error, deadline, problem=answer.problem)
        if answer.choice == RAN:
            response = self._reported_response(answer.body)
            checkpoints.responded(response)
            return self._complete(context, checkpoints, response)
        return self._complete_or_ask(context, checkpoints, None, deadline)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task; if Airflow could not wait for the answer, never as if nothing had been sent.

        :param next_method: the method to resume with
        :param next_kwargs: its arguments
        :param context: the task's context
        """
        if next_method != _TRIGGER_FAILED or self.on_unknown != ASK or self.idempotent:
            return super().resume_execution(next_method, next_kwargs, context)
        checkpoints = self._checkpoints(context)
        if checkpoints.is_kept:
            # The checkpoint says that the outcome is unknown, so this asks again.
            return self.execute(context)
        raise self._unanswered("Airflow could not wait for an answer", checkpoints)

    def _complete_or_ask(
        self,
        context: Context,
        checkpoints: InvocationCheckpointStore,
        response: FlowResponse | None,
        deadline: float | None,
    ) -> Any:
        """Invoke the flow unless there is a response already, and ask a person if the outcome is unknown."""
        try:
            return self._complete(context, checkpoints, response)
        except OktaFlowOutcomeUnknownError as error:
            unknown = error
        return self._ask_or_raise(context, checkpoints, unknown, deadline)

    def _execution_deadline(self) -> float | None:
        if self.execution_timeout is None:
            return None
        return self._runtime.clock() + self.execution_timeout.total_seconds()

    def _ask_or_raise(
        self,
        context: Context,
        checkpoints: InvocationCheckpointStore,
        error: OktaFlowOutcomeUnknownError,
        deadline: float | None,
    ) -> Any:
        # A task that was stopped is no longer the one to ask; a checkpoint without a key leaves nothing to look up.
        if self.on_unknown != ASK or self._runtime.stop.requested or error.idempotency_key is None:
            raise error
        return self._ask(context, checkpoints, error, deadline)

    def _ask(
        self,
        context: Context,
        checkpoints: InvocationCheckpointStore,
        error: OktaWorkflowsError,
        deadline: float | None,
        problem: str = "",
    ) -> Any:
        from airflow_okta_workflows.core.addresses import console_url
        from airflow_okta_workflows.operators.question import Question, ask

        left = None if deadline is None else deadline - self._runtime.clock()
        if left is not None and left <= 0:
            raise self._unanswered("execution_timeout leaves no time for an answer", checkpoints)
        with raise_provider_errors(), NoFrames():
            origin = self.hook.settings.find_flow(self.flow).origin
        question = Question(
            self.flow,
            checkpoints.key,
            checkpoints.sent_at,
            origin.url,
            console_url(origin, None),
            error.message,
            problem,
        )
        # Stored unencrypted, so without a response.
        stored = OktaFlowOutcomeUnknownError(
            error.message, hint=error.coded_hint, detail=error.detail, flow=self.flow, idempotency_key=checkpoints.key
        )
        return ask(
            self,
            context,
            question,
            method_name="answer_complete",
            kwargs={
                "run": checkpoints.run.to_json(),
                "unknown": stored.to_json(),
                "sent_at": checkpoints.sent_at,
                "deadline": deadline,
            },
            timeout=None if left is None else timedelta(seconds=left),
        )

    def _unanswered(self, why: str, checkpoints: InvocationCheckpointStore) -> OktaFlowOutcomeUnknownError:
        return OktaFlowOutcomeUnknownError(
            f"Flow {self.flow!r} was invoked, its outcome is unknown, and {why}.",
            hint="OKW-1646: Look it up in the flow's execution history before you clear the task. execution_timeout"
            " also limits the wait for an answer.",
            detail=f"Idempotency key: {checkpoints.key}",
            flow=self.flow,
            idempotency_key=checkpoints.key,
        )

    @staticmethod
    def _reported_response(body: Any) -> FlowResponse:
        from airflow_okta_workflows.core.flows.response import FlowResponse
        from airflow_okta_workflows.core.http.types import Headers

        return FlowResponse(200, Headers(), body, None, 0.0)

    def _complete(self, context: Context, checkpoints: InvocationCheckpointStore, response: FlowResponse | None) -> Any:
        """Invoke the flow unless there is a response already, and evaluate the response."""
        try:
            if response is None:
                response = self._invoke(checkpoints)
                checkpoints.responded(response)
            self._link(context, response.execution_id)
            context["ti"].xcom_push(key="execution_id", value=response.execution_id)
            context["ti"].xcom_push(key="status_code", value=response.status_code)
            return self._evaluate(response, context, checkpoints.key)
        except OktaWorkflowsError as error:
            self._ended(context, checkpoints, error)
            raise

    def _ended(self, context: Context, checkpoints: InvocationCheckpointStore, error: OktaWorkflowsError) -> None:
        checkpoints.ended(error)
        if isinstance(error, OktaFlowError) and error.response:
            self._link(context, error.response.execution_id)

    def _checkpoints(self, context: Context) -> InvocationCheckpointStore:
        from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore

        return InvocationCheckpointStore(context, self.flow)

    def _invoke(self, checkpoints: InvocationCheckpointStore) -> FlowResponse:
        try:
            return self._send(checkpoints, checkpoints.reached)
        finally:
            self.hook.close()

    def _send(
        self, checkpoints: InvocationCheckpointStore, on_state: Callable[[InvocationState], None]
    ) -> FlowResponse:
        return self.hook.invoke(
            self.flow,
            self.payload,
            idempotency_key=checkpoints.key,
            on_state=on_state,
            **(self._options | {"method": self.method}),
        )
