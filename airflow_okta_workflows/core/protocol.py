"""Steps of a conversation, which its driver performs.

A conversation is a generator. It yields steps (send this request, wait, read this file), and the driver sends it the
event that results from each step. It returns its result, or raises a
:class:`~airflow_okta_workflows.core.errors.CoreError`.

Steps, like all that is created for each request or each item of a batch, are not frozen dataclasses: those take several
times as long to create, and a batch of a hundred thousand items creates more than a million.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from airflow_okta_workflows.core.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from airflow_okta_workflows.core.http.types import HttpRequest

T = TypeVar("T")
StepT = TypeVar("StepT")


class StopRequested(BaseException):  # not an Exception: like GeneratorExit, it ends the conversation
    """Exception that a driver throws into a conversation at a step that leads to sending, if the task was stopped."""


@dataclass
class Send:
    """Step that sends a request; the event is an :class:`HttpResponse` or a :class:`TransportFailure`."""

    request: HttpRequest


@dataclass
class Wait:
    """Step that waits; the event is None.

    :param seconds: how long
    :param reason: why, for the log; empty to log nothing
    :param rate_limited: whether the flow's host requested the wait
    """

    seconds: float
    reason: str
    rate_limited: bool = False


@dataclass
class AcquireRateLimit:
    """Step that waits until the flow's rate limit admits one more invocation; the event is None."""


@dataclass
class Throttle:
    """Step that slows down all invocations of the flow, because its host returned 429; the event is None.

    :param seconds: the wait before the next attempt
    """

    seconds: float


@dataclass
class Call:
    """Step that calls a function; the event is what the function returns, or the :class:`CoreError` that it raises.

    :param function: the function, which for example reads a key or a file
    :param in_thread: whether a driver on an event loop calls the function in a thread, because it may block
    """

    function: Callable[[], object] = field(repr=False)
    in_thread: bool = True

    def perform(self) -> object:
        """Call the function, and return the event."""
        try:
            return self.function()
        except CoreError as error:
            return error.with_traceback(None)


@dataclass
class Join:
    """Step that waits until another conversation has ended; the event is None.

    :param outcome: the result of the other conversation; the future cannot be cancelled
    """

    outcome: Future[Any] = field(repr=False)


@dataclass
class MaskSecrets:
    """Step that masks strings in the logs from now on; the event is None.

    :param texts: the secrets
    :param until: when they stop being secrets, in seconds since the epoch: a token is useless once it has expired
    """

    texts: tuple[str, ...] = field(repr=False)
    until: float


class InvocationState(Enum):
    """State of an invocation, now or when its checkpoint was written."""

    SENDING = "sending"
    """It is about to be sent: from now on the flow may have run."""
    NOT_RUN = "not_run"
    """It was not sent, or was refused before the flow ran."""
    STARTED = "started"
    """The run exists, and its status flow tells how it ends. Written only for a flow with a status flow."""
    RESPONDED = "responded"
    """The flow ran and responded; the checkpoint has the response."""
    FAILED = "failed"
    """The flow ran and failed, or its response did not meet the task's conditions: a retry may request another run."""
    UNREADABLE = "unreadable"
    """This version of the provider cannot read the checkpoint: the flow may have run. Never written."""


@dataclass
class Checkpoint:
    """Step that writes a checkpoint before the invocation continues; the event is None.

    :param state: ``SENDING`` or ``NOT_RUN``
    """

    state: InvocationState


@dataclass
class Log:
    """Step that logs a warning; the event is None."""

    text: str


Step = Send | Wait | Join | AcquireRateLimit | Throttle | Call | MaskSecrets | Checkpoint | Log
Conversation = Generator[Step, object, T]


def call(function: Callable[[], T], *, in_thread: bool = True) -> Conversation[T]:
    """Have the driver call a function, and return the function's result; the parameters are those of :class:`Call`.

    :raises CoreError: if the function raises it
    """
    event = yield Call(function, in_thread)
    if isinstance(event, CoreError):
        raise event
    return cast("T", event)


@dataclass
class End(Generic[T]):
    """End of a conversation, with its result."""

    result: T


def resume(conversation: Generator[StepT, object, T], event: object) -> StepT | End[T]:
    """Resume a conversation with the event of its last step, and return its next step or its end.

    :param conversation: the conversation
    :param event: the event, or a :class:`StopRequested`; None at the beginning
    """
    try:
        if isinstance(event, StopRequested):
            return conversation.throw(event)
        return conversation.send(event)
    except StopIteration as end:
        return End(end.value)
