"""The errors of this provider.

::

    OktaWorkflowsError(AirflowException)
    ├── OktaConfigurationError              also AirflowFailException: no retry can help
    ├── OktaTokenError                      no token now; a retry may help
    │   └── OktaTokenRefusedError           also OktaConfigurationError
    ├── OktaBatchFileError                  a batch's payloads cannot be read, or its records not written, now
    └── OktaFlowError
        ├── OktaFlowNotSentError            no connection after 3 attempts; a retry is safe
        ├── OktaFlowRefusedError            401/403/404 before the flow ran
        ├── OktaFlowRateLimitedError        429 for longer than the call may wait
        ├── OktaFlowFailedError             the flow returned an error, or its response does not meet a condition
        ├── OktaFlowResponseError           redirect, or an unusable response; also AirflowFailException
        └── OktaFlowNoResponseError         sent, outcome unknown, idempotent: a retry is safe
            └── OktaFlowOutcomeUnknownError sent, outcome unknown, not idempotent; also AirflowFailException

The first line of a message says what happened, the second what to change, with a code that docs/troubleshooting.md
explains. Further lines are details. Attributes carry the data, and neither contains a secret.
An error that is also an ``AirflowFailException`` ends the task's retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_okta_workflows.core.errors import CoreError, ErrorKind, error_text, split_code
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.secret import public_part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from airflow_okta_workflows.core.flows.response import FlowResponse


class OktaWorkflowsError(AirflowException):
    """Base class of all errors of this provider.

    :param message: what happened: one sentence
    :param hint: what to change, after its code: ``OKW-1201: Set …``; empty if there is nothing to change
    :param detail: further lines of the text, or empty
    :param data: values of attributes that the class declares
    """

    message: str = ""
    """The first line: what happened."""
    hint: str = ""
    """The part of the text that says what to change; empty if there is none."""
    code: str = ""
    """The code of the hint, such as ``OKW-1201``; docs/troubleshooting.md explains it."""
    detail: str = ""
    """Further lines of the text; empty if there are none."""

    def __init__(self, message: str, *, hint: str = "", detail: str = "", **data: Any) -> None:
        super().__init__(error_text(message, hint, detail))
        self.message = message
        self.code, self.hint = split_code(hint)
        self.detail = detail
        for name, value in data.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            setattr(self, name, value)

    @property
    def coded_hint(self) -> str:
        """The hint after its code, as the constructor takes it."""
        return f"{self.code}: {self.hint}" if self.code else self.hint

    def to_json(self) -> dict[str, Any]:
        """Return the error as a JSON object: its class, its message and its data."""
        data = {name: value for name, value in vars(self).items() if name not in vars(OktaWorkflowsError)}
        data |= {"hint": self.coded_hint, "detail": self.detail}
        if isinstance(self, OktaFlowError) and self.response is not None:
            data["response"] = self.response.to_json()
        return {"class": type(self).__name__, "message": self.message, "data": data}


class OktaConfigurationError(OktaWorkflowsError, AirflowFailException):
    """A connection or an argument cannot work, so no retry can help."""

    problems: tuple[str, ...] = ()
    """All errors found in a connection, as sentences; empty if there is only one."""


class OktaTokenError(OktaWorkflowsError):
    """No access token is available now; a retry may help."""

    error: str | None = None
    """The token endpoint's ``error`` (RFC 6749, section 5.2), if it gave one."""
    error_description: str | None = None
    status_code: int | None = None  # type: ignore[assignment]  # Airflow's class has an HTTPStatus there
    """The token endpoint's HTTP status; None if it did not respond."""


class OktaTokenRefusedError(OktaTokenError, OktaConfigurationError):
    """The org refused the token request; the hint says what to change in the org or in the connection."""


class OktaBatchFileError(OktaWorkflowsError):
    """The payloads of a batch could not be read, or its records could not be written; a retry may help, and is safe."""

    path: str | None = None
    """The file, or None if there is none."""


class OktaFlowError(OktaWorkflowsError):
    """Base class of the errors of one invocation."""

    flow: str | None = None
    """The flow as the caller named it."""
    idempotency_key: str | None = None
    """The idempotency key of the invocation, whether or not it was sent."""
    response: FlowResponse | None = None
    """The response, if there was one."""

    def __init__(self, message: str, *, flow: str | None = None, **data: Any) -> None:
        if isinstance(flow, str) and "/" in flow:
            # An error may come before the URL is checked: its query or its user may be secret.
            flow = public_part(flow)
        super().__init__(message, **data, **({} if flow is None else {"flow": flow}))


class OktaFlowNotSentError(OktaFlowError):
    """The invocation could not be sent: the flow did not run, and a retry is safe."""


class OktaFlowRefusedError(OktaFlowError):
    """The flow's host refused the invocation before the flow ran."""


class OktaFlowRateLimitedError(OktaFlowError):
    """The flow's host returned 429 for longer than the call may wait: the flow did not run."""

    retry_after: float | None = None
    """Seconds until the host said it would take the next request; None if it did not say."""


class OktaFlowFailedError(OktaFlowError):
    """The flow returned 4xx or 5xx, or its response does not meet a condition of the task."""


class OktaFlowResponseError(OktaFlowError, AirflowFailException):
    """The response is a redirect, too large or unreadable. The flow may have run, so there is no retry."""


class OktaFlowNoResponseError(OktaFlowError):
    """An idempotent invocation was sent, and its outcome is unknown; a retry is safe."""


class OktaFlowOutcomeUnknownError(OktaFlowNoResponseError, AirflowFailException):
    """An invocation was sent, and its outcome is unknown: the flow may have run, so there is no retry."""


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
    """Return the exception for an error of the core; its class tells Airflow whether a retry may follow.

    :param error: the error of the core
    """
    return _CLASSES[error.kind](error.message, hint=error.hint, detail=error.detail, **error.data)


_BY_NAME: dict[str, type[OktaWorkflowsError]] = {
    OktaFlowError.__name__: OktaFlowError,
    OktaBatchFileError.__name__: OktaBatchFileError,
    **{error.__name__: error for error in _CLASSES.values()},
}


def error_from_json(value: Mapping[str, Any]) -> OktaWorkflowsError:
    """Return the error that :meth:`OktaWorkflowsError.to_json` described.

    :param value: the JSON object; attributes that only a later version declares are ignored
    """
    error = _BY_NAME.get(str(value.get("class")), OktaWorkflowsError)
    known = dict(value.get("data") or {})
    data = {name: item for name, item in known.items() if hasattr(error, name)}
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
    """Return the outcome of an invocation that ended with an error.

    :param error: the error
    """
    if isinstance(error, OktaFlowFailedError):
        return Outcome.FAILED
    return Outcome.NOT_SENT if isinstance(error, _NOT_RUN) else Outcome.UNKNOWN


def is_transient(error: OktaWorkflowsError) -> bool:
    """Return whether a failed poll may succeed a little later. Only for polls: they change nothing, so a retry is safe.

    :param error: the error
    """
    if isinstance(error, AirflowFailException):
        return False
    if isinstance(error, OktaFlowFailedError):
        return error.response is not None and error.response.status_code >= 500
    return isinstance(error, (OktaTokenError, OktaFlowNotSentError, OktaFlowRateLimitedError, OktaFlowNoResponseError))


class raise_provider_errors(NoFrames):  # noqa: N801  # used like a function: with raise_provider_errors()
    """Context manager that raises errors of the core as exceptions of this provider, and removes all stack frames."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        super().__exit__(kind, error, traceback)
        del traceback
        if isinstance(error, CoreError):
            raise error_from(error) from None
