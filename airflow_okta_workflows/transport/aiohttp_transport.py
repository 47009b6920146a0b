"""The asynchronous transport: aiohttp on an event loop."""

from __future__ import annotations

import asyncio
import resource
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.content import http_response
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.transport import failures
from airflow_okta_workflows.transport.failures import TransportError, lost_by, refused_by, unusable
from airflow_okta_workflows.transport.network import (
    MAX_HEAD,
    all_headers,
    fallback_name,
    is_too_large,
    origin_of,
    proxy_for,
    tls_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.addresses import Origin
    from airflow_okta_workflows.core.http.proxies import Proxy
    from airflow_okta_workflows.core.http.types import HttpRequest, HttpResponse, TransportFailure


_MOST_CONNECTIONS = 2000
_LEAST_CONNECTIONS = 100
_OTHER_FILES = 200


_LARGE = 2**20
"""Bytes of a body above which aiohttp warns, unless it gets a file object."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)
"""aiohttp's own time-outs are off: they round up to whole seconds, and none covers CONNECT together with the steps
before it."""


class _Resolver(aiohttp.ThreadedResolver):
    """The resolver of the operating system, which need not know subdomains of ``localhost``."""

    async def resolve(self, host: str, *args: Any, **options: Any) -> Any:
        try:
            return await super().resolve(host, *args, **options)
        except OSError:
            if (name := fallback_name(host)) is None:
                raise
        return [{**found, "hostname": host} for found in await super().resolve(name, *args, **options)]


class _Connector(aiohttp.TCPConnector):
    """A connection pool as careful as that of the synchronous transport.

    The overridden methods are private to aiohttp; tests check that these overrides still work.
    """

    async def _get(self, key: Any, traces: Any) -> Any:
        """Return a kept connection that has received nothing since its last response, such as a second response."""
        # aiohttp only checks that the connection is open, and would read those bytes as the next response.
        while (connection := await super()._get(key, traces)) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        return None

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:
        """Return a connection; from now on the request may have reached the host, and its read time-out runs."""
        connection = await super().connect(*args, **options)
        _progress.get().connected()
        return connection

    async def _create_connection(self, *args: Any, **options: Any) -> Any:
        """Return a new connection, in time; until then nothing is sent."""
        _progress.get().connecting()
        return await super()._create_connection(*args, **options)

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        """Keep a connection, or abort it: a mere close would wait until the host has read everything sent to it."""
        transport = protocol.transport
        super()._release(key, protocol, should_close=should_close)
        if transport is not None and protocol.transport is None:
            transport.abort()


@dataclass
class _Progress:
    """How far a request got.

    :param limit: the time-out that ends it
    :param connect_by: when it must have a connection, by the clock of the event loop
    :param read_timeout: seconds that it may take once it has one
    :param sent: whether some of it may have left
    """

    limit: asyncio.Timeout
    connect_by: float
    read_timeout: float
    sent: bool = False

    def connecting(self) -> None:
        """Record that nothing was sent yet: a kept connection, if there was one, could not be used."""
        self.sent = False
        self.limit.reschedule(self.connect_by)

    def connected(self) -> None:
        """Record that the request may have reached the host from now on, and start its read time-out."""
        self.sent = True
        self.limit.reschedule(asyncio.get_running_loop().time() + self.read_timeout)


_progress: ContextVar[_Progress] = ContextVar("progress of the request that this task sends")
"""A context variable, because aiohttp passes nothing else from here to the connector, except a trace, which would cost
as much as everything else that this module does for a request."""


def open_session() -> aiohttp.ClientSession:
    """Return a new session, whose requests record how far they got in :data:`_progress`."""
    session = aiohttp.ClientSession(
        # AiohttpTransport limits the connections: a request queued here would use up its connect time-out.
        connector=_Connector(limit=0, resolver=_Resolver()),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_TIMEOUT,
        # One decoder for all transports: core/http/content.py.
        auto_decompress=False,
        max_line_size=MAX_HEAD,
        max_field_size=MAX_HEAD,
        max_headers=MAX_HEAD,
    )
    # aiohttp repeats a GET when a kept connection turns out to be closed, and a flow that is invoked with GET
    # would run twice. There is no public switch; a test checks that this one works.
    session._retry_connection = False  # noqa: SLF001
    return session


def connection_limit() -> int:
    """Return how many connections a loop may have open: the process's limit of open files, less a reserve."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_LEAST_CONNECTIONS, min(files - _OTHER_FILES, _MOST_CONNECTIONS))


class AiohttpTransport:
    """The transport of one connection over an event loop's session.

    :param session: the loop's session
    :param settings: the connection
    :param slots: limits the requests that the whole loop sends at the same time
    :param clock: monotonic clock, in seconds
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: OktaWorkflowsSettings,
        slots: asyncio.Semaphore,
        clock: Callable[[], float] = Runtime.monotonic,
    ) -> None:
        self._session = session
        self._settings = settings
        self._slots = slots
        self._clock = clock
        self._proxies: dict[Origin, Proxy | None] = {}

    async def send(
        self, request: HttpRequest, *, connect_timeout: float | None = None
    ) -> HttpResponse | TransportFailure:
        """Send a request once, and return its response or how far it got; a failed request raises no exception.

        :param request: the request
        :param connect_timeout: seconds to connect, including the proxy, TLS and the wait for a free slot; if None, the
            Airflow connection's default, without that wait
        """
        began = self._clock()
        async with self._slots:
            if connect_timeout is None:
                return await self._send(request, self._settings.connect_timeout)
            # A time-out that is over ends the connect at once.
            return await self._send(request, connect_timeout - (self._clock() - began))

    async def _send(self, request: HttpRequest, connect_timeout: float) -> HttpResponse | TransportFailure:
        proxy: Proxy | None = None
        progress: _Progress | None = None
        try:
            proxy = self._proxy_for(request.url)
            options = self._options(request, proxy)
            connect_by = asyncio.get_running_loop().time() + connect_timeout
            # A kept connection needs no time to connect.
            async with asyncio.timeout(None) as limit:
                progress = _Progress(limit, connect_by, request.read_timeout or self._settings.read_timeout)
                token = _progress.set(progress)
                try:
                    return await self._exchange(request, options)
                finally:
                    _progress.reset(token)
        except CoreError as error:
            return unusable(error)
        except aiohttp.ClientHttpProxyError as error:
            return refused_by(proxy, error.status)
        except (TransportError, aiohttp.ClientError, OSError, ValueError) as error:
            return lost_by(error, sent=progress is not None and progress.sent, proxy=proxy)

    def _proxy_for(self, url: str) -> Proxy | None:
        # The environment of a triggerer does not change.
        origin = origin_of(url)
        if origin not in self._proxies:
            self._proxies[origin] = proxy_for(url, self._settings)
        return self._proxies[origin]

    def _options(self, request: HttpRequest, proxy: Proxy | None) -> dict[str, Any]:
        data: Any = request.body
        if data and len(data) > _LARGE:
            data = BytesIO(data)  # aiohttp sends a file object in pieces
        headers = all_headers(request)
        options: dict[str, Any] = {"headers": headers, "data": data, "allow_redirects": False}
        # Requests to flows have both. Skipping a default header costs aiohttp much more time than sending one.
        if absent := [name for name in ("Accept", "Content-Type") if name not in headers]:
            options["skip_auto_headers"] = absent
        https = request.url.startswith("https")
        if https or (proxy and proxy.scheme == "https"):
            options["ssl"] = tls_context(self._settings)
        if proxy:
            options |= {"proxy": URL(proxy.url), "proxy_headers": proxy.headers}
            if not https:
                headers |= proxy.headers
        return options

    async def _exchange(self, request: HttpRequest, options: dict[str, Any]) -> HttpResponse:
        started = self._clock()
        url = URL(request.url, encoded=True)
        async with self._session.request(request.method, url, **options) as response:
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
        """Return the body, or just more than the limit of one that is too large."""
        body = bytearray()
        content = response.content
        while not content.at_eof():
            body += await content.readany()
            if len(body) > self._settings.max_response_bytes:
                response.close()
                break
        return bytes(body)
