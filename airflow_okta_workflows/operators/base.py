"""Base class of the two invoke operators."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, determine_kwargs

from airflow_okta_workflows.core.flows.encoding import check_timeout
from airflow_okta_workflows.core.flows.expressions import ExpressionError, compile_optional
from airflow_okta_workflows.core.flows.status import blind, describe_response, select_result
from airflow_okta_workflows.core.forking import cached_property
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.on_kill import StopsOnKill
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaFlowFailedError, raise_provider_errors
from airflow_okta_workflows.links.okta_workflows import OktaFlowLink
from airflow_okta_workflows.operators.status_flow import StatusFlow
from airflow_okta_workflows.operators.templated_argument import PartialTask, set_upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.core.flows.invocation import InvocationOptions
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.hooks.flow_hook import FlowHook


class FlowOperator(StopsOnKill, BaseOperator):
    """Base class of the two invoke operators, with the arguments that both take.

    :param flow: a name in the connection's ``flows``, an alias, or an invoke URL (templated)
    :param query: query parameters (templated)
    :param headers: further headers (templated)
    :param success_when: a JMESPath expression over the body; if it is not true, the task (in a batch: the item) fails
    :param result: a JMESPath expression over the body; what it selects is returned instead of the body
    :param response_check: a callable that takes the
        :class:`~airflow_okta_workflows.core.flows.response.FlowResponse`, and by name any of the context's variables;
        if it returns a false value, the task (in a batch: the item) fails
    :param idempotent: whether running the flow twice under one idempotency key is harmless. Only then is an invocation
        that got no response sent again
    :param status: the flow's status flow. The operator then waits for the end of the run, and returns what the status
        flow reports. If the outcome of an invocation is unknown, in this try or an earlier one, it asks the status flow
        instead of giving up, and invokes the flow again only if the run never began. ``success_when``, ``result`` and
        ``response_check`` then apply to what the ``result`` of ``StatusFlow`` selects (templated)
    :param timeout: time limit for a response, in seconds or as a ``timedelta``; the connection's ``read_timeout`` if
        None
    :param okta_workflows_conn_id: the connection, of type Okta Workflows (templated)
    """

    template_fields_renderers = {"payload": "json", "payloads": "json", "query": "json", "headers": "json"}  # noqa: RUF012  # as in BaseOperator
    operator_extra_links = (OktaFlowLink(),)
    ui_color = "#dfe8ff"

    def __init__(
        self,
        *,
        flow: str,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        success_when: str | None = None,
        result: str | None = None,
        response_check: Callable[..., bool] | None = None,
        idempotent: bool = False,
        status: StatusFlow | None = None,
        timeout: float | timedelta | None = None,
        okta_workflows_conn_id: str = "okta_workflows_default",
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
        with raise_provider_errors(), NoFrames():
            compile_optional(success_when, "success_when")
            compile_optional(result, "result")
            check_timeout(timeout)
        if status is not None:
            self._check_status(status)
        # A copy, because Airflow renders its templates in place, and mapped tasks share the original.
        self.status = copy(status)
        self._warned = False
        self._set_upstream(status)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Give the arguments that all mapped tasks have, as in Airflow.

        :param kwargs: the arguments
        """
        return PartialTask(super().partial(**kwargs))

    def _set_upstream(self, argument: object) -> None:
        # Not in the worker, where Airflow creates one of the tasks of a mapped operator.
        if not getattr(self, "_BaseOperator__from_mapped", False):
            set_upstream(self, argument)

    @cached_property
    def hook(self) -> FlowHook:
        """The hook, imported on first use so that parsing a DAG stays cheap."""
        from airflow_okta_workflows.hooks.flow_hook import FlowHook

        return FlowHook(self.okta_workflows_conn_id, runtime=self._runtime)

    @property
    def _options(self) -> InvocationOptions:
        """Invocation arguments that are the same for each payload."""
        return {
            "query": self.query,
            "headers": self.headers,
            "idempotent": self.idempotent,
            "timeout": check_timeout(self.timeout),
        }

    def _check_status(self, status: object) -> None:
        if not isinstance(status, StatusFlow):
            raise OktaConfigurationError(
                f"status is {type(status).__name__}, not a StatusFlow.",
                hint="OKW-1639: Give status=StatusFlow('name of the status flow').",
            )
        if self.timeout is not None:
            with raise_provider_errors(), NoFrames():
                status.patience(check_timeout(self.timeout) or 0)

    @property
    def _read_timeout(self) -> float:
        """Seconds that a response may take."""
        return check_timeout(self.timeout) or self.hook.settings.read_timeout

    def _link(self, context: Context, execution_id: str | None = None) -> None:
        OktaFlowLink().persist(self, context, self.hook, self.flow, execution_id)

    def _evaluate(self, response: FlowResponse, context: Context, key: str) -> Any:
        """Return the response's result, or raise if the task's own conditions are not met.

        :param key: the idempotency key that was sent
        """
        try:
            condition = compile_optional(self.success_when, "success_when")
            if condition and not condition.is_true(response.body):
                found = condition.describe(response.body, response.content_type)
                raise self._failed(response, key, f"success_when is false: {found}", blind(condition, response))
            selection = compile_optional(self.result, "result")
            result = select_result(selection, response)
            if result is None and not self._warned and (problem := blind(selection, response)):
                self._warned = True  # once, not for each item of a batch
                self.log.warning("Flow %s: %s The result is null.", shown(self.flow), problem)
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

    def _failed(self, response: FlowResponse, key: str, reason: str, detail: str = "") -> OktaFlowFailedError:
        return OktaFlowFailedError(
            f"Flow {shown(self.flow)} returned {response.status_code}, but {reason}.",
            hint="OKW-1603: Correct the flow or the condition. The flow has run: a retry runs it again.",
            detail="\n".join(filter(None, (detail, describe_response(response)))),
            flow=self.flow,
            idempotency_key=key,
            response=response,
        )
