"""The steps of a conversation, which its driver performs.

A conversation is a generator. It yields steps (send this request, wait, read this file) and is sent the event that each
step led to. It returns its result, or raises a :class:`~airflow_okta_workflows.core.errors.CoreError`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, cast

from airflow_okta_workflows.core.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from airflow_okta_workflows.core.http.types import HttpRequest

T = TypeVar("T")


class StopRequested(BaseException):  # no error: as GeneratorExit, it ends what it is thrown into
    """Thrown into a conversation whose task was stopped, at a step that would have led to sending something."""


@dataclass(frozen=True)
class Send:
    """Ask the driver to send a request; the event is an :class:`HttpResponse` or :class:`TransportFailure`."""

    request: HttpRequest


@dataclass(frozen=True)
class Wait:
    """Ask the driver to wait; the event is None.

    :param seconds: how long
    :param reason: why, for the log; empty for what is not worth a line
    :param rate_limited: whether the flow's host asked for it, so that others should hold back as well
    """

    seconds: float
    reason: str
    rate_limited: bool = False


@dataclass(frozen=True)
class AcquireRateLimit:
    """Ask the driver for a moment at which the flow takes one more invocation; the event is None."""


@dataclass(frozen=True)
class Call:
    """A request to the driver to call a function; the event is what it returns, or the :class:`CoreError` it raises.

    :param function: reads a key or a file, for example
    :param in_thread: whether a driver on an event loop calls it in a thread, since it may take a while
    """

    function: Callable[[], object] = field(repr=False)
    in_thread: bool = True

    def perform(self) -> object:
        """Return the event."""
        try:
            return self.function()
        except CoreError as error:
            return error.with_traceback(None)


@dataclass(frozen=True)
class Join:
    """A request to the driver to wait until another conversation has its outcome; the event is None.

    :param outcome: what the other conversation leads to; it cannot be cancelled
    """

    outcome: Future[Any] = field(repr=False)


@dataclass(frozen=True)
class MaskSecrets:
    """Ask the driver to keep texts out of the logs from now on; the event is None.

    :param texts: the secrets
    :param until: when they stop being secrets, in seconds since the epoch: a token is of no use after its end
    """

    texts: tuple[str, ...] = field(repr=False)
    until: float


class InvocationState(Enum):
    """How far an invocation is, or was when a checkpoint was written."""

    SENDING = "sending"
    """It is about to be sent: from now on the flow may have run."""
    NOT_RUN = "not_run"
    """It was not sent, or was refused before the flow ran."""
    RESPONDED = "responded"
    """The flow ran and responded; the checkpoint has the response."""
    FAILED = "failed"
    """The flow ran and failed, or its response did not satisfy: a retry may ask for another run."""
    UNREADABLE = "unreadable"
    """This version of the provider cannot read the checkpoint: the flow may have run. Never written."""


@dataclass(frozen=True)
class Checkpoint:
    """A request to the driver to write a checkpoint before the invocation goes on; the event is None.

    :param state: how far it is: ``SENDING`` or ``NOT_RUN``
    """

    state: InvocationState


@dataclass(frozen=True)
class Log:
    """Ask the driver to log a warning; the event is None."""

    text: str


Step = Send | Wait | Join | AcquireRateLimit | Call | MaskSecrets | Checkpoint | Log
Conversation = Generator[Step, object, T]


def call(function: Callable[[], T], *, in_thread: bool = True) -> Conversation[T]:
    """Return what a function returns that the driver calls; the parameters are those of :class:`Call`.

    :raises CoreError: if the function does
    """
    event = yield Call(function, in_thread)
    if isinstance(event, CoreError):
        raise event
    return cast("T", event)
