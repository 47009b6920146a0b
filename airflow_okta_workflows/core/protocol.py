"""What passes between a conversation and whoever drives it.

A conversation is a generator. It yields steps (send this, wait so long, get a token) and is sent the event that
each step led to; it returns its result, or raises a :class:`~airflow_okta_workflows.core.errors.CoreError`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from airflow_okta_workflows.core.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.http.types import HttpRequest, HttpResponse, TransportFailure
    from airflow_okta_workflows.core.keys.signing import SigningKey

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
class GetToken:
    """Ask the driver for an access token; the event is its text.

    :param rejected_token: the text of a token that the flow's host just refused, which must not come back
    """

    rejected_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LoadKey:
    """Ask the driver for the signing key; the event is the key, or the :class:`CoreError` that says why there is none.

    Reading a key takes time and may read a file, so a driver on an event loop does it in a thread.

    :param load: returns the key
    """

    load: Callable[[], SigningKey] = field(repr=False)

    def perform(self) -> SigningKey | CoreError:
        """Return the event."""
        try:
            return self.load()
        except CoreError as error:
            return error.with_traceback(None)


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


Step = Send | Wait | AcquireRateLimit | GetToken | LoadKey | MaskSecrets | Checkpoint | Log
Event: TypeAlias = "HttpResponse | TransportFailure | SigningKey | CoreError | str | None"
Conversation = Generator[Step, Event, T]
