"""The judge of what leaves: a raw TCP listener that keeps every byte, and a search that sees through encodings."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
import selectors
import socket
import threading
from typing import Self
from urllib.parse import unquote_to_bytes

_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{8,}={0,2}")
_BEARER_OR_JWT = re.compile(rb"(?i:authorization: *bearer)|eyJ[\w-]+\.[\w-]+\.[\w-]+")
_SHORTEST_PIECE = 8
"""Characters of a secret that no request has by accident."""


class Wiretap:
    """A server on loopback that responds every request with an empty JSON object, and keeps all bytes that arrive.

    A request that is cut off, or is no HTTP at all, is kept as well.
    """

    def __init__(self) -> None:
        self._received: dict[socket.socket, bytes] = {}
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._server.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._waker.send(b"x")
        self._thread.join()
        self._selector.close()
        for each in (*self._received, self._server, self._wake, self._waker):
            each.close()

    @property
    def received(self) -> bytes:
        """All that arrived; complete once the block has ended."""
        return b"\n".join(self._received.values())

    def _serve(self) -> None:
        ending = False
        while True:
            # What a client sent before the block ended is here already: loopback delivers at once.
            ready = self._selector.select(0 if ending else None)
            if ending and not ready:
                return
            for key, _ in ready:
                if key.fileobj is self._wake:
                    self._selector.unregister(self._wake)
                    ending = True
                elif key.fileobj is self._server:
                    connection, _ = self._server.accept()
                    self._received[connection] = b""
                    self._selector.register(connection, selectors.EVENT_READ)
                else:
                    self._read(key.fileobj)  # type: ignore[arg-type]  # no number is registered

    def _read(self, connection: socket.socket) -> None:
        chunk = b""
        with contextlib.suppress(OSError):
            chunk = connection.recv(65_536)
        if not chunk:
            self._selector.unregister(connection)
            return
        returned = b"\r\n\r\n" in self._received[connection]
        self._received[connection] += chunk
        if b"\r\n\r\n" in self._received[connection] and not returned:
            with contextlib.suppress(OSError):
                connection.sendall(_RESPONSE)


def secrets_in(data: bytes | str, secrets: list[str]) -> list[str]:
    """Return which secrets, assertions and tokens some data holds: as they are, URL-encoded, escaped or in base64.

    :param data: what was received or said
    :param secrets: from :func:`pieces_of`
    """
    texts = _views(data.encode() if isinstance(data, str) else data)
    found = [secret for secret in secrets if any(secret.encode() in text for text in texts)]
    return found + [match[0].decode() for text in texts if (match := _BEARER_OR_JWT.search(text))]


def pieces_of(*secrets: str) -> list[str]:
    """Return each piece of some secrets that is worth something by itself: lines of a PEM, private members of a JWK.

    :param secrets: keys and passphrases
    """
    pieces = []
    for secret in secrets:
        if secret.lstrip().startswith("{"):
            members = json.loads(secret)
            pieces += [value for name, value in members.items() if name in ("d", "p", "q", "dp", "dq", "qi")]
        else:
            pieces += [line for line in secret.splitlines() if not line.startswith("-----") and ": " not in line]
    return [piece for piece in pieces if len(piece) >= _SHORTEST_PIECE]


def _views(data: bytes, depth: int = 2) -> list[bytes]:
    views = [data, unquote_to_bytes(data.replace(b"+", b" ")), data.replace(b"\\n", b"\n").replace(b"\\", b"")]
    if depth:
        for token in _BASE64.findall(data):
            with contextlib.suppress(binascii.Error):
                padded = token.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
                views += _views(base64.b64decode(padded + b"=" * (-len(padded) % 4)), depth - 1)
    return views
