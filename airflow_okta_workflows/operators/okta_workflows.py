"""The operator that invokes a flow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, determine_kwargs

from airflow_okta_workflows.core.conditions import ExpressionError, expression
from airflow_okta_workflows.core.flow_request import check_as_parsed
from airflow_okta_workflows.core.invocation_key import invocation_key
from airflow_okta_workflows.exceptions import OktaFlowFailedError, OktaWorkflowsError, faults_as_errors
from airflow_okta_workflows.operators.journal import InvocationJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.core.answers import FlowResponse
    from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook


class InvokeOktaFlowOperator(BaseOperator):
    """Invoke an OAuth 2.0 secured flow once, and return what it answered.

    The same ``Idempotency-Key`` goes with each try of one task instance; a clearing by hand, another run or another
    map index has its own.

    On Airflow 3.3 it notes in the task state store that it is about to send, and then the answer. A retry after a crash
    returns the noted answer, or ends with ``OktaFlowOutcomeUnknownError`` if the fate is unknown; with ``idempotent``
    it sends again under the same key. Clearing the task by hand runs the flow anew. Before 3.3 the protection is what
    one process can give.

    XCom: the answer's body (or ``result`` of it), and beside it ``execution_id`` and ``status_code``.

    :param flow: a name in the connection's ``flows``, an alias, or an invoke URL (templated)
    :param payload: a JSON value, or JSON text; None for no body (templated)
    :param query: query parameters (templated)
    :param headers: further headers (templated)
    :param method: ``POST`` or ``GET``; GET carries no payload
    :param success_when: a JMESPath expression over the body; if it does not hold, the task fails
    :param result: a JMESPath expression over the body; what it selects is returned in the body's place
    :param response_check: a callable that is given the
        :class:`~airflow_okta_workflows.core.answers.FlowResponse`, and by name whatever it takes of the context; if
        what it returns is false, the task fails
    :param idempotent: whether running the flow twice under one key does no harm. Only then is an invocation without
        an answer sent again
    :param timeout: how long the answer may take, in seconds or as a ``timedelta``; the connection's
        ``read_timeout`` if None
    :param okta_workflows_conn_id: the connection, of type Okta Workflows (templated)
    :raises OktaConfigurationError: for an argument or a connection that cannot work; as far as possible when the
        DAG is parsed
    :raises OktaTokenError: if the org gives no token; the flow was not invoked
    :raises OktaFlowError: if the invocation did not succeed; the class says how far it got
    """

    template_fields: Sequence[str] = ("flow", "payload", "query", "headers", "okta_workflows_conn_id")
    template_fields_renderers = {"payload": "json", "query": "json", "headers": "json"}  # noqa: RUF012  # as in BaseOperator
    ui_color = "#dfe8ff"

    def __init__(
        self,
        *,
        flow: str,
        payload: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        method: str = "POST",
        success_when: str | None = None,
        result: str | None = None,
        response_check: Callable[..., bool] | None = None,
        idempotent: bool = False,
        timeout: float | timedelta | None = None,
        okta_workflows_conn_id: str = "okta_workflows_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow = flow
        self.payload = payload
        self.query = query
        self.headers = headers
        self.method = method
        self.success_when = success_when
        self.result = result
        self.response_check = response_check
        self.idempotent = idempotent
        self.timeout = timeout
        self.okta_workflows_conn_id = okta_workflows_conn_id
        with faults_as_errors():
            check_as_parsed(method, payload, query, headers)
            expression(success_when, "success_when")
            expression(result, "result")

    @property
    def hook(self) -> OktaWorkflowsHook:
        """The hook; imported only now, so that parsing a DAG stays cheap."""
        from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

        return OktaWorkflowsHook(okta_workflows_conn_id=self.okta_workflows_conn_id)

    def execute(self, context: Context) -> Any:
        """Invoke the flow and judge its answer.

        :param context: the task's context
        """
        key = self._invocation_key(context)
        journal = InvocationJournal(context, key, self.flow)
        response = journal.earlier_answer(idempotent=self.idempotent)
        try:
            if response is None:
                response = self._invoke(key, journal)
                journal.answered(response)
            context["ti"].xcom_push(key="execution_id", value=response.execution_id)
            context["ti"].xcom_push(key="status_code", value=response.status_code)
            return self._judge(response, context)
        except OktaWorkflowsError as error:
            journal.ended(error)
            raise

    def _invoke(self, key: str, journal: InvocationJournal) -> FlowResponse:
        hook = self.hook
        try:
            return hook.invoke(
                self.flow,
                self.payload,
                method=self.method,
                query=self.query,
                headers=self.headers,
                invocation_key=key,
                idempotent=self.idempotent,
                timeout=self.timeout.total_seconds() if isinstance(self.timeout, timedelta) else self.timeout,
                on_stage=journal.stage,
            )
        finally:
            hook.close()

    def _invocation_key(self, context: Context) -> str:
        ti = context["ti"]
        return invocation_key(
            dag_id=ti.dag_id,
            run_id=ti.run_id,
            task_id=ti.task_id,
            map_index=-1 if ti.map_index is None else ti.map_index,
            # A clearing raises max_tries by the tries there were; a retry leaves it.
            clearing=ti.max_tries - (self.retries or 0),
        )

    def _judge(self, response: FlowResponse, context: Context) -> Any:
        """Return the answer's result, or raise if the task's own conditions are not met."""
        try:
            if (condition := expression(self.success_when, "success_when")) and not condition.holds(response.body):
                raise self._failed(response, context, f"success_when does not hold: {self.success_when}")
            selection = expression(self.result, "result")
            result = selection.value(response.body) if selection else response.body
        except ExpressionError as error:
            reason = str(error)
        else:
            if self.response_check is None:
                return result
            kwargs = determine_kwargs(self.response_check, [response], context)
            if self.response_check(response, **kwargs):
                return result
            reason = "response_check returned a false value"
        raise self._failed(response, context, reason)

    def _failed(self, response: FlowResponse, context: Context, reason: str) -> OktaFlowFailedError:
        body = type(response.body).__name__
        return OktaFlowFailedError(
            f"Flow {self.flow!r} answered {response.status_code}, but {reason} (the body is {body}; execution"
            f" {response.execution_id or 'not told'}). The flow has run: a retry runs it again.",
            flow=self.flow,
            invocation_key=self._invocation_key(context),
            response=response,
        )
