"""Both transports, case by case: on an event loop and in a thread the same comes of the same."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gzip
import socket
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_okta_workflows.core.http.types import FailureKind, HttpRequest
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport, open_session
from airflow_okta_workflows.transport.h11_transport import H11Transport
from tests.integration.listener import Listener, http
from tests.integration.transports import (
    LIMIT,
    SHORT,
    TRANSPORTS,
    Send,
    dripping,
    failure,
    listening,
    post,
    returned,
    settings,
)

UNKNOWN, NOT_SENT = FailureKind.OUTCOME_UNKNOWN, FailureKind.NOT_SENT
MANY_HEADERS: dict[str, Any] = {f"X_{number}": "a" for number in range(500)}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n%s"
PACKED = gzip.compress(b"{}", mtime=0)
LARGE_HEADERS: dict[str, Any] = {f"X_{number}": "a" * 5000 for number in range(20)}


# ---- the request


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest(
            "POST", "/api/flo/x/invoke", {"Authorization": "Bearer t", "Content-Type": "application/json"}, b"{}"
        ),
        HttpRequest("POST", "/api/flo/x/invoke?a=b+c%26d", {"User-Agent": "me", "accept-encoding": "identity"}),
        HttpRequest("POST", "/", {}, b""),
        HttpRequest("GET", "/?q=%C3%A4", {"X-Mine": "a b", "Accept": "text/csv"}),
        HttpRequest("GET", "", {}),
    ],
)
def test_both_put_the_same_on_the_wire(request_: HttpRequest) -> None:
    seen = []
    for transport in TRANSPORTS.values():
        with Listener(http()) as listener:
            sent = HttpRequest(request_.method, listener.url + request_.url, request_.headers, request_.body)
            returned(transport((sent,), lambda: None, {})[0])
            head, _, body = listener.received[0].replace(f":{listener.port}".encode(), b":PORT").partition(b"\r\n\r\n")
            line, *fields = head.split(b"\r\n")
            seen.append(
                (
                    line,
                    sorted(name.lower() + b":" + value for name, _, value in (f.partition(b":") for f in fields)),
                    body,
                )
            )

    assert seen[0] == seen[1]


# ---- the response


@pytest.mark.parametrize(
    ("response", "status", "body"),
    [
        (http(), 200, b"{}"),
        (http("204 No Content", b"", Content_Length=""), 204, b""),
        (http("304 Not Modified", b"", Content_Length="5"), 304, b""),
        (http("299 Odd", b"{}"), 299, b"{}"),
        (http("599 Odd", b"{}"), 599, b"{}"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", 200, b"{}"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nX-After: 1\r\n\r\n",
            200,
            b"{}",
        ),
        (http("200 OK", gzip.compress(b"{}"), Content_Encoding="gzip"), 200, b"{}"),
        (http("200 OK", gzip.compress(b"{}"), Content_Encoding="x-gzip"), 200, b"{}"),
        (http(X_Large="a" * 60_000), 200, b"{}"),
        (http(**MANY_HEADERS), 200, b"{}"),
        (http("200 OK", b"x" * LIMIT, Content_Type="text/plain"), 200, b"x" * LIMIT),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + http(), 200, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 102 Processing\r\n\r\n" + http("500 No"), 500, b"{}"),
        (b"\r\n" + http(), 200, b"{}"),
        (http().replace(b"HTTP/1.1", b"HTTP/2.0"), 200, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, b"{}"),
    ],
    ids=range(20),
)
def test_a_whole_response_is_taken(send: Send, response: bytes, status: int, body: bytes) -> None:
    with Listener(response) as listener:
        result = returned(send(post(listener.url)))

    assert (result.status, result.body, result.unreadable) == (status, body, "")
    assert len(listener.received) == 1


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (http("200 OK", gzip.compress(b"{}" * 500)[:-12], Content_Encoding="gzip"), "compressed body is cut off"),
        (http("200 OK", b"noise", Content_Encoding="gzip"), "compressed body is broken"),
        (http("200 OK", b"noise", Content_Encoding="br"), "content coding 'br'"),
        (http("200 OK", b"noise", Content_Encoding="zstd"), "content coding 'zstd'"),
        (http("200 OK", gzip.compress(gzip.compress(b"{}")), Content_Encoding="gzip, gzip"), "more than once"),
        (http("200 OK", gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip"), "max_response_bytes"),
        (http("200 OK", b"x" * (LIMIT + 1)), "max_response_bytes"),
        (b"HTTP/1.1 200 OK\r\nX-Flo-Instance: e1\r\n\r\n" + b"x" * 5_000_000, "max_response_bytes"),
    ],
    ids=range(8),
)
def test_a_body_that_cannot_be_read_says_why_and_keeps_its_head(send: Send, response: bytes, why: str) -> None:
    response = response.replace(b"\r\n", b"\r\nX-Flo-Instance: e1\r\n", 1)
    with Listener(response) as listener:
        result = returned(send(post(listener.url)))

    assert why in result.unreadable
    assert result.status == 200
    assert len(result.body) <= LIMIT
    assert result.headers["x-flo-instance"].startswith("e1")


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (b"", "closed without a response"),
        (b"HTTP/1.1 200 OK\r\nContent-", "closed without a response"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "closed without a response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-After: 1\r\n", "cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", "not HTTP"),
        (b"this is not HTTP\r\n\r\n", "not HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\n{}", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "not HTTP"),
        (http("200 OK", b"{}", Content_Length="1"), "not HTTP"),
        (http() + b"noise\r\n\r\n", "not HTTP"),
        (http("304 Not Modified", b"{}"), "not HTTP"),
        (http(Connection="close") + b"noise\r\n\r\n", "not HTTP"),
        (http(X_Large="a" * 70_000), "too large"),
        (http(**LARGE_HEADERS), "too large"),
        (b"HTTP/1.1 200 " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}", "too large"),
        (CHUNKED % (b"chunked", b"2\r\n{}\r\n0\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"), "too large"),
        (CHUNKED % (b"gzip, chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(PACKED), PACKED)), "not HTTP"),
        (CHUNKED % (b"gzip", PACKED), "not HTTP"),
        (CHUNKED % (b"deflate, chunked", b"5\r\nabcde\r\n0\r\n\r\n"), "not HTTP"),
        (CHUNKED % (b"identity", b"{}"), "not HTTP"),
        (CHUNKED % (b"chunked\r\nTransfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n"), "not HTTP"),
        (http().replace(b"HTTP/1.1", b"HTTP/1.2"), "not HTTP"),
        (b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n" + http(), "not HTTP"),
        (b"HTTP/1.0 100 Continue\r\n\r\n" + http(), "not HTTP"),
    ],
    ids=range(31),
)
def test_what_is_no_whole_response_leaves_an_unknown_fate(send: Send, response: bytes, why: str) -> None:
    with Listener(response) as listener:
        result = failure(send(post(listener.url)))

    assert result.kind is UNKNOWN
    assert why in result.detail
    assert len(listener.received) == 1


def resetting(begin: bytes) -> Callable[[socket.socket], None]:
    """Send the beginning of a response, and reset the connection once it is read."""

    def talk(sock: socket.socket) -> None:
        sock.sendall(begin)
        while int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4), "little"):
            pass
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return talk


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\n\r\nhalf of a rep",
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"status": "OK", "n": [1,',
        b"HTTP/1.0 200 OK\r\n\r\nhalf",
    ],
    ids=range(3),
)
def test_a_reset_is_no_end_of_a_response_without_a_length(send: Send, begin: bytes) -> None:
    with Listener(resetting(begin)) as listener:
        result = failure(send(post(listener.url)))

    assert (result.kind, result.detail) == (UNKNOWN, "the connection was reset")


EXECUTION = b"HTTP/1.1 200 OK\r\nX-Flo-Instance: e1\r\n"


@pytest.mark.parametrize(
    ("response", "body", "why"),
    [
        (EXECUTION + b'Content-Length: 100\r\n\r\n{"a":', b'{"a":', "the response was cut off"),
        (EXECUTION + b"Content-Length: 100\r\n\r\n", b"", "the response was cut off"),
        (EXECUTION + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", b"{}", "the response was cut off"),
        (
            EXECUTION + b"Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n" + gzip.compress(b"{}")[:-2],
            b"{}",
            "the response was cut off",
        ),
        (resetting(EXECUTION + b"\r\nhalf"), b"half", "the connection was reset"),
        (dripping(EXECUTION + b"\r\n{", b" "), b"{", "it took too long"),
    ],
    ids=range(6),
)
def test_a_response_that_is_cut_off_keeps_what_arrived(send: Send, response: Any, body: bytes, why: str) -> None:
    fields = SHORT if why == "it took too long" else {}
    with Listener(response) as listener:
        result = failure(send(post(listener.url), **fields))

    assert (result.kind, result.detail) == (UNKNOWN, why)
    begun = result.response
    assert begun is not None
    assert (begun.status, begun.body.rstrip(), begun.unreadable) == (200, body, why)
    assert begun.headers["X-Flo-Instance"] == "e1"


def test_without_a_whole_head_there_is_no_response(send: Send) -> None:
    with Listener(EXECUTION) as listener:
        assert failure(send(post(listener.url))).response is None


# ---- the connection


def test_a_connection_is_kept(send: Send) -> None:
    with Listener(http(), keep_alive=True) as listener:
        for result in send(post(listener.url), post(listener.url), HttpRequest("GET", listener.url, {})):
            returned(result)

    assert (len(listener.received), listener.connections) == (3, 1)


def test_no_more_connections_are_kept_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_okta_workflows.transport.h11_transport._MOST_KEPT", 2)
    together = threading.Barrier(4)

    def answer_together(sock: socket.socket) -> None:
        while sock.recv(65_536):
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait(30)
            sock.sendall(http())

    with listening(answer_together) as port:
        transport = H11Transport(settings())
        request = post(f"http://127.0.0.1:{port}")
        threads = [threading.Thread(target=transport.send, args=(request,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(kept) for kept in transport._kept.values()] == [2]
        transport.close()
        assert transport._kept == {}


FIRST, SECOND = http("200 OK", b"first"), http("200 OK", b"second")


@pytest.mark.parametrize(
    "odd",
    [
        FIRST + http("200 OK", b"of another"),
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + FIRST + http("200 OK", b"of another"),
        http("200 OK", b"first", Connection="close"),
        FIRST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        http("200 OK", b"first" + b"x" * 10 * LIMIT),
    ],
    ids=range(5),
)
def test_a_connection_on_which_anything_was_odd_is_not_used_again(send: Send, odd: bytes) -> None:
    with Listener(odd, SECOND, keep_alive=True) as listener:
        first, second = send(post(listener.url), post(listener.url))

    returned(first)
    assert returned(second).body == b"second"
    assert (len(listener.received), listener.connections) == (2, 2)


@pytest.mark.parametrize("late", [http("200 OK", b"of another"), b"noise", b""])
def test_what_comes_while_nobody_asks_is_no_response_to_the_next_one(send: Send, late: bytes) -> None:
    """A second response, noise, or the end of the connection."""
    asked, sent = threading.Event(), threading.Event()

    def odd(sock: socket.socket) -> None:
        sock.sendall(FIRST)
        assert asked.wait(30)
        if late:
            sock.sendall(late)
        else:
            sock.shutdown(socket.SHUT_RDWR)
        sent.set()
        sock.recv(1000)

    def between() -> None:
        asked.set()
        assert sent.wait(30)

    with Listener(odd, SECOND) as listener:
        first, second = send(post(listener.url), post(listener.url), between=between)

    assert returned(first).body == b"first"
    assert returned(second).body == b"second"


def test_interim_responses_do_not_mix_up_who_gets_what(send: Send) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    with Listener(early + FIRST, early + SECOND, keep_alive=True) as listener:
        bodies = [returned(result).body for result in send(post(listener.url), post(listener.url))]

    assert bodies == [b"first", b"second"]
    assert listener.connections == 1


def test_who_refuses_a_large_request_before_its_end_is_heard(send: Send) -> None:
    def refuse(sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(1000)
        sock.sendall(http("413 Too Large", b"no", Connection="close"))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65_536):
            pass

    with listening(refuse) as port:
        result = returned(send(post(f"http://127.0.0.1:{port}", b"x" * 20_000_000)))

    assert (result.status, result.body) == (413, b"no")


def test_who_breaks_off_in_the_middle_of_a_request_leaves_an_unknown_fate(send: Send) -> None:
    def reset(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(reset) as port:
        result = failure(send(post(f"http://127.0.0.1:{port}", b"x" * 20_000_000)))

    assert (result.kind, result.detail) == (UNKNOWN, "the connection was reset")


# ---- every wait ends


@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: y\r\n"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"14\r\n%s\r\n" % gzip.compress(b"", mtime=0),
        ),
    ],
    ids=range(10),
)
def test_a_response_that_does_not_end_is_given_up(send: Send, begin: bytes, unit: bytes) -> None:
    with Listener(dripping(begin, unit)) as listener:
        result = failure(send(post(listener.url), **SHORT))

    assert (result.kind, result.detail) == (UNKNOWN, "it took too long")


def test_the_request_can_have_a_time_of_its_own(send: Send) -> None:
    with Listener(dripping(b"", b"")) as listener:
        request = post(listener.url)
        result = failure(send(HttpRequest(request.method, request.url, request.headers, request.body, 0.2)))

    assert (result.kind, result.detail) == (UNKNOWN, "it took too long")


def test_a_request_that_nobody_reads_is_given_up(send: Send) -> None:
    stop = threading.Event()

    def ignore(sock: socket.socket) -> None:
        assert stop.wait(30)

    with listening(ignore) as port:
        result = failure(send(post(f"http://127.0.0.1:{port}", b"x" * 20_000_000), **SHORT))
        stop.set()

    assert (result.kind, result.detail) == (UNKNOWN, "it took too long")


@pytest.mark.parametrize(("begin", "unit"), [(b"", b""), (b"\x16\x03\x03\x40\x00\x02", b"a")])
def test_a_handshake_that_does_not_end_was_not_sent(send: Send, begin: bytes, unit: bytes) -> None:
    with listening(dripping(begin, unit)) as port:
        result = failure(send(post(f"https://127.0.0.1:{port}"), **SHORT))

    assert (result.kind, result.detail) == (NOT_SENT, "no connection: it took too long")


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes no connection, and does not refuse one either: its queue is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a name have several addresses: ports of this machine."""

    def to(*ports: int) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return to


def test_all_addresses_together_have_one_limit(send: Send, silent: int, resolve: Any) -> None:
    resolve(*[silent] * 5)

    result = failure(send(post("http://flows.example"), **SHORT))

    assert (result.kind, result.detail) == (NOT_SENT, "no connection: it took too long")


def test_an_address_that_takes_no_connection_stands_in_nobodys_way(send: Send, silent: int, resolve: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        refusing = free.getsockname()[1]
    with Listener(http()) as listener:
        resolve(refusing, silent, listener.port)
        returned(send(post("http://flows.example"), connect_timeout=6.0))

    assert len(listener.received) == 1


@pytest.mark.parametrize("name", ["no-such-host.invalid", "x" * 70 + ".example", "a..example", "host.example:99999"])
def test_a_name_without_an_address_was_not_sent(send: Send, name: str) -> None:
    assert failure(send(post(f"https://{name}"))).kind is NOT_SENT


# ---- an end from outside


class EndError(BaseException):
    """What ends a task from outside."""


def test_a_connection_in_the_middle_of_something_is_not_left_behind() -> None:
    def interrupt(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        assert sock.recv(1000) == b"", "the connection was closed"

    def clock() -> float:
        if clock.armed:  # type: ignore[attr-defined]
            raise EndError
        return 0.0

    with Listener(interrupt, SECOND) as listener:
        transport = H11Transport(settings(), clock=clock)
        clock.armed = False  # type: ignore[attr-defined]
        read_request = listener._read_request

        def read_and_arm(sock: socket.socket) -> bytes:
            request = read_request(sock)
            clock.armed = len(listener.received) == 0  # type: ignore[attr-defined]
            return request

        listener._read_request = read_and_arm  # type: ignore[method-assign]
        with pytest.raises(EndError):
            transport.send(post(listener.url))
        clock.armed = False  # type: ignore[attr-defined]
        assert returned(transport.send(post(listener.url))).body == b"second"
        transport.close()


async def test_a_call_that_is_cancelled_closes_its_connection() -> None:
    began = threading.Event()

    def hang(sock: socket.socket) -> None:
        began.set()
        assert sock.recv(1000) == b"", "the connection was closed"

    with Listener(hang, SECOND) as listener:
        async with open_session() as session:
            transport = AiohttpTransport(session, settings())
            call = asyncio.ensure_future(transport.send(post(listener.url)))
            assert await asyncio.to_thread(began.wait, 30)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert returned(await transport.send(post(listener.url))).body == b"second"


def test_a_subdomain_of_localhost_is_this_machine(send: Send) -> None:
    with Listener(http()) as listener:
        result = returned(send(post(f"http://login.localhost:{listener.port}")))

    assert result.status == 200
    assert f"Host: login.localhost:{listener.port}\r\n".encode().lower() in listener.received[0].lower()


def test_a_subdomain_of_localhost_that_the_resolver_knows_is_where_it_says(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker's resolver knows ``okta.localhost`` as the name of a container."""

    def known(host: Any, *_: Any, **__: Any) -> Any:
        if host != "okta.localhost":
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", listener.port))]

    with Listener(http()) as listener:
        monkeypatch.setattr(socket, "getaddrinfo", known)
        returned(send(post("http://okta.localhost")))

    assert len(listener.received) == 1
