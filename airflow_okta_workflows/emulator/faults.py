"""Faults that can be injected into the local org, each for the next requests to one endpoint.

Each fault implements its own behavior. To add one, write a class here and export it from the package.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from airflow_okta_workflows.emulator.responses import BrokenOff, RawResponse, json_response
from airflow_okta_workflows.emulator.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.emulator.exchange import Exchange


class Fault:
    """Base class of faults, which by itself changes nothing."""

    async def before(self, exchange: Exchange) -> RawResponse | None:
        """Act before the endpoint handles the request, and return a response to send instead of its own, or None.

        :param exchange: the exchange
        """

    async def after(self, exchange: Exchange, response: RawResponse) -> RawResponse:
        """Act once the flow has run, or the endpoint has decided, and return the response to send.

        :param exchange: the exchange
        :param response: the response of the flow or the endpoint
        """
        return response

    async def send(self, exchange: Exchange, response: RawResponse) -> None:
        """Send the response.

        :param exchange: the exchange
        :param response: the response
        """
        await exchange.respond(response)


@dataclass(frozen=True)
class Latency(Fault):
    """A delayed response.

    :param seconds: the delay
    :param after_run: wait after the flow has run instead of before
    """

    seconds: float
    after_run: bool = False

    async def before(self, exchange: Exchange) -> RawResponse | None:
        if not self.after_run:
            await asyncio.sleep(self.seconds)
        return None

    async def after(self, exchange: Exchange, response: RawResponse) -> RawResponse:
        if self.after_run:
            await asyncio.sleep(self.seconds)
        return response


@dataclass(frozen=True)
class Reset(Fault):
    """A connection that is reset, without a response.

    :param after_run: let the flow run first
    """

    after_run: bool = False

    async def before(self, exchange: Exchange) -> RawResponse | None:
        return None if self.after_run else exchange.reset()

    async def after(self, exchange: Exchange, response: RawResponse) -> RawResponse:
        exchange.reset()


@dataclass(frozen=True)
class Truncate(Fault):
    """A run, then a response that is cut off in the middle of its body."""

    async def send(self, exchange: Exchange, response: RawResponse) -> None:
        await exchange.respond(response, missing=10)


@dataclass(frozen=True)
class Answer(Fault):
    """A given response instead of that of the flow or the endpoint.

    :param status: the HTTP status
    :param body: the body
    :param headers: the headers
    :param after_run: let the flow run first
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_run: bool = False

    async def before(self, exchange: Exchange) -> RawResponse | None:
        return None if self.after_run else RawResponse(self.status, self.body, self.headers)

    async def after(self, exchange: Exchange, response: RawResponse) -> RawResponse:
        return RawResponse(self.status, self.body, self.headers)


def HtmlError(status: int = 502, *, after_run: bool = False) -> Answer:  # noqa: N802  # named like the fault classes
    """Return a fault: the HTML page of a load balancer that cannot reach its target.

    :param status: 502, 503 or 504
    :param after_run: let the flow run first
    """
    page = f"<html><head><title>{status}</title></head><body><h1>{status} Gateway</h1></body></html>"
    return Answer(status, page.encode(), {"Content-Type": "text/html"}, after_run)


@dataclass(frozen=True)
class Interim(Fault):
    """Interim responses (1xx) before the final one.

    :param status: 100, 102 or 103
    :param times: the number of interim responses
    """

    status: int = 103
    times: int = 1

    async def before(self, exchange: Exchange) -> RawResponse | None:
        exchange.write(_interim(self.status) * self.times)
        return None


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Drip(Fault):
    """A run, then a response that arrives in tiny pieces and never ends.

    :param where: the part that never ends: ``head``, ``body``, ``chunks``, ``trailers``, or ``interim`` responses
    :param every: seconds from one piece to the next
    """

    where: Literal["head", "body", "chunks", "trailers", "interim"] = "body"
    every: float = 0.05

    async def after(self, exchange: Exchange, response: RawResponse) -> RawResponse:
        begin, unit = {
            "head": (_HEAD + b"X-Drip: ", b"a"),
            "body": (_HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
            "chunks": (_CHUNKED + b"2;x=", b"a"),
            "trailers": (_CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-Drip: a\r\n"),
            "interim": (b"", _interim(100)),
        }[self.where]
        exchange.write(begin)
        while exchange.write(unit):  # noqa: ASYNC110  # no polling: it sends until the client disconnects
            await asyncio.sleep(self.every)
        raise BrokenOff


def TruncatedGzip(body: bytes = b'{"account": "00u1"}' * 100) -> Answer:  # noqa: N802  # named like the fault classes
    """Return a fault: a run, then half a gzip stream, with a Content-Length that fits that half.

    :param body: the uncompressed content of the whole stream
    """
    stream = gzip.compress(body, mtime=0)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return Answer(200, stream[: len(stream) // 2], headers, after_run=True)


@dataclass(frozen=True)
class TooManyRequests(Fault):
    """A 429 response, without a run.

    :param retry_after: the seconds in the ``Retry-After`` header; None for no such header
    :param reset_in: seconds until the time in ``X-Rate-Limit-Reset``; None for no ``X-Rate-Limit`` headers
    """

    retry_after: int | None = None
    reset_in: int | None = None

    async def before(self, exchange: Exchange) -> RawResponse | None:
        refusal = json_response(429, RULES["L4"].expected["body"])
        headers = dict(refusal.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.reset_in is not None:
            headers["X-Rate-Limit-Limit"] = str(exchange.rate_limit or 10)
            headers["X-Rate-Limit-Remaining"] = "0"
            headers["X-Rate-Limit-Reset"] = str(int(exchange.now()) + self.reset_in)
        return RawResponse(refusal.status, refusal.body, headers)


def _interim(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n\r\n".encode()
