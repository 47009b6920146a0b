"""Send requests with aiohttp, for event loops."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.content import http_response
from airflow_okta_workflows.transport import failures
from airflow_okta_workflows.transport.failures import TransportError, lost_by, refused_by, unusable
from airflow_okta_workflows.transport.network import (
    CHUNK,
    MAX_HEAD,
    all_headers,
    is_too_large,
    proxy_for,
    tls_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.http.proxies import Proxy
    from airflow_okta_workflows.core.http.types import HttpRequest, HttpResponse, TransportFailure


_MOST_CONNECTIONS = 2000
_LEAST_CONNECTIONS = 100
_OTHER_FILES = 200


_LARGE = 2**20
"""Bytes of a body that aiohttp warns of if it gets them in one piece."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)
"""aiohttp's own limits round up to whole seconds, and none of them ends a CONNECT together with what leads to it."""


class _Connector(aiohttp.TCPConnector):
    """A pool that is as careful as that of the other transport. No part of aiohttp's is public; tests hold these."""

    async def _get(self, key: Any, traces: Any) -> Any:
        """Return a kept connection on which nothing has come since, not even a second response to the last request."""
        # aiohttp looks only whether it is open, and would take those bytes for the next response.
        while (connection := await super()._get(key, traces)) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        return None

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        """Keep a connection, or close it at once: one that is given up must not wait until a host reads what it got."""
        transport = protocol.transport
        super()._release(key, protocol, should_close=should_close)
        if transport is not None and protocol.transport is None:
            transport.abort()


@dataclass
class _Progress:
    """How far a request got.

    :param limit: ends it
    :param read_timeout: seconds from the moment at which a connection is there
    :param sent: whether something of it may have left
    """

    limit: asyncio.Timeout
    read_timeout: float
    sent: bool = False


def open_session() -> aiohttp.ClientSession:
    """Return a new session, whose requests know how far they got."""
    progress = aiohttp.TraceConfig()
    progress.on_connection_create_start.append(_connecting)
    progress.on_connection_create_end.append(_connected)
    progress.on_connection_reuseconn.append(_connected)
    session = aiohttp.ClientSession(
        # The limit stands before the session: a call that queued in here would use up its time unseen.
        connector=_Connector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[progress],
        timeout=_NO_TIMEOUT,
        # One decoder for all transports: core/http/content.py.
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        max_line_size=MAX_HEAD,
        max_field_size=MAX_HEAD,
        max_headers=MAX_HEAD,
    )
    # aiohttp sends a GET a second time when a kept connection turns out to be closed, and a flow that is
    # invoked with GET would run twice. There is no public switch; a test holds this one in its place.
    session._retry_connection = False  # noqa: SLF001
    return session


async def _connecting(_session: object, context: SimpleNamespace, _params: object) -> None:
    """Checkpoint that a kept connection, if there was one, was not good."""
    context.trace_request_ctx.sent = False


async def _connected(_session: object, context: SimpleNamespace, _params: object) -> None:
    """Checkpoint the moment from which the host may have seen something of a request, and give it its time."""
    progress: _Progress = context.trace_request_ctx
    progress.sent = True
    progress.limit.reschedule(asyncio.get_running_loop().time() + progress.read_timeout)


def connection_limit() -> int:
    """Return how many connections a loop may have open: what the process may open, less what others need."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_LEAST_CONNECTIONS, min(files - _OTHER_FILES, _MOST_CONNECTIONS))


class AiohttpTransport:
    """Send the core's requests over a loop's session.

    :param session: the loop's session
    :param settings: the connection
    :param slots: lets so many requests through at the same time as there may be connections
    :param clock: gives seconds that never go back
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: OktaWorkflowsSettings,
        slots: asyncio.Semaphore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._settings = settings
        self._slots = slots
        self._clock = clock

    async def send(self, request: HttpRequest) -> HttpResponse | TransportFailure:
        """Send a request once and return its response, or how far it got; no exception leaves for either.

        :param request: the request
        """
        async with self._slots:
            return await self._send(request)

    async def _send(self, request: HttpRequest) -> HttpResponse | TransportFailure:
        proxy: Proxy | None = None
        progress: _Progress | None = None
        try:
            proxy = proxy_for(request.url, self._settings)
            options = self._options(request, proxy)
            async with asyncio.timeout(self._settings.connect_timeout) as limit:
                progress = _Progress(limit, request.read_timeout or self._settings.read_timeout)
                return await self._exchange(request, options, progress)
        except CoreError as error:
            return unusable(error)
        except aiohttp.ClientHttpProxyError as error:
            return refused_by(proxy, error.status)
        except (TransportError, aiohttp.ClientError, OSError, ValueError) as error:
            return lost_by(error, sent=progress is not None and progress.sent, proxy=proxy)

    def _options(self, request: HttpRequest, proxy: Proxy | None) -> dict[str, Any]:
        data: Any = request.body
        if data and len(data) > _LARGE:
            data = BytesIO(data)  # which aiohttp sends in pieces
        options: dict[str, Any] = {"headers": all_headers(request), "data": data, "allow_redirects": False}
        https = request.url.startswith("https")
        if https or (proxy and proxy.scheme == "https"):
            options["ssl"] = tls_context(self._settings)
        if proxy:
            options |= {"proxy": URL(proxy.url), "proxy_headers": proxy.headers}
            if not https:
                options["headers"] |= proxy.headers
        return options

    async def _exchange(self, request: HttpRequest, options: dict[str, Any], progress: _Progress) -> HttpResponse:
        started = self._clock()
        url = URL(request.url, encoded=True)
        async with self._session.request(request.method, url, trace_request_ctx=progress, **options) as response:
            if response.status < 200:
                raise TransportError(failures.NOT_HTTP)
            if is_too_large(response.raw_headers):
                raise TransportError(failures.HEAD_TOO_LARGE)
            body = await self._read(response)
            return http_response(
                response.status,
                response.raw_headers,
                body,
                elapsed=self._clock() - started,
                limit=self._settings.max_response_bytes,
            )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the body; of one that is too large, no more is read than that tells."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > self._settings.max_response_bytes:
                response.close()
                break
        return bytes(body)
