"""A CONNECT proxy on a loopback port, as in a corporate network; it can pass, refuse, hang, cut or intercept."""

from __future__ import annotations

import base64
import select
import socket
import ssl
import threading
from contextlib import ExitStack, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Behavior = Literal["pass", "refuse", "hang", "cut", "intercept"]
Place = tuple[str, int]

_PAUSE = 0.05
"""Seconds before the next attempt to accept a connection, after one that failed."""


class LocalProxy:
    """An HTTP proxy on a loopback port that supports only CONNECT.

    Use it as a context manager. Its attributes decide what it does with the next request. After :meth:`stop` it can be
    started again, on the same port.

    :param places: the loopback address and port to connect to, by requested host; any other host is
        connected to by its own name and port
    :param behavior: ``pass``; ``refuse`` with ``status``; ``hang`` without a response; ``cut`` the tunnel in the middle
        of the TLS handshake; ``intercept`` the TLS connection, with ``certificate``
    :param hosts: the hosts that ``behavior`` applies to; all others pass. None for all hosts
    :param status: the HTTP status of a refusal
    :param certificate: the server's TLS context for ``intercept``, with a certificate for the hosts
    :param login: the credentials that a client must send, as ``user:password``; None for none
    :param certificate_of_its_own: the TLS context of the proxy itself, for an ``https://`` proxy; None for ``http://``
    """

    def __init__(
        self,
        places: Mapping[str, Place] | None = None,
        *,
        behavior: Behavior = "pass",
        hosts: Collection[str] | None = None,
        status: int = 403,
        certificate: ssl.SSLContext | None = None,
        login: str | None = None,
        certificate_of_its_own: ssl.SSLContext | None = None,
    ) -> None:
        self.places = dict(places or {})
        self.behavior: Behavior = behavior
        self.hosts = hosts
        self.status = status
        self.certificate = certificate
        self.login = login
        self.port = 0
        self.requests: list[str] = []
        """The target of each CONNECT as ``host:port``, and the first line of any other request."""
        self._own_certificate = certificate_of_its_own
        self._server: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._ending = threading.Event()

    @property
    def address(self) -> str:
        """Host and port, in a form that ``HTTPS_PROXY`` accepts."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The proxy's URL, without credentials."""
        return f"{'https' if self._own_certificate else 'http'}://{self.address}"

    def start(self) -> Self:
        """Start listening.

        :raises RuntimeError: if it is listening already
        :raises OSError: if the port is taken
        """
        if self._server is not None:
            raise RuntimeError("the proxy is listening already")
        self._server = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._server.getsockname()[1]
        self._ending = threading.Event()
        arguments = (self._server, self._ending)
        threading.Thread(target=self._accept, args=arguments, name="okta-local-proxy", daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and close all open connections."""
        self._ending.set()
        for sock in [self._server, *self._open]:
            if sock is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        self._server = None
        self._open = set()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _accept(self, server: socket.socket, ending: threading.Event) -> None:
        while not ending.is_set():
            try:
                client, _ = server.accept()
            except OSError:
                # The client has gone, no file descriptor is free at the moment, or stop() has closed the socket.
                ending.wait(_PAUSE)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # A wrapped socket hands its connection to the wrapper, so both are closed.
        with ExitStack() as stack, suppress(OSError, ValueError):  # the client disconnected, or the proxy was stopped
            self._closes(stack, client)
            if self._own_certificate:
                client = self._closes(stack, self._own_certificate.wrap_socket(client, server_side=True))
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(4096)):
                    return
                head += data
            self._respond(client, head.decode("latin-1"))

    def _closes(self, stack: ExitStack, sock: socket.socket) -> socket.socket:
        """Return a socket, which is closed at the end of the stack, or when the proxy is stopped."""
        stack.callback(self._open.discard, sock)
        stack.enter_context(sock)
        self._open.add(sock)
        return sock

    def _respond(self, client: socket.socket, head: str) -> None:
        line, *fields = head.split("\r\n")
        method, target, *_ = line.split(" ")
        self.requests.append(target if method == "CONNECT" else line)
        sent = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if self.login and sent.get("proxy-authorization") != f"Basic {base64.b64encode(self.login.encode()).decode()}":
            return _refuse(client, 407)
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        behavior = self.behavior if self.hosts is None or host in self.hosts else "pass"
        match behavior:
            case "hang":
                self._ending.wait()
            case "refuse":
                _refuse(client, self.status)
            case "cut":
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                client.recv(4096)
            case _ if method != "CONNECT":
                _refuse(client, 405)
            case _:
                self._tunnel(client, self.places.get(host, (host, int(port))), intercept=behavior == "intercept")
        return None

    def _tunnel(self, client: socket.socket, place: Place, *, intercept: bool) -> None:
        try:
            upstream = socket.create_connection(place, timeout=10)
        except OSError:
            return _refuse(client, 502)
        with ExitStack() as stack:
            self._closes(stack, upstream)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if intercept:
                assert self.certificate is not None  # noqa: S101  # intercepting requires it
                client = self._closes(stack, self.certificate.wrap_socket(client, server_side=True))
                inner = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                inner.check_hostname, inner.verify_mode = False, ssl.CERT_NONE
                upstream = self._closes(stack, inner.wrap_socket(upstream))
            _relay(client, upstream)
        return None


def _refuse(client: socket.socket, status: int) -> None:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Content-Length: 0", "Connection: close"]
    if status == 407:
        lines.append('Proxy-Authenticate: Basic realm="proxy"')
    client.sendall("\r\n".join([*lines, "", ""]).encode())


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes in both directions until one side closes."""
    ways = {one: other, other: one}
    while True:
        ready = [sock for sock in ways if isinstance(sock, ssl.SSLSocket) and sock.pending()]
        for sock in ready or select.select(list(ways), [], [])[0]:
            sock.settimeout(0)
            try:
                data = sock.recv(65_536)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue  # a TLS message without data, such as a session ticket, or an incomplete record
            finally:
                sock.settimeout(10)
            if not data:
                return
            ways[sock].sendall(data)
