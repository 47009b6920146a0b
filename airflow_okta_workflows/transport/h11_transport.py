"""The synchronous transport, for threads and task processes: plain sockets, and h11 for the messages.

docs/adr/0001-the-synchronous-transport.md explains why it is not requests or urllib3.
"""

from __future__ import annotations

import ssl
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import h11

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.content import http_response
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.transport import failures
from airflow_okta_workflows.transport.failures import TransportError, cut_off, lost_by, refused_by, unusable
from airflow_okta_workflows.transport.network import (
    BASE_HEADERS,
    MAX_HEAD,
    all_headers,
    is_too_large,
    origin_of,
    proxy_for,
    tls_context,
)
from airflow_okta_workflows.transport.streams import Deadline, Stream, TcpStream, TlsStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.addresses import Origin
    from airflow_okta_workflows.core.http.proxies import Proxy
    from airflow_okta_workflows.core.http.types import HttpRequest, HttpResponse, TransportFailure

_IDLE = 15.0
"""Seconds after which a kept connection is not used again: if the host closed it at that moment, the invocation's
outcome would be unknown."""
_MOST_KEPT = 32
_VERSIONS = (b"0.9", b"1.0", b"1.1", b"2.0")
"""Versions that the parser of aiohttp accepts in a status line; some servers write the wrong one."""


class _RefusedError(Exception):
    """The refusal of a proxy to connect.

    :param status: the status code that it returned
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _CutOffError(Exception):
    """An exchange that ended after the head of its response.

    :param why: the reason
    :param head: the head
    :param body: what arrived of the body
    """

    def __init__(self, why: Exception, head: h11.Response, body: bytes) -> None:
        super().__init__()
        self.why = why
        self.head = head
        self.body = body


class _UntrustedProxyError(Exception):
    """The certificate of an ``https://`` proxy is not trusted; the cause says why."""


class _Connection:
    """One connection to a host, directly or through a proxy, that carries one exchange after another.

    :param tcp: the TCP connection
    :param stream: the same, or TLS over it
    """

    def __init__(self, tcp: TcpStream, stream: Stream) -> None:
        self.tcp = tcp
        self.used_at = 0.0
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    def exchange(self, request: h11.Request, body: bytes, limit: int) -> tuple[h11.Response, bytes]:
        """Send a request, and return the response and its body.

        :param request: the request
        :param body: its body
        :param limit: bytes of the response's body after which reading stops
        :raises TransportError: if no HTTP response is received
        :raises _CutOffError: if not all of its body is received
        :raises OSError: if the connection fails, or the deadline has passed
        """
        failure: ConnectionError | None = None
        try:
            self._send(request, body)
        except ConnectionError as error:
            # A host that refuses a large request may respond before its end, and close the connection.
            failure = error
        try:
            response = self._head()
        except (TransportError, OSError) as error:
            # An alert says more: why the host broke the handshake off.
            if failure and not isinstance(error, ssl.SSLError):
                raise failure from None
            raise
        body_read = bytearray()
        try:
            self._read_body(body_read, limit)
        except (TransportError, OSError) as error:
            raise _CutOffError(error, response, bytes(body_read)) from None
        return response, bytes(body_read)

    def open_tunnel(self, origin: Origin, headers: Mapping[str, str]) -> None:
        """Ask the proxy at the other end to connect to a host.

        :param origin: the host
        :param headers: headers for the proxy, such as a login
        :raises _RefusedError: if the proxy refuses
        """
        target = f"{_bracketed(origin.host)}:{origin.port}"
        agent = {"Host": target, "User-Agent": BASE_HEADERS["User-Agent"]}
        self._send(h11.Request(method="CONNECT", target=target, headers=_encoded({**agent, **headers})), b"")
        status = self._head().status_code
        if status != 200:
            raise _RefusedError(status)
        if self._http.trailing_data[0]:
            raise TransportError(failures.NOT_HTTP)

    def is_reusable(self) -> bool:
        """Return whether the last exchange is complete, with no bytes left over; if so, prepare for the next one."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return not self._http.trailing_data[0] and self.is_quiet()

    def is_quiet(self) -> bool:
        """Return whether the host has neither sent more bytes nor closed the connection since the last exchange."""
        return self._stream.is_quiet()

    def close(self) -> None:
        """Close the connection."""
        self.tcp.close()

    def _send(self, request: h11.Request, body: bytes) -> None:
        parts = [request, *([h11.Data(body)] if body else []), h11.EndOfMessage()]
        # In one call, so that a small request is one packet.
        self._stream.send(b"".join(self._http.send(part) or b"" for part in parts))

    def _head(self) -> h11.Response:
        """Return the head of the final response, after any interim ones (1xx)."""
        while not isinstance(event := self._next_event(failures.CLOSED), h11.Response):
            # The parser of aiohttp takes no further response on such a connection.
            if not isinstance(event, h11.InformationalResponse) or _closes(event):
                raise TransportError(failures.NOT_HTTP)
        if event.http_version not in _VERSIONS:
            raise TransportError(failures.NOT_HTTP)
        if is_too_large(event.headers) or len(event.reason) > MAX_HEAD:
            raise TransportError(failures.HEAD_TOO_LARGE)
        names = {name for name, _ in event.headers}
        if {b"content-length", b"transfer-encoding"} <= names:
            # RFC 9112, section 6.3: with two definitions of its length, this may be response smuggling.
            raise TransportError(failures.NOT_HTTP)
        return event

    def _read_body(self, body: bytearray, limit: int) -> None:
        while len(body) <= limit:
            event = self._next_event(failures.CUT_OFF)
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                if self._stream.cut_off:  # it has no length: it goes on until the connection ends
                    raise TransportError(failures.CUT_OFF)
                if is_too_large(event.headers):
                    raise TransportError(failures.HEAD_TOO_LARGE)
                self._require_end()
                break

    def _require_end(self) -> None:
        """Raise if a body goes on after its stated length, because what was read may then be only a part of it."""
        rest = self._http.trailing_data[0].lstrip(b"\r\n")
        if rest and not rest.startswith(b"HTTP/"):
            raise TransportError(failures.NOT_HTTP)

    def _next_event(self, ended: str) -> object:
        """Return the next event from the host.

        :param ended: the reason to report if the connection is closed before it
        """
        data: bytes | None = None
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                received = data = self._stream.receive()
                if self._http.their_state is h11.SEND_RESPONSE and not self._http.trailing_data[0]:
                    data = received.lstrip(b"\r\n")  # as in aiohttp: empty lines before a status line
                if data or not received:
                    self._http.receive_data(data)
        except h11.RemoteProtocolError as error:
            begun = self._http.trailing_data[0]
            if data == b"" and (not begun or begun.startswith(b"HTTP/") or ended == failures.CUT_OFF):
                raise TransportError(ended) from None
            raise TransportError(
                failures.HEAD_TOO_LARGE if error.error_status_hint == 431 else failures.NOT_HTTP
            ) from None
        return event


def _closes(interim: h11.InformationalResponse) -> bool:
    return interim.http_version != b"1.1" or any(
        name == b"connection" and b"close" in value.lower() for name, value in interim.headers
    )


_Kept = dict["tuple[Origin, Proxy | None]", "deque[_Connection]"]


class H11Transport:
    """The transport of one connection over kept sockets; usable from several threads.

    :param settings: the connection
    :param clock: monotonic clock, in seconds
    """

    def __init__(self, settings: OktaWorkflowsSettings, clock: Callable[[], float] = Runtime.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._kept: _Kept = {}
        self.connections_opened = 0
        """Number of connections that were opened for requests, kept or not."""
        self.tls_version: str | None = None
        """TLS version of the last one, such as ``TLSv1.3``; None without TLS."""
        # A hook that is never closed closes its connections when it is garbage-collected.
        weakref.finalize(self, _close_all, self._kept)

    def send(self, request: HttpRequest, *, connect_timeout: float | None = None) -> HttpResponse | TransportFailure:
        """Send a request once, and return its response or how far it got; a failed request raises no exception.

        :param request: the request
        :param connect_timeout: seconds to connect, proxy and TLS included; the Airflow connection's default if None
        """
        started = self._clock()
        proxy: Proxy | None = None
        try:
            origin = origin_of(request.url)
            proxy = proxy_for(request.url, self._settings)
            deadline = Deadline(connect_timeout or self._settings.connect_timeout, self._clock)
            connection = self._take(origin, proxy) or self._connect(origin, proxy, deadline)
        except CoreError as error:
            return unusable(error)
        except _RefusedError as refusal:
            return refused_by(proxy, refusal.status)
        except _UntrustedProxyError as error:
            return lost_by(error, sent=False, proxy=proxy, at_proxy=True)
        except (TransportError, OSError, ValueError) as error:
            return lost_by(error, sent=False, proxy=proxy)
        return self._exchange(connection, request, origin, proxy, started)

    def close(self) -> None:
        """Close the kept connections."""
        _close_all(self._kept)

    def _exchange(
        self, connection: _Connection, request: HttpRequest, origin: Origin, proxy: Proxy | None, started: float
    ) -> HttpResponse | TransportFailure:
        limit = self._settings.max_response_bytes

        def read(head: h11.Response, body: bytes, ended: float) -> HttpResponse:
            return http_response(head.status_code, head.headers.raw_items(), body, elapsed=ended - started, limit=limit)

        connection.tcp.deadline = Deadline(request.read_timeout or self._settings.read_timeout, self._clock)
        connection.tcp.sent = 0
        keep = False
        try:
            message = _message(request, origin, proxy)
            head, body = connection.exchange(message, request.body or b"", limit)
            ended = self._clock()
            keep = connection.is_reusable()
        except _CutOffError as error:
            failure = lost_by(error.why, sent=True, proxy=proxy)
            return cut_off(failure, read(error.head, error.body, self._clock()))
        except (TransportError, h11.LocalProtocolError, OSError, ValueError) as error:
            return lost_by(error, sent=connection.tcp.sent > 0, proxy=proxy)
        finally:
            # Also after an exception from outside, such as a task's time-out.
            if not keep:
                connection.close()
        if keep:
            connection.used_at = ended
            self._keep(connection, origin, proxy)
        response = read(head, body, ended)
        if proxy and origin.scheme == "http" and response.status == 407:
            return refused_by(proxy, 407, response)
        return response

    def _take(self, origin: Origin, proxy: Proxy | None) -> _Connection | None:
        """Return a kept connection that was used recently and is quiet, and close any other that is tried first."""
        kept = self._kept.get((origin, proxy))
        while kept:
            with suppress(IndexError):  # another thread took the last one
                connection = kept.pop()
                if self._clock() - connection.used_at <= _IDLE and connection.is_quiet():
                    return connection
                connection.close()
        return None

    def _keep(self, connection: _Connection, origin: Origin, proxy: Proxy | None) -> None:
        kept = self._kept.setdefault((origin, proxy), deque())
        kept.append(connection)
        while len(kept) > _MOST_KEPT:
            with suppress(IndexError):
                kept.popleft().close()

    def _connect(self, origin: Origin, proxy: Proxy | None, deadline: Deadline) -> _Connection:
        nearest = proxy or origin
        tls = "https" in (origin.scheme, nearest.scheme)
        context = tls_context(self._settings) if tls else None
        tcp = TcpStream.connect(nearest.host, nearest.port, deadline)
        try:
            stream: Stream = tcp
            if context and nearest.scheme == "https":
                stream = _tls_to_nearest(tcp, context, nearest.host, is_proxy=proxy is not None)
            if context and proxy and origin.scheme == "https":
                _Connection(tcp, stream).open_tunnel(origin, proxy.headers)
                stream = TlsStream(stream, context, origin.host)
        except BaseException:
            tcp.close()
            raise
        self.connections_opened += 1
        self.tls_version = stream.version if isinstance(stream, TlsStream) else None
        return _Connection(tcp, stream)


def _tls_to_nearest(tcp: TcpStream, context: ssl.SSLContext, host: str, *, is_proxy: bool) -> TlsStream:
    try:
        return TlsStream(tcp, context, host)
    except ssl.SSLCertVerificationError as error:
        if is_proxy:
            raise _UntrustedProxyError from error
        raise


def _close_all(kept: _Kept) -> None:
    while kept:
        _, connections = kept.popitem()
        for connection in connections:
            connection.close()


def _message(request: HttpRequest, origin: Origin, proxy: Proxy | None) -> h11.Request:
    url = urlsplit(request.url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    headers = {"Host": origin.netloc, **all_headers(request)}
    if proxy and origin.scheme == "http":
        target = origin.url + target
        headers |= proxy.headers
    if request.body is not None or request.method not in ("GET", "HEAD"):
        headers["Content-Length"] = str(len(request.body or b""))
    return h11.Request(method=request.method, target=target, headers=_encoded(headers))


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
