"""The errors of this provider.

::

    OktaWorkflowsError(AirflowException)
    ├── OktaConfigurationError              also AirflowFailException: no retry can help
    ├── OktaTokenError                      may be tried again
    │   └── OktaTokenRefusedError           also OktaConfigurationError
    └── OktaFlowError
        ├── OktaFlowNotSentError            no connection after 3 attempts; may be tried again
        ├── OktaFlowRefusedError            401/403/404 before the flow ran
        ├── OktaFlowRateLimitedError        429 for longer than the call may wait
        ├── OktaFlowFailedError             the flow, or a condition on its answer, said that it failed
        ├── OktaFlowResponseError             too large or a redirect; also AirflowFailException
        └── OktaFlowNoResponseError           sent, fate unknown, idempotent: may be tried again
            └── OktaFlowOutcomeUnknownError sent, fate unknown, not idempotent; also AirflowFailException

Each says what happened, why, and what to change, and carries its data as attributes. None carries a secret.
An error that is also an ``AirflowFailException`` ends the task's retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.frames import NoFrames

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from airflow_okta_workflows.core.flows.response import FlowResponse


class OktaWorkflowsError(AirflowException):
    """Base class of all errors of this provider.

    :param message: what happened, why, and what to change
    :param data: values for the attributes that the class declares
    """

    hint: str = ""
    """The part of the message that says what to change, or empty."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        for name, value in data.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            setattr(self, name, value)

    def to_json(self) -> dict[str, Any]:
        """Return the error as a JSON object: its class, its message and its data."""
        data = dict(vars(self))
        if isinstance(self, OktaFlowError) and self.response is not None:
            data["response"] = self.response.to_json()
        return {"class": type(self).__name__, "message": str(self), "data": data}


class OktaConfigurationError(OktaWorkflowsError, AirflowFailException):
    """A connection or an argument cannot work, so no retry can help."""

    problems: tuple[str, ...] = ()
    """Each error that was found in a connection, a sentence each; empty where there was only one."""


class OktaTokenError(OktaWorkflowsError):
    """There is no access token now; trying again may help."""

    error: str | None = None
    """The token endpoint's ``error`` (RFC 6749, section 5.2), if it gave one."""
    error_description: str | None = None
    status_code: int | None = None  # type: ignore[assignment]  # Airflow's class attribute is for its own API
    """The token endpoint's HTTP status; None if it did not answer."""


class OktaTokenRefusedError(OktaTokenError, OktaConfigurationError):
    """The org refused the token request; the hint says what to change there or in the connection."""


class OktaFlowError(OktaWorkflowsError):
    """Base class of what can go wrong with one invocation."""

    flow: str | None = None
    """The flow as the caller named it."""
    idempotency_key: str | None = None
    """The idempotency key that went, or would have gone, with the invocation."""
    response: FlowResponse | None = None
    """The answer, where there was one."""


class OktaFlowNotSentError(OktaFlowError):
    """No connection could be made: the flow did not run, and trying again is safe."""


class OktaFlowRefusedError(OktaFlowError):
    """The flow's host refused the invocation before the flow ran."""


class OktaFlowRateLimitedError(OktaFlowError):
    """The flow's host returned 429 for longer than the call may wait: the flow did not run."""

    retry_after: float | None = None
    """Seconds until the host said it would take the next request; None if it did not say."""


class OktaFlowFailedError(OktaFlowError):
    """The flow returned 4xx or 5xx, or a condition decided against its response."""


class OktaFlowResponseError(OktaFlowError, AirflowFailException):
    """The response is too large or a redirect; a retry would run the flow again, so there is none."""


class OktaFlowNoResponseError(OktaFlowError):
    """An idempotent invocation was sent, and its outcome is unknown: it may be tried again."""


class OktaFlowOutcomeUnknownError(OktaFlowNoResponseError, AirflowFailException):
    """An invocation was sent, and its outcome is unknown: it may have run, so it is not sent again."""


_CLASSES: dict[ErrorKind, type[OktaWorkflowsError]] = {
    ErrorKind.CONFIGURATION: OktaConfigurationError,
    ErrorKind.TOKEN: OktaTokenError,
    ErrorKind.TOKEN_REFUSED: OktaTokenRefusedError,
    ErrorKind.NOT_SENT: OktaFlowNotSentError,
    ErrorKind.REFUSED: OktaFlowRefusedError,
    ErrorKind.RATE_LIMITED: OktaFlowRateLimitedError,
    ErrorKind.FAILED: OktaFlowFailedError,
    ErrorKind.BAD_RESPONSE: OktaFlowResponseError,
    ErrorKind.NO_RESPONSE: OktaFlowNoResponseError,
    ErrorKind.OUTCOME_UNKNOWN: OktaFlowOutcomeUnknownError,
}


def error_from(error: CoreError) -> OktaWorkflowsError:
    """Give a error of the core the exception that tells Airflow what may follow.

    :param error: what the core found
    """
    return _CLASSES[error.kind](str(error), hint=error.hint, **error.data)


_BY_NAME: dict[str, type[OktaWorkflowsError]] = {
    OktaFlowError.__name__: OktaFlowError,
    **{error.__name__: error for error in _CLASSES.values()},
}


def error_from_json(value: Mapping[str, Any]) -> OktaWorkflowsError:
    """Return the error that :meth:`OktaWorkflowsError.to_json` described.

    :param value: the JSON object; what a later version may have added to it is left out
    """
    error = _BY_NAME.get(str(value.get("class")), OktaWorkflowsError)
    data = {name: item for name, item in dict(value.get("data") or {}).items() if hasattr(error, name)}
    if isinstance(data.get("response"), dict):
        from airflow_okta_workflows.core.flows.response import FlowResponse

        data["response"] = FlowResponse.from_json(data["response"])
    if isinstance(data.get("problems"), list):
        data["problems"] = tuple(data["problems"])
    return error(str(value.get("message")), **data)


_NOT_RUN = (
    OktaConfigurationError,
    OktaTokenError,
    OktaFlowNotSentError,
    OktaFlowRefusedError,
    OktaFlowRateLimitedError,
)


def outcome_of(error: OktaWorkflowsError) -> Outcome:
    """Return what an error says of the flow: whether it has run.

    :param error: what the invocation ended with
    """
    if isinstance(error, OktaFlowFailedError):
        return Outcome.FAILED
    return Outcome.NOT_SENT if isinstance(error, _NOT_RUN) else Outcome.UNKNOWN


def is_transient(error: OktaWorkflowsError) -> bool:
    """Return whether asking again a little later may go well: for polls, which change nothing.

    :param error: what the poll ended with
    """
    if isinstance(error, AirflowFailException):
        return False
    if isinstance(error, OktaFlowFailedError):
        return error.response is not None and error.response.status_code >= 500
    return isinstance(error, (OktaTokenError, OktaFlowNotSentError, OktaFlowRateLimitedError, OktaFlowNoResponseError))


class raise_provider_errors(NoFrames):  # noqa: N801  # reads as a function: with raise_provider_errors()
    """A boundary that no frame passes, and at which what the core found becomes the exception that it stands for."""

    explained = (CoreError, OktaWorkflowsError)

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        super().__exit__(kind, error, traceback)
        del traceback
        if isinstance(error, CoreError):
            raise error_from(error) from None
