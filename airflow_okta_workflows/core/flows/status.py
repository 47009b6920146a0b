"""The status of a long-running flow, as reported by its status flow."""

from __future__ import annotations

from enum import Enum
from typing import Any

from airflow_okta_workflows.core.flows.expressions import Expression, compile_optional


class Status(Enum):
    """The status of the long-running flow."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class StatusRule:
    """Conditions that map a status flow's response to a status, the same on the worker and in the triggerer.

    :param success_when: a JMESPath expression that is true when the long-running flow has succeeded
    :param failure_when: a JMESPath expression that is true when it has failed, or None
    :param result: a JMESPath expression that selects the result, or None for the whole body
    :raises CoreError: if one of them is not a valid JMESPath expression
    """

    def __init__(self, success_when: str, failure_when: str | None, result: str | None = None) -> None:
        self._success = Expression(success_when, "success_when")
        self._failure = compile_optional(failure_when, "failure_when")
        self._result = compile_optional(result, "result")

    def status(self, body: Any) -> Status:
        """Return the status in a response; failure takes precedence over success.

        :param body: the response's body
        :raises ExpressionError: if an expression cannot be evaluated over it
        """
        if self._failure and self._failure.is_true(body):
            return Status.FAILED
        return Status.SUCCEEDED if self._success.is_true(body) else Status.RUNNING

    def result(self, body: Any) -> Any:
        """Return what ``result`` selects from a response, or the whole body.

        :param body: the response's body
        :raises ExpressionError: if it cannot be evaluated over it
        """
        return self._result.search(body) if self._result else body
