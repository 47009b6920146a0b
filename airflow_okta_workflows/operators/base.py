"""What both operators are: one flow, what goes with each invocation, and when its answer satisfies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, determine_kwargs

from airflow_okta_workflows.core.flows.encoding import check_timeout
from airflow_okta_workflows.core.flows.expressions import ExpressionError, compile_optional
from airflow_okta_workflows.core.forking import cached_property
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.stopping import StopsOnKill
from airflow_okta_workflows.exceptions import OktaFlowFailedError, raise_provider_errors
from airflow_okta_workflows.links.okta_workflows import OktaFlowLink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.hooks.flow_hook import FlowHook


class FlowOperator(StopsOnKill, BaseOperator):
    """Base class of the two invoke operators."""

    template_fields_renderers = {"payload": "json", "payloads": "json", "query": "json", "headers": "json"}  # noqa: RUF012  # as in BaseOperator
    operator_extra_links = (OktaFlowLink(),)
    ui_color = "#dfe8ff"

    def __init__(
        self,
        *,
        flow: str,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, Any] | None,
        success_when: str | None,
        result: str | None,
        response_check: Callable[..., bool] | None,
        idempotent: bool,
        timeout: float | timedelta | None,
        okta_workflows_conn_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow = flow
        self.query = query
        self.headers = headers
        self.success_when = success_when
        self.result = result
        self.response_check = response_check
        self.idempotent = idempotent
        self.timeout = timeout
        self.okta_workflows_conn_id = okta_workflows_conn_id
        with raise_provider_errors():
            compile_optional(success_when, "success_when")
            compile_optional(result, "result")
            check_timeout(self._answer_seconds)

    @cached_property
    def hook(self) -> FlowHook:
        """The hook; imported only now, so that parsing a DAG stays cheap."""
        from airflow_okta_workflows.hooks.flow_hook import FlowHook

        return FlowHook(self.okta_workflows_conn_id, runtime=Runtime(stop=self.stop_signal))

    @property
    def _answer_seconds(self) -> float | None:
        return self.timeout.total_seconds() if isinstance(self.timeout, timedelta) else self.timeout

    def _link(self, context: Context, execution_id: str | None = None) -> None:
        OktaFlowLink().persist(context, self.hook, self.flow, execution_id)

    def _evaluate(self, response: FlowResponse, context: Context, key: str) -> Any:
        """Return the response's result, or raise if the task's own conditions are not met.

        :param key: the idempotency key that was sent
        """
        try:
            if (condition := compile_optional(self.success_when, "success_when")) and not condition.is_true(
                response.body
            ):
                raise self._failed(response, key, f"success_when does not hold: {self.success_when}")
            selection = compile_optional(self.result, "result")
            result = selection.search(response.body) if selection else response.body
        except ExpressionError as error:
            reason = str(error)
        else:
            if self.response_check is None:
                return result
            kwargs = determine_kwargs(self.response_check, [response], context)
            if self.response_check(response, **kwargs):
                return result
            reason = "response_check returned a false value"
        raise self._failed(response, key, reason)

    def _failed(self, response: FlowResponse, key: str, reason: str) -> OktaFlowFailedError:
        body = type(response.body).__name__
        return OktaFlowFailedError(
            f"Flow {self.flow!r} answered {response.status_code}, but {reason} (the body is {body}; execution"
            f" {response.execution_id or 'not told'}). The flow has run: a retry runs it again.",
            flow=self.flow,
            idempotency_key=key,
            response=response,
        )
