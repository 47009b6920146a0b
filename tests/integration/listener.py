"""A raw TCP listener: sees exactly what is on the wire, and responds with exactly what it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

Answer = bytes | Callable[[socket.socket], None]


class Listener:
    """Accept connections and response each request with the next response; keeps what it received.

    :param responses: bytes to send, or a function that is given the socket; the last one is used again
    :param context: to speak TLS
    :param keep_alive: whether a connection stays open after a response
    """

    def __init__(self, *responses: Answer, context: ssl.SSLContext | None = None, keep_alive: bool = False) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self._answers = list(responses)
        self._context = context
        self._keep_alive = keep_alive
        self._server = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._server.settimeout(0.05)
        self._closing = threading.Event()
        self._open: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port: int = self._server.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        if self._open is not None:
            # Whoever keeps the connection may be in no hurry to end it.
            with contextlib.suppress(OSError):
                self._open.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            self.connections += 1
            try:
                connection.settimeout(2)
                with connection, self._served(connection) as sock:
                    self._open = sock
                    self._talk(sock)
            except OSError:
                continue

    def _served(self, connection: socket.socket) -> socket.socket:
        return self._context.wrap_socket(connection, server_side=True) if self._context else connection

    def _talk(self, sock: socket.socket) -> None:
        while request := self._read_request(sock):
            self.received.append(request)
            response = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if callable(response):
                response(sock)
                return
            sock.sendall(response)
            if not self._keep_alive:
                return

    def _read_request(self, sock: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = sock.recv(65_536)
            if not chunk:
                return b""
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += sock.recv(65_536)
        return head + b"\r\n\r\n" + body


def http(status: str = "200 OK", body: bytes = b"{}", **headers: str) -> bytes:
    """Write an HTTP response down."""
    names = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    names |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in names.items() if value)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
