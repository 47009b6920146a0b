"""Faults that can be ordered from the local org, each for the next requests of one endpoint."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Latency:
    """Answer late.

    :param seconds: how late
    :param after_run: wait after the flow ran, rather than before
    """

    seconds: float
    after_run: bool = False


@dataclass(frozen=True)
class Reset:
    """Reset the connection without an answer.

    :param after_run: let the flow run first
    """

    after_run: bool = False


@dataclass(frozen=True)
class Truncate:
    """Run, and cut the answer off in the middle of its body."""


@dataclass(frozen=True)
class Answer:
    """Answer in the flow's or the endpoint's place.

    :param status: the HTTP status
    :param body: the body
    :param headers: the headers
    :param after_run: let the flow run first
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_run: bool = False


def HtmlError(status: int = 502, *, after_run: bool = False) -> Answer:  # noqa: N802  # reads as the other faults
    """Answer as a load balancer does when it cannot reach what is behind it.

    :param status: 502, 503 or 504
    :param after_run: let the flow run first
    """
    page = f"<html><head><title>{status}</title></head><body><h1>{status} Gateway</h1></body></html>"
    return Answer(status, page.encode(), {"Content-Type": "text/html"}, after_run)


@dataclass(frozen=True)
class Interim:
    """Interim responses (1xx) before the one that counts.

    :param status: 100, 102 or 103
    :param times: how many
    """

    status: int = 103
    times: int = 1


@dataclass(frozen=True)
class Drip:
    """A run, and a response that comes a little at a time and never ends.

    :param where: what comes so: ``head``, ``body``, ``chunks``, ``trailers``, or ``interim`` responses
    :param every: seconds from one byte to the next
    """

    where: Literal["head", "body", "chunks", "trailers", "interim"] = "body"
    every: float = 0.05


def TruncatedGzip(body: bytes = b'{"account": "00u1"}' * 100) -> Answer:  # noqa: N802  # reads as the other faults
    """Return a fault: a run, and a gzip stream that is cut off, under a Content-Length that fits what is left.

    :param body: what the whole stream holds
    """
    stream = gzip.compress(body, mtime=0)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return Answer(200, stream[: len(stream) // 2], headers, after_run=True)


@dataclass(frozen=True)
class TooManyRequests:
    """Answer 429 without running.

    :param retry_after: seconds for a ``Retry-After`` header; None for none
    :param reset_in: seconds until the time in ``X-Rate-Limit-Reset``; None for no such header
    """

    retry_after: int | None = None
    reset_in: int | None = None


Fault = Latency | Reset | Truncate | Answer | TooManyRequests | Interim | Drip
