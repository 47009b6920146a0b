"""What can go wrong, as the core tells it; :mod:`airflow_okta_workflows.exceptions` gives it Airflow's meaning."""

from __future__ import annotations

from enum import Enum
from typing import Any


class ErrorKind(Enum):
    """Name how far things got, which decides whether trying again is safe."""

    CONFIGURATION = "configuration"
    """Nothing was sent, and trying again cannot help."""
    TOKEN = "token"  # noqa: S105  # the name of a kind, not a token
    """No token now; trying again may help."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105  # the name of a kind, not a token
    """The org refused the token request: something has to be changed."""
    NOT_SENT = "not_sent"
    """The invocation never reached the flow's host."""
    REFUSED = "refused"
    """The flow's host refused the invocation before the flow ran."""
    RATE_LIMITED = "rate_limited"
    """Refused with 429 before the flow ran, for longer than the call may wait."""
    FAILED = "failed"
    """The flow ran, or may have run, and answered that it failed."""
    BAD_RESPONSE = "bad_response"
    """Answered, but the answer cannot be taken."""
    NO_RESPONSE = "no_response"
    """Sent, fate unknown, declared idempotent."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """Sent, fate unknown, not idempotent."""


class CoreError(Exception):  # not an error class of its own: it becomes one of `exceptions`
    """Carry one finding of the core to the shell that will raise it.

    :param kind: how far things got
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
        """Return the same finding without a traceback, for somebody else to raise."""
        return CoreError(self.kind, self.message, self.hint, **self.data)


def configuration_error(message: str, hint: str = "") -> CoreError:
    """Make the error of a setting or an argument that cannot work."""
    return CoreError(ErrorKind.CONFIGURATION, message, hint)
