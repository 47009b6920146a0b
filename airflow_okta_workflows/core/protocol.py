"""What passes between a conversation and whoever drives it.

A conversation is a generator. It yields steps (send this, wait so long, get a token) and is sent the event that
each step led to; it returns its result, or raises a :class:`~airflow_okta_workflows.core.errors.CoreError`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

from airflow_okta_workflows.core.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.keys.signing import SigningKey

T = TypeVar("T")


class StopRequested(BaseException):  # no error: as GeneratorExit, it ends what it is thrown into
    """Thrown into a conversation whose task was stopped, at a step that would have led to sending something."""


class Headers(Mapping[str, str]):
    """Hold the headers of an answer, looked up without regard to case (RFC 9110, section 5.1).

    :param pairs: the headers; of repeated ones the values are joined with a comma
    """

    def __init__(self, pairs: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        for name, value in (pairs or {}).items():
            self._add(name, value)

    @classmethod
    def decoded(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Self:
        """Return headers as they were on the wire: UTF-8 where the bytes are that, Latin-1 otherwise.

        :param pairs: the header fields, repeated ones included
        """
        headers = cls()
        for name, value in pairs:
            headers._add(name.decode("latin-1"), _decoded(value))
        return headers

    def _add(self, name: str, value: str) -> None:
        first = self._values.get(name.lower())
        self._values[name.lower()] = (first[0], f"{first[1]}, {value}") if first else (name, value)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@dataclass(frozen=True)
class HttpRequest:
    """Describe one HTTP request.

    :param method: ``GET`` or ``POST``
    :param url: the whole URL, query included
    :param headers: all headers but those that HTTP itself needs
    :param body: the encoded body, or None for none
    :param read_timeout: seconds that the answer may take; the connection's default if None
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    read_timeout: float | None = None


@dataclass(frozen=True)
class HttpResponse:
    """One HTTP response.

    :param status: the status code
    :param headers: its headers
    :param body: its body, decompressed; empty if it is unreadable
    :param elapsed: seconds from sending the request to the end of the body
    :param unreadable: why the body cannot be read: a phrase, such as "its compressed body is cut off"; empty if it can
    """

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    elapsed: float = 0.0
    unreadable: str = ""


class FailureKind(Enum):
    """Name how far a request got that has no whole answer."""

    NOT_SENT = "not sent"
    """DNS, connect, the proxy or the TLS handshake failed: nothing of the request left."""
    UNTRUSTED = "not sent, and another attempt cannot help"
    """The host's certificate or name is wrong, or this machine's CA bundle or proxy setting cannot be used."""
    OUTCOME_UNKNOWN = "sent, fate unknown"
    """Some of it was sent, and no whole response came."""


@dataclass(frozen=True)
class TransportFailure:
    """A request without a whole response.

    :param kind: how far it got
    :param detail: what happened, for people, without secrets
    :param hint: what to change, if more is known than the phase tells
    """

    kind: FailureKind
    detail: str
    hint: str = ""


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

    :param refused: the text of a token that the flow's host just refused, which must not come back
    """

    refused: str | None = field(default=None, repr=False)


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
