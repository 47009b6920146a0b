"""The asynchronous transport: aiohttp on an event loop."""

from __future__ import annotations

import asyncio
import resource
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.content import http_response
from airflow_okta_workflows.transport import failures
from airflow_okta_workflows.transport.failures import TransportError, cut_off, lost_by, refused_by, unusable
from airflow_okta_workflows.transport.network import (
    BASE_HEADERS,
    MAX_HEAD,
    fallback_name,
    is_too_large,
    proxy_for,
    tls_context,
)

if TYPE_CHECKING:
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.http.proxies import Proxy
    from airflow_okta_workflows.core.http.types import HttpRequest, HttpResponse, TransportFailure


_MOST_CONNECTIONS = 2000
_LEAST_CONNECTIONS = 100
_OTHER_FILES = 200


_LARGE = 2**20
"""Bytes of a body above which aiohttp warns, unless it gets a file object."""

_AUTOMATIC = frozenset({"Accept", "Content-Type"})
"""Headers that aiohttp would add by itself."""

_TRANSFER_ENCODING = aiohttp.hdrs.TRANSFER_ENCODING

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


class _Protocol(ResponseHandler):
    """The protocol of a connection that takes a response without a length for cut off if the connection was."""

    _ended = False

    def eof_received(self) -> None:
        """Note whether the host has ended the connection itself: over TLS, with a closure alert."""
        tls = self.transport and self.transport.get_extra_info("ssl_object")
        try:
            self._ended = not tls or not tls.read(1)
        except ssl.SSLError:  # RFC 9112, section 9.8: the TCP connection has ended, and TLS has not
            self._ended = False
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the connection, and a response that was not complete with the reason."""
        payload = self._payload
        is_cut_off = not self._ended and payload is not None and not payload.is_eof()
        super().connection_lost(exc)
        if payload is not None and is_cut_off:
            payload.set_exception(exc or aiohttp.ClientPayloadError())


class _Connector(aiohttp.TCPConnector):
    """A connection pool as careful as that of the synchronous transport.

    The overridden methods are private to aiohttp; tests check that these overrides still work.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Protocol, loop=self._loop)  # type: ignore[assignment]  # partial is invariant

    async def connect(self, *args: Any, **options: Any) -> aiohttp.connector.Connection:
        """Return a connection; from now on the request may have reached the host, and its read time-out runs."""
        progress = _progress.get()
        connection = await super().connect(*args, **options)
        # A kept connection that has received something since its last response, such as a second response: aiohttp only
        # checks that it is open, and would read that as the next response.
        while progress.began is None and (protocol := connection.protocol) is not None and protocol.should_close:
            connection.close()
            connection = await super().connect(*args, **options)
        try:
            progress.connected()
        except TransportError:
            connection.release()
            raise
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
    """How far a request got. Times are those of the event loop's clock.

    :param limit: the time-out that ends it
    :param leave_by: when it must have left at the latest; None if it may wait for a free connection
    :param connect_timeout: seconds to connect, if it may
    :param read_timeout: seconds that it may take once it has a connection
    :param began: when it stopped waiting for a free connection
    :param sent: whether some of it may have left
    :param begun: the beginning of a response that was cut off
    """

    limit: asyncio.Timeout
    leave_by: float | None
    connect_timeout: float
    read_timeout: float
    began: float | None = None
    sent: bool = False
    begun: HttpResponse | None = None

    def connecting(self) -> None:
        """Record that nothing was sent yet: a kept connection, if there was one, could not be used."""
        now = asyncio.get_running_loop().time()
        self.began = self.began or now
        self.sent = False
        self.limit.reschedule(now + self.connect_timeout if self.leave_by is None else self.leave_by)

    def connected(self) -> None:
        """Record that the request may have reached the host from now on, and start its read time-out.

        :raises TransportError: if it is too late for the request to leave
        """
        now = asyncio.get_running_loop().time()
        if self.leave_by is not None and now > self.leave_by:
            raise TransportError(failures.TIMED_OUT)
        self.began = self.began or now
        self.sent = True
        self.limit.reschedule(now + self.read_timeout)


_progress: ContextVar[_Progress] = ContextVar("progress of the request that this task sends")
"""A context variable, because aiohttp passes nothing else from here to the connector, except a trace, which would cost
as much as everything else that this module does for a request."""


def open_session(limit: int | None = None) -> aiohttp.ClientSession:
    """Return a new session, whose requests record how far they got in :data:`_progress`.

    :param limit: number of requests that may be under way at the same time; further ones wait. If None, as many as
        :func:`connection_limit` returns
    """
    session = aiohttp.ClientSession(
        connector=_Connector(limit=limit or connection_limit(), resolver=_Resolver()),
        headers=BASE_HEADERS,
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
    """

    def __init__(self, session: aiohttp.ClientSession, settings: OktaWorkflowsSettings) -> None:
        self._session = session
        self._settings = settings
        # The environment of a triggerer does not change.
        self._proxy_for = lru_cache(maxsize=128)(partial(proxy_for, settings=settings))

    async def send(
        self, request: HttpRequest, *, connect_timeout: float | None = None
    ) -> HttpResponse | TransportFailure:
        """Send a request once, and return its response or how far it got; a failed request raises no exception.

        :param request: the request
        :param connect_timeout: seconds until it has to leave, including the wait for a free connection, the proxy and
            TLS; if None, the Airflow connection's default, without that wait
        """
        proxy: Proxy | None = None
        progress: _Progress | None = None
        settings = self._settings
        try:
            proxy = self._proxy_for(request.url)
            options = self._options(request, proxy)
            leave_by = None if connect_timeout is None else asyncio.get_running_loop().time() + connect_timeout
            # A kept connection needs no time to connect.
            async with asyncio.timeout(None) as limit:
                read_timeout = request.read_timeout or settings.read_timeout
                progress = _Progress(limit, leave_by, settings.connect_timeout, read_timeout)
                token = _progress.set(progress)
                try:
                    response = await self._exchange(request, options, progress)
                    forwarded = proxy is not None and request.url.startswith("http:")
                    return refused_by(proxy, 407, response) if response.status == 407 and forwarded else response
                finally:
                    _progress.reset(token)
        except CoreError as error:
            return unusable(error)
        except aiohttp.ClientHttpProxyError as error:
            return refused_by(proxy, error.status)
        except aiohttp.ClientConnectorCertificateError as error:
            at_proxy = proxy is not None and (error.host, error.port) == (proxy.host, proxy.port)
            return lost_by(error, sent=False, proxy=proxy, at_proxy=at_proxy)
        except (TransportError, aiohttp.ClientError, OSError, ValueError) as error:
            failure = lost_by(error, sent=progress is not None and progress.sent, proxy=proxy)
            return cut_off(failure, progress.begun) if progress and progress.begun else failure

    def _options(self, request: HttpRequest, proxy: Proxy | None) -> dict[str, Any]:
        data: Any = request.body
        if data and len(data) > _LARGE:
            data = BytesIO(data)  # aiohttp sends a file object in pieces
        options: dict[str, Any] = {"headers": request.headers, "data": data, "allow_redirects": False}
        # Requests to flows have both. Skipping a default header costs aiohttp much more time than sending one.
        if absent := _AUTOMATIC.difference(request.headers):
            options["skip_auto_headers"] = absent
        https = request.url.startswith("https")
        if https or (proxy and proxy.scheme == "https"):
            options["ssl"] = tls_context(self._settings)
        if proxy:
            options |= {"proxy": URL(proxy.url), "proxy_headers": proxy.headers}
            if not https:
                options["headers"] = {**request.headers, **proxy.headers}
        return options

    async def _exchange(self, request: HttpRequest, options: dict[str, Any], progress: _Progress) -> HttpResponse:
        url = URL(request.url, encoded=True)
        async with self._session.request(request.method, url, **options) as response:
            if response.status < 200:
                raise TransportError(failures.NOT_HTTP)
            if is_too_large(response.raw_headers):
                raise TransportError(failures.HEAD_TOO_LARGE)
            # aiohttp passes a body on with any other coding undecoded, and takes one that the worker refuses.
            codings = response.headers.getall(_TRANSFER_ENCODING, None)
            if codings and [coding.lower() for coding in codings] != ["chunked"]:
                raise TransportError(failures.NOT_HTTP)
            body = bytearray()
            try:
                await self._read(response, body)
            except BaseException:  # a time-out cancels this
                progress.begun = self._response(response, body, progress)
                raise
            return self._response(response, body, progress)

    def _response(self, response: aiohttp.ClientResponse, body: bytearray, progress: _Progress) -> HttpResponse:
        now = asyncio.get_running_loop().time()
        return http_response(
            response.status,
            response.raw_headers,
            bytes(body),
            elapsed=now - (progress.began or now),
            limit=self._settings.max_response_bytes,
        )

    async def _read(self, response: aiohttp.ClientResponse, body: bytearray) -> None:
        """Read the body, or just more than the limit of one that is too large."""
        content = response.content
        while not content.at_eof():
            body += await content.readany()
            if len(body) > self._settings.max_response_bytes:
                response.close()
                return
        if (error := content.exception()) is not None:
            raise error
