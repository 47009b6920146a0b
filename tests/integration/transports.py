"""Both transports as one function, for tests that run each case over both."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from airflow_okta_workflows.core.http.types import HttpRequest, HttpResponse, TransportFailure
from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport, open_session
from airflow_okta_workflows.transport.h11_transport import H11Transport

Result = HttpResponse | TransportFailure
Send = Callable[..., Any]

LIMIT = 100_000
"""Bytes that a body may have."""
SHORT = {"connect_timeout": 0.4, "read_timeout": 0.4}


def settings(*, proxy: str | None = None, **fields: Any) -> Any:
    """The part of a connection's settings that a transport sees."""
    defaults = {"verify": True, "connect_timeout": 30.0, "read_timeout": 30.0, "max_response_bytes": LIMIT}
    return SimpleNamespace(**{**defaults, "http_proxy": Secret(proxy) if proxy else None, **fields})


def post(url: str, body: bytes | None = b"{}", **headers: str) -> HttpRequest:
    """An invocation."""
    return HttpRequest("POST", f"{url}/api/flo/x/invoke", {"Authorization": "Bearer t0ken", **headers}, body)


def in_a_thread(requests: tuple[HttpRequest, ...], between: Callable[[], None], fields: dict[str, Any]) -> list[Result]:
    transport = H11Transport(settings(**fields))
    results = []
    for request in requests:
        results.append(transport.send(request))
        between()
    transport.close()
    return results


def on_a_loop(requests: tuple[HttpRequest, ...], between: Callable[[], None], fields: dict[str, Any]) -> list[Result]:
    async def send_all() -> list[Result]:
        results = []
        async with open_session() as session:
            transport = AiohttpTransport(session, settings(**fields))
            for request in requests:
                results.append(await transport.send(request))
                await asyncio.to_thread(between)
                for _ in range(20):  # the loop takes in what has come
                    await asyncio.sleep(0)
        return results

    return asyncio.run(send_all())


TRANSPORTS = {"thread": in_a_thread, "loop": on_a_loop}


def failure(result: Result) -> TransportFailure:
    assert isinstance(result, TransportFailure), result
    assert "t0ken" not in repr(result)
    return result


def returned(result: Result) -> HttpResponse:
    assert isinstance(result, HttpResponse), result
    return result


@contextlib.contextmanager
def listening(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which each connection is given to a function, before anything is read from it."""
    server = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            talk(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = server.accept()
                threads.append(threading.Thread(target=serve, args=(sock,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    for thread in [accepting, *threads]:
        thread.join()


def dripping(begin: bytes, unit: bytes) -> Callable[[socket.socket], None]:
    """Send something now and then, until the other side has left."""

    def talk(sock: socket.socket) -> None:
        sock.sendall(begin)
        sock.settimeout(0.02)
        with contextlib.suppress(ConnectionError):
            while True:
                try:
                    if not sock.recv(65_536):
                        return
                except TimeoutError:
                    sock.sendall(unit)

    return talk
