"""Connections whose every operation has a deadline: TCP, and TLS over any such connection.

A socket's time-out limits a single call, so a host that sends a byte now and then never exceeds it. Each call therefore
gets the time that is left until the deadline of the exchange.
"""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from airflow_okta_workflows.transport.network import fallback_name

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 65_536
T = TypeVar("T")


class Stream(Protocol):
    """A connection."""

    cut_off: bool
    """Whether it has ended without the peer's word that it is complete (RFC 9112, section 9.8)."""

    def send(self, data: bytes) -> None:
        """Send all of the data."""

    def receive(self) -> bytes:
        """Return the next bytes; none at the end of the stream."""

    def is_quiet(self) -> bool:
        """Return whether the peer has neither sent more bytes nor closed the connection."""


class Deadline:
    """The moment by which one or more operations have to end.

    :param seconds: seconds from now
    :param clock: monotonic clock, in seconds
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def left(self) -> float:
        """Return the seconds that are left.

        :raises TimeoutError: if none are left
        """
        seconds = self._at - self._clock()
        if seconds <= 0:
            raise TimeoutError
        return seconds


class TcpStream:
    """A TCP connection, each of whose operations ends by :attr:`deadline`.

    :param sock: the connected socket
    :param deadline: the deadline of the operations; to be replaced for each exchange
    """

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self.deadline = deadline
        self.cut_off = False
        self.sent = 0
        """Bytes that the operating system has accepted, so that they may have left."""

    @classmethod
    def connect(cls, host: str, port: int, deadline: Deadline) -> TcpStream:
        """Connect to the first address of a host that accepts the connection.

        :param host: the host's name or address
        :param port: the port
        :param deadline: limits the attempts at all addresses together; it cannot cut short the resolution of the name
        :raises OSError: if no address accepts the connection
        """
        addresses = _look_up(host, port)
        error: OSError = ConnectionError("no address")
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                # An equal share each, so that an address that does not respond leaves time for the others.
                sock.settimeout(deadline.left() / (len(addresses) - number))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as caught:
                sock.close()
                error = caught
            except BaseException:
                sock.close()
                raise
            else:
                return cls(sock, deadline)
        raise error

    def send(self, data: bytes) -> None:
        """Send all of the data.

        :raises OSError: if it cannot be sent, or not in time
        """
        view = memoryview(data)
        while view:
            self._sock.settimeout(self.deadline.left())
            count = self._sock.send(view)
            self.sent += count
            view = view[count:]

    def receive(self) -> bytes:
        """Return the next bytes; none at the end of the stream.

        :raises OSError: if nothing arrives in time
        """
        self._sock.settimeout(self.deadline.left())
        return self._sock.recv(CHUNK)

    def is_quiet(self) -> bool:
        """Return whether the peer has neither sent more bytes nor closed the connection."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poll.poll(0)

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()


class TlsStream:
    """TLS over a connection.

    :param stream: the connection, itself TLS behind an ``https://`` proxy
    :param context: the TLS context
    :param host: the name that the peer's certificate has to prove
    :raises ssl.SSLError: if the handshake fails
    :raises OSError: if the connection fails
    """

    def __init__(self, stream: Stream, context: ssl.SSLContext, host: str) -> None:
        self.cut_off = False
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        try:
            self._run(self._tls.do_handshake)
        except ssl.SSLEOFError:
            raise ConnectionResetError from None

    def send(self, data: bytes) -> None:
        """Send all of the data."""
        view = memoryview(data)
        while view:
            view = view[self._run(partial(self._tls.write, view[:CHUNK])) :]

    def receive(self) -> bytes:
        """Return the next bytes; none at the end of the stream."""
        try:
            return self._run(partial(self._tls.read, CHUNK))
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLEOFError:
            self.cut_off = True
            return b""

    def is_quiet(self) -> bool:
        """Return whether the peer has neither sent more bytes nor closed the connection."""
        return not self._incoming.pending and not self._tls.pending() and self._stream.is_quiet()

    @property
    def version(self) -> str | None:
        """Version of TLS, such as ``TLSv1.3``."""
        return self._tls.version()

    def _run(self, operation: Callable[[], T]) -> T:
        """Run a TLS operation, moving bytes between TLS and the connection until it is complete."""
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                self._flush()
                if data := self._stream.receive():
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                # The alert that tells the peer why.
                with suppress(OSError):
                    self._flush()
                raise
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._stream.send(data)


def _look_up(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        if (name := fallback_name(host)) is None:
            raise
    return socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
