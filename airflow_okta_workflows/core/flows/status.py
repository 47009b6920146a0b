"""Status of a long-running flow, as its status flow reports it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.expressions import Expression, ExpressionError, compile_optional
from airflow_okta_workflows.core.flows.members import describe_body
from airflow_okta_workflows.core.forking import cached_property
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    from airflow_okta_workflows.core.flows.response import FlowResponse

_NOT_FOUND = "NOT_FOUND"


def is_not_found(response: FlowResponse | None) -> bool:
    """Return whether the HTTP status says that the status flow does not know the long-running flow yet.

    :param response: the response of a failed status flow. Only with an execution id is a 404 from the flow itself
    """
    return response is not None and response.status_code == 404 and response.execution_id is not None


class Status(Enum):
    """Status of the long-running flow."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_FOUND = "not_found"
    """The status flow does not know the run. Reported only by a rule with a condition for it."""


class StatusRule:
    """Conditions that map a status flow's response to a status, the same on the worker and in the triggerer.

    :param success_when: a JMESPath expression that is true when the long-running flow has succeeded
    :param failure_when: a JMESPath expression that is true when it has failed, or None
    :param result: a JMESPath expression that selects the result, or None for the whole body
    :param not_found_when: a JMESPath expression that is true when the status flow does not know it; None if that counts
        as running
    :raises CoreError: if one of them is not a valid JMESPath expression
    """

    def __init__(
        self,
        success_when: str,
        failure_when: str | None,
        result: str | None = None,
        not_found_when: str | None = None,
    ) -> None:
        self._success = Expression(success_when, "success_when")
        self._failure = compile_optional(failure_when, "failure_when")
        self._not_found = compile_optional(not_found_when, "not_found_when")
        self._result = compile_optional(result, "result")
        self._judges_not_found = any(_NOT_FOUND in condition for condition in (success_when, failure_when or ""))

    def status(self, body: Any) -> Status:
        """Return the status in a response; failure takes precedence over success.

        ``{"status": "NOT_FOUND"}`` means that the long-running flow is not known yet and counts as running, unless a
        condition names it.

        :param body: the response's body
        :raises ExpressionError: if an expression cannot be evaluated over it
        """
        if self._not_found is None and not self._judges_not_found and _is_not_found(body):
            return Status.RUNNING
        if self._failure and self._failure.is_true(body):
            return Status.FAILED
        if self._success.is_true(body):
            return Status.SUCCEEDED
        return Status.NOT_FOUND if self._not_found and self._not_found.is_true(body) else Status.RUNNING

    def result(self, response: FlowResponse) -> Any:
        """Return what ``result`` selects from a response, or the whole body.

        :param response: the response
        :raises ExpressionError: if it cannot be evaluated over it
        """
        return select_result(self._result, response)

    def result_problem(self, response: FlowResponse) -> str:
        """Return why ``result`` cannot select anything: a sentence; empty if it can.

        :param response: the response
        """
        return blind(self._result, response)

    def describe(self, response: FlowResponse) -> str:
        """Return what the response has at the members in ``success_when``: "status is 'RUNNING'".

        :param response: the response
        """
        return self._success.describe(response.body, response.content_type)

    def describe_failure(self, response: FlowResponse) -> str:
        """Return what the response has at the members in ``failure_when``.

        :param response: the response
        """
        condition = self._failure or self._success
        return condition.describe(response.body, response.content_type)

    def blindness(self, response: FlowResponse) -> str:
        """Return why ``success_when`` cannot be true for responses like this one: a sentence; empty if it can.

        :param response: the response
        """
        return blind(self._success, response)


SUCCESS_WHEN = "status == 'SUCCEEDED'"
FAILURE_WHEN = "status == 'FAILED'"
NOT_FOUND_WHEN = "status == 'NOT_FOUND'"
"""The conditions of a status flow that reports one of four statuses in ``status``."""

_STATUS_FLOW = (
    "OKW-1631: Correct the status flow, or the conditions of StatusFlow. It must report RUNNING, SUCCEEDED, FAILED or"
    " NOT_FOUND of the run with the idempotency_key that it was asked for. A retry asks again."
)


class RunStatusRule(StatusRule):
    """Conditions that map a status flow's response to the status of the run that it was asked for.

    The parameters are those of :class:`StatusRule`.
    """

    @cached_property
    def _has_four_statuses(self) -> bool:
        conditions = self._success, self._failure, self._not_found
        return [one and one.text for one in conditions] == [SUCCESS_WHEN, FAILURE_WHEN, NOT_FOUND_WHEN]

    def first_status(self, response: FlowResponse) -> Status:
        """Return the status in the flow's own first response, which need not have one.

        :param response: the flow's response, of status 2xx
        """
        try:
            return self.status(response.body)
        except ExpressionError:
            return Status.RUNNING

    def result(self, response: FlowResponse) -> Any:
        """Return what ``result`` selects from the report of a run that has succeeded.

        :param response: the status flow's response
        :raises CoreError: of kind ``NO_RESPONSE`` if it cannot be evaluated over it
        """
        try:
            return super().result(response)
        except ExpressionError as error:
            raise CoreError(
                ErrorKind.NO_RESPONSE,
                f"The run has succeeded, and the result of StatusFlow cannot be read: {error}",
                _STATUS_FLOW,
                detail=describe_response(response),
                response=response,
            ) from None

    def report(self, response: FlowResponse, idempotency_key: str, flow: str) -> Status:
        """Return the status that the status flow reports.

        :param response: the status flow's response
        :param idempotency_key: the key of the run that it was asked for
        :param flow: the status flow, for the error
        :raises CoreError: of kind ``NO_RESPONSE`` if the response is about another run, or has no status
        """
        body = response.body
        if not isinstance(body, dict):
            problem = f"returned {describe_body(body, response.content_type)}, which has no status"
        elif body.get("idempotency_key") not in (None, idempotency_key):
            problem = "reported the status of another run"
        else:
            try:
                status = self.status(body)
            except ExpressionError as error:
                problem = f"reported no status: {error}".rstrip(".")
            else:
                if status is not Status.RUNNING or self._is_running(body):
                    return status
                problem = f"reported an unknown status: {self.describe(response)}"
        raise CoreError(
            ErrorKind.NO_RESPONSE,
            f"The status flow {shown(flow, 40)} {problem}.",
            _STATUS_FLOW,
            detail=f"{describe_response(response)}\nIdempotency key asked for: {idempotency_key}",
            flow=flow,
            idempotency_key=idempotency_key,
        )

    def _is_running(self, body: dict[str, Any]) -> bool:
        if self._has_four_statuses:
            return body.get("status") == "RUNNING"
        return self._success.can_see(body)


def _is_not_found(body: Any) -> bool:
    return isinstance(body, dict) and body.get("status") == _NOT_FOUND


def blind(expression: Expression | None, response: FlowResponse) -> str:
    """Return why an expression cannot find what it looks for in a response: a sentence; empty if it can.

    :param expression: the expression, or None
    :param response: the response
    """
    return "" if expression is None else expression.blindness(response.body, response.content_type)


def describe_response(response: FlowResponse) -> str:
    """Return a description of a response and its execution id, for the details of an error.

    :param response: the response
    """
    execution = f"execution {response.execution_id}" if response.execution_id else "no execution id"
    return f"The response is {describe_body(response.body, response.content_type)}; {execution}."


def select_result(selection: Expression | None, response: FlowResponse) -> Any:
    """Return what ``result`` selects from a response, or the whole body.

    :param selection: the expression, or None
    :param response: the response
    :raises ExpressionError: if it cannot be evaluated over the body, or refers to members of a body that is not JSON
    """
    if selection is None:
        return response.body
    if not isinstance(response.body, (dict, list)) and not selection.can_see(response.body):
        raise ExpressionError(f"result selects nothing: {selection.describe(response.body, response.content_type)}")
    return selection.search(response.body)
