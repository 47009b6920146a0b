"""Errors of the core; :mod:`airflow_okta_workflows.exceptions` turns them into Airflow's exceptions."""

from __future__ import annotations

from enum import Enum
from typing import Any


class ErrorKind(Enum):
    """How far a token request or an invocation got, which decides whether a retry is safe."""

    CONFIGURATION = "configuration"
    """Nothing was sent, and a retry cannot help."""
    TOKEN = "token"  # noqa: S105  # the name of a kind, not a token
    """No token could be obtained now; a retry may help."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105  # the name of a kind, not a token
    """The org refused the token request: the app or the connection has to be changed."""
    NOT_SENT = "not_sent"
    """The invocation never reached the flow's host."""
    REFUSED = "refused"
    """The flow's host refused the invocation before the flow ran."""
    RATE_LIMITED = "rate_limited"
    """The flow's host returned 429 for longer than the call may wait: the flow did not run."""
    FAILED = "failed"
    """The flow ran, or may have run, and reported that it failed."""
    BAD_RESPONSE = "bad_response"
    """A response arrived that cannot be used: a redirect, or an unreadable body."""
    NO_RESPONSE = "no_response"
    """The invocation was sent and its outcome is unknown; it is declared idempotent."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """The invocation was sent and its outcome is unknown; it is not declared idempotent."""


class CoreError(Exception):
    """One error of the core, which ``raise_provider_errors`` turns into one of the provider's exceptions.

    :param kind: how far the token request or invocation got
    :param message: what happened and why: a sentence
    :param hint: what to change: a sentence, or empty
    :param data: the attributes of the exception it becomes, such as ``flow``, ``response`` or ``retry_after``
    """

    def __init__(self, kind: ErrorKind, message: str, hint: str = "", **data: Any) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.kind = kind
        self.message = message
        self.hint = hint
        self.data = data

    def copy(self) -> CoreError:
        """Return the same error without a traceback, for another caller to raise."""
        return CoreError(self.kind, self.message, self.hint, **self.data)


def configuration_error(message: str, hint: str = "") -> CoreError:
    """Return the error for a setting or an argument that cannot work."""
    return CoreError(ErrorKind.CONFIGURATION, message, hint)
