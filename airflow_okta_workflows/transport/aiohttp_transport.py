"""Send requests with aiohttp, for event loops."""

from __future__ import annotations

import resource
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from airflow_okta_workflows.core.exchange import Headers, HttpAnswer, HttpRequest, Lost
from airflow_okta_workflows.transport.losses import lost_by, too_large, undecodable
from airflow_okta_workflows.transport.network import BASE_HEADERS, CHUNK, proxy_for, ssl_context

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from airflow_okta_workflows.settings import OktaWorkflowsSettings


_MOST_CONNECTIONS = 2000
_LEAST_CONNECTIONS = 100
_OTHER_FILES = 200


def open_session() -> aiohttp.ClientSession:
    """Return a new session, whose requests know how far they got."""
    progress = aiohttp.TraceConfig()
    progress.on_connection_create_end.append(_connected)
    progress.on_connection_reuseconn.append(_connected)
    session = aiohttp.ClientSession(
        # The limit stands in front of the session: a call that queued in here would use up its time unseen.
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[progress],
    )
    # aiohttp sends a GET a second time when a kept connection turns out to be closed, and a flow that is
    # invoked with GET would run twice. There is no public switch; a test holds this one in its place.
    session._retry_connection = False  # noqa: SLF001
    return session


async def _connected(_session: object, context: SimpleNamespace, _params: object) -> None:
    """Note the moment from which the host may have seen something of a request."""
    context.trace_request_ctx.sent = True


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
        self._ssl = ssl_context(settings)

    async def send(self, request: HttpRequest) -> HttpAnswer | Lost:
        """Send a request once and return its answer, or how far it got; no exception leaves for either.

        :param request: the request
        """
        async with self._slots:
            return await self._send(request)

    async def _send(self, request: HttpRequest) -> HttpAnswer | Lost:
        started = self._clock()
        read_timeout = request.read_timeout or self._settings.read_timeout
        progress = SimpleNamespace(sent=False)
        options: dict[str, Any] = {
            "headers": {**BASE_HEADERS, **request.headers},
            "data": request.body,
            "allow_redirects": False,
            "ssl": self._ssl,
            "proxy": proxy_for(request.url, self._settings),
            "timeout": aiohttp.ClientTimeout(
                total=self._settings.connect_timeout + read_timeout,
                sock_connect=self._settings.connect_timeout,
                sock_read=read_timeout,
            ),
            "trace_request_ctx": progress,
        }
        try:
            async with self._session.request(request.method, URL(request.url, encoded=True), **options) as response:
                body = await self._read(response)
                status, headers = response.status, response.headers
        except aiohttp.ClientPayloadError as error:
            if isinstance(error.__cause__, aiohttp.http_exceptions.ContentEncodingError):
                return undecodable()
            return lost_by(error, sent=True)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return lost_by(error, sent=progress.sent)
        if body is None:
            return too_large(self._settings.max_response_bytes)
        return HttpAnswer(status, Headers(headers), body, self._clock() - started)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the body; None if it is too large, and then no more of it is read than that tells."""
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > self._settings.max_response_bytes:
                response.close()
                return None
        return bytes(body)
