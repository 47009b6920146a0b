from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import pytest
import trustme

from airflow_okta_workflows.transport.streams import Deadline, TcpStream, TlsStream


def at(now: list[float]) -> Callable[[], float]:
    return lambda: now[0]


def test_a_deadline_tells_what_is_left_and_then_that_it_is_over() -> None:
    now = [10.0]
    deadline = Deadline(5.0, at(now))

    assert deadline.left() == 5.0
    now[0] = 14.5
    assert deadline.left() == 0.5
    for now[0] in (15.0, 99.0):
        with pytest.raises(TimeoutError):
            deadline.left()


@pytest.fixture
def pair() -> tuple[TcpStream, socket.socket]:
    one, other = socket.socketpair()
    return TcpStream(one, Deadline(30, lambda: 0.0)), other


def test_what_the_system_has_taken_is_counted(pair: tuple[TcpStream, socket.socket]) -> None:
    stream, other = pair
    with other:
        assert stream.sent == 0
        stream.send(b"abc")
        stream.send(b"de")
        assert (stream.sent, other.recv(100)) == (5, b"abcde")
        stream.deadline = Deadline(0, lambda: 0.0)
        with pytest.raises(TimeoutError):
            stream.send(b"x")
        assert stream.sent == 5
    stream.close()


def test_a_connection_is_quiet_until_something_comes(pair: tuple[TcpStream, socket.socket]) -> None:
    stream, other = pair
    with other:
        assert stream.is_quiet()
        other.sendall(b"a")
        assert not stream.is_quiet()
        assert stream.receive() == b"a"
        assert stream.is_quiet()
        other.shutdown(socket.SHUT_WR)
        assert not stream.is_quiet()
        assert stream.receive() == b""
    stream.close()


def test_an_address_that_is_interrupted_is_left_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class EndError(BaseException):
        pass

    def end(*_: object) -> None:
        raise EndError

    closed: list[int] = []

    class Watched(socket.socket):
        def close(self) -> None:
            closed.append(self.fileno())
            super().close()

    monkeypatch.setattr(Watched, "connect", end)
    monkeypatch.setattr(socket, "socket", Watched)
    with pytest.raises(EndError):
        TcpStream.connect("127.0.0.1", 9, Deadline(30, lambda: 0.0))

    assert len(closed) == 1


class Scripted:
    """A stream that gives what it was given to give, and cannot send."""

    cut_off = False

    def __init__(self, *incoming: bytes) -> None:
        self.incoming = list(incoming)
        self.outgoing: list[bytes] = []

    def send(self, data: bytes) -> None:
        if not self.incoming:
            raise BrokenPipeError
        self.outgoing.append(data)

    def receive(self) -> bytes:
        return self.incoming.pop(0)

    def is_quiet(self) -> bool:
        return not self.incoming


def test_a_handshake_that_ends_early_is_a_reset() -> None:
    with pytest.raises(ConnectionResetError):
        TlsStream(Scripted(b""), ssl.create_default_context(), "flows.example")


def test_a_failed_handshake_is_told_though_its_alert_cannot_be_sent() -> None:
    with pytest.raises(ssl.SSLError):
        TlsStream(Scripted(b"this is no TLS"), ssl.create_default_context(), "flows.example")


def test_tls_carries_both_ways_and_is_quiet_only_when_all_was_read() -> None:
    authority = trustme.CA()
    server_context, client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("flows.example").configure_cert(server_context)
    authority.configure_trust(client_context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(incoming, outgoing, server_side=True)
    received = bytearray()

    class Server:
        """The other side, that responds "pong" to each "ping", in one record with what comes after."""

        cut_off = False

        def send(self, data: bytes) -> None:
            incoming.write(data)
            try:
                if server.version() is None or not done:
                    server.do_handshake()
                    done.append(True)
                received.extend(server.read(100_000))
            except ssl.SSLWantReadError:
                return
            server.write(b"pong")
            server.write(b"and more")

        def receive(self) -> bytes:
            return outgoing.read()

        def is_quiet(self) -> bool:
            return not outgoing.pending

    done: list[bool] = []
    stream = TlsStream(Server(), client_context, "flows.example")
    stream.send(b"ping")

    assert bytes(received) == b"ping"
    assert stream.receive() == b"pong"
    assert not stream.is_quiet()
    assert stream.receive() == b"and more"
    assert stream.is_quiet()
    stream.send(b"x" * 200_000)
    assert len(received) > 16_000
