"""What a status flow's answer says of the flow that is waited for."""

from __future__ import annotations

from enum import Enum
from typing import Any

from airflow_okta_workflows.core.flows.expressions import Expression, compile_optional


class Status(Enum):
    """How the flow that is waited for is doing."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class StatusRule:
    """Read a status flow's answer, alike on the worker and in the triggerer.

    :param success_when: a JMESPath expression that holds when the flow has succeeded
    :param failure_when: one that holds when it has failed, or None
    :param result: one that selects the result, or None for the whole body
    :raises CoreError: if one of them is not JMESPath
    """

    def __init__(self, success_when: str, failure_when: str | None, result: str | None = None) -> None:
        self._success = Expression(success_when, "success_when")
        self._failure = compile_optional(failure_when, "failure_when")
        self._result = compile_optional(result, "result")

    def status(self, body: Any) -> Status:
        """Return what an answer says; a failure counts before a success.

        :param body: the answer's body
        :raises ExpressionError: if an expression cannot be evaluated over it
        """
        if self._failure and self._failure.is_true(body):
            return Status.FAILED
        return Status.SUCCEEDED if self._success.is_true(body) else Status.RUNNING

    def result(self, body: Any) -> Any:
        """Return what ``result`` selects of an answer, or all of it.

        :param body: the answer's body
        :raises ExpressionError: if it cannot be evaluated over it
        """
        return self._result.search(body) if self._result else body
