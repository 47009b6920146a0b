"""Base class of the operator that invokes a flow once: the invocation, and the question if its outcome is unknown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.exceptions import OktaFlowError, OktaFlowOutcomeUnknownError, OktaWorkflowsError
from airflow_okta_workflows.operators.asking import AskingOperator
from airflow_okta_workflows.operators.on_unknown import GIVE_UP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.protocol import InvocationState


class SingleInvocationOperator(AskingOperator):
    """Base class of the operator that invokes a flow once."""

    payload: Any
    method: str

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
        from airflow_okta_workflows.core.flows.response import reported_response
        from airflow_okta_workflows.exceptions import error_from_json
        from airflow_okta_workflows.operators.question import parse_answer
        from airflow_okta_workflows.operators.single_question import BODY_FIELD, OPTIONS, RAN

        self._begin()
        checkpoints = self._checkpoints(context)
        checkpoints.resumes(run)
        checkpoints.sent_at = sent_at
        error = error_from_json(unknown or {})
        answer = parse_answer(event, OPTIONS)
        self._require_in_time(answer, checkpoints.key)
        if answer.choice == GIVE_UP:
            raise error
        if answer.problem:
            self.log.warning("The answer cannot be used: %s The question is asked again.", answer.problem)
            return self._ask_about(context, checkpoints, error, deadline, problem=answer.problem)
        if answer.choice == RAN:
            response = reported_response(answer.entered.get(BODY_FIELD))
            checkpoints.responded(response)
            return self._complete(context, checkpoints, response)
        return self._complete_or_ask(context, checkpoints, None, deadline)

    def _key(self, context: Context) -> str | None:
        return self._checkpoints(context).key

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

    def _ask_or_raise(
        self,
        context: Context,
        checkpoints: InvocationCheckpointStore,
        error: OktaFlowOutcomeUnknownError,
        deadline: float | None,
    ) -> Any:
        # A checkpoint without a key leaves nothing to look up.
        if not self._asks or error.idempotency_key is None:
            raise error
        return self._ask_about(context, checkpoints, error, deadline)

    def _ask_about(
        self,
        context: Context,
        checkpoints: InvocationCheckpointStore,
        error: OktaWorkflowsError,
        deadline: float | None,
        problem: str = "",
    ) -> Any:
        from airflow_okta_workflows.operators.single_question import single_question

        key, sent_at = checkpoints.key, checkpoints.sent_at
        self.log.warning("%s A person is asked, under Required Actions (idempotency key %s)", error.message, key)
        # Stored unencrypted, so without a response.
        stored = OktaFlowOutcomeUnknownError(
            error.message, hint=error.coded_hint, detail=error.detail, flow=self.flow, idempotency_key=key
        )
        return self._ask(
            context,
            partial(single_question, self.flow, key, sent_at, error.message, problem),
            key=key,
            deadline=deadline,
            kwargs={"run": checkpoints.run.to_json(), "unknown": stored.to_json(), "sent_at": sent_at},
        )

    def _complete(self, context: Context, checkpoints: InvocationCheckpointStore, response: FlowResponse | None) -> Any:
        """Invoke the flow unless there is a response already, and evaluate the response."""
        try:
            if response is None:
                response = self._invoke(checkpoints)
                checkpoints.responded(response)
            self._link(context, response.execution_id)
            if response.execution_id is not None:  # Airflow 3.0 refuses null
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

    def _read_payload(self) -> Any:
        """Return the payload of the invocation that is about to be sent."""
        return self.payload

    def _send(
        self, checkpoints: InvocationCheckpointStore, on_state: Callable[[InvocationState], None]
    ) -> FlowResponse:
        return self.hook.invoke(
            self.flow,
            self._read_payload(),
            idempotency_key=checkpoints.key,
            on_state=on_state,
            **(self._options | {"method": self.method}),
        )
