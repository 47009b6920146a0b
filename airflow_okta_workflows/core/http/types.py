"""HTTP requests, responses and transport failures."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import Self, TypeVar, overload

T = TypeVar("T")


class Headers(Mapping[str, str]):
    """The headers of a response, looked up without regard to case (RFC 9110, section 5.1).

    :param pairs: the headers; the values of a repeated name are joined with a comma
    """

    def __init__(self, pairs: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        self._add((pairs or {}).items())

    @classmethod
    def decoded(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Self:
        """Return decoded headers: each value as UTF-8 if it is valid UTF-8, as Latin-1 otherwise.

        :param pairs: the header fields as they were on the wire, repeated ones included
        """
        texts = []
        for name, value in pairs:
            try:
                text = value.decode()
            except UnicodeDecodeError:
                text = value.decode("latin-1")
            texts.append((name.decode("latin-1"), text))
        headers = cls()
        headers._add(texts)
        return headers

    def _add(self, pairs: Iterable[tuple[str, str]]) -> None:
        for name, value in pairs:
            key = name.lower()
            first = self._values.get(key)
            self._values[key] = (first[0], f"{first[1]}, {value}") if first else (name, value)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: T) -> str | T: ...
    def get(self, name: str, default: T | None = None) -> str | T | None:
        """Return a value, or the default if there is none."""
        # That of Mapping catches a KeyError.
        found = self._values.get(name.lower())
        return found[1] if found else default

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def items(self) -> ItemsView[str, str]:
        """Return the names and values."""
        # That of Mapping looks up each name again.
        return dict(self._values.values()).items()

    @property
    def text(self) -> str:
        """All names and values, one to a line."""
        return "\n".join(chain.from_iterable(self._values.values()))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"


@dataclass
class HttpRequest:
    """One HTTP request.

    :param method: ``GET`` or ``POST``
    :param url: the whole URL, including the query
    :param headers: the headers, without those that the transport adds, such as ``Host``
    :param body: the encoded body; None for a request without a body
    :param read_timeout: seconds that the response may take; the connection's default if None
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    read_timeout: float | None = None


@dataclass
class HttpResponse:
    """One HTTP response.

    :param status: the status code
    :param headers: the headers
    :param body: the body, decompressed; of an unreadable one, as much of its beginning as can be decompressed
    :param elapsed: seconds from sending the request to the end of the body
    :param unreadable: why the body cannot be read: a phrase, such as "its compressed body is cut off"; empty if it can
    """

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    elapsed: float = 0.0
    unreadable: str = ""


class FailureKind(Enum):
    """How far a request without a complete response got."""

    NOT_SENT = "not sent"
    """DNS, connect, the proxy or the TLS handshake failed: no part of the request was sent."""
    UNTRUSTED = "not sent, and another attempt cannot help"
    """The host's certificate or name is wrong, or this machine's CA bundle or proxy setting cannot be used."""
    OUTCOME_UNKNOWN = "sent, fate unknown"
    """At least a part of the request was sent, and no complete response arrived."""


@dataclass(frozen=True)
class TransportFailure:
    """A request without a complete response.

    :param kind: how far it got
    :param detail: what happened, for people, without secrets
    :param hint: what to change, if more is known than the kind implies; otherwise empty
    :param response: the beginning of a response, unreadable for the same reason, if at least its head arrived
    """

    kind: FailureKind
    detail: str
    hint: str = ""
    response: HttpResponse | None = None
