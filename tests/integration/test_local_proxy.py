"""The proxy of the local org, and the gateways that it plays, seen from outside."""

from __future__ import annotations

import errno
import socket

import pytest

from airflow_okta_workflows.emulator import GatewayPage, LocalProxy
from airflow_okta_workflows.emulator.gateways import Gateway
from tests.integration.listener import Listener, http


def asked(proxy: LocalProxy, request: str, then: str = "", *, leave: bool = False) -> bytes:
    """Send a proxy a request, then what goes through it, and return all that comes of both."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as sock:
        sock.sendall(request.encode())
        if leave:
            sock.shutdown(socket.SHUT_WR)
        response = sock.recv(1000)
        if then:
            sock.sendall(then.encode())
        while data := sock.recv(1000):
            response += data
        return response


CONNECT = "CONNECT flows.example:443 HTTP/1.1\r\nHost: flows.example:443\r\n{}\r\n"


def test_it_leads_a_host_where_it_is_told() -> None:
    with Listener(http()) as host, LocalProxy({"flows.example": ("127.0.0.1", host.port)}) as proxy:
        response = asked(proxy, CONNECT.format(""), "GET / HTTP/1.1\r\n\r\n")

    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.endswith(b"{}")
    assert proxy.requests == ["flows.example:443"]


def test_a_host_that_it_cannot_reach_is_502() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = free.getsockname()
    with LocalProxy({"flows.example": place}) as proxy:
        assert asked(proxy, CONNECT.format("")).startswith(b"HTTP/1.1 502 ")


def test_it_takes_connect_alone() -> None:
    with LocalProxy() as proxy:
        assert asked(proxy, "GET http://flows.example/ HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 405 ")
        assert asked(proxy, "half a request", leave=True) == b""

    assert proxy.requests == ["GET http://flows.example/ HTTP/1.1"]


def test_it_is_in_the_way_of_the_hosts_that_are_named() -> None:
    with Listener(http()) as host:
        places = dict.fromkeys(("flows.example", "org.example"), ("127.0.0.1", host.port))
        with LocalProxy(places, behavior="refuse", status=418, hosts=["flows.example"]) as proxy:
            refused = asked(proxy, CONNECT.format(""))
            passed = asked(proxy, CONNECT.format("").replace("flows.", "org."), "GET / HTTP/1.1\r\n\r\n")

    assert refused.startswith(b"HTTP/1.1 418 ")
    assert passed.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("login", "status"), [("bWU6c2VjcmV0", 502), ("bWU6U0VDUkVU", 407), ("", 407)])
def test_it_asks_for_its_login(login: str, status: int) -> None:
    header = f"Proxy-Authorization: Basic {login}\r\n" if login else ""
    with LocalProxy({"flows.example": ("127.0.0.1", 1)}, login="me:secret") as proxy:
        response = asked(proxy, CONNECT.format(header))

    assert response.startswith(f"HTTP/1.1 {status} ".encode())
    assert (b"Proxy-Authenticate: Basic" in response) is (status == 407)


def test_it_can_be_started_again_on_its_port() -> None:
    with Listener(http()) as host:
        proxy = LocalProxy({"flows.example": ("127.0.0.1", host.port)})
        for _ in range(2):
            with proxy:
                url = proxy.url
                response = asked(proxy, CONNECT.format(""), "GET / HTTP/1.1\r\n\r\n")
                with pytest.raises(RuntimeError, match="is listening already"):
                    proxy.start()
            assert response.endswith(b"{}")
            assert proxy.url == url
        proxy.stop()

    assert proxy.requests == ["flows.example:443"] * 2


def test_a_connection_that_cannot_be_accepted_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.EMFILE, "Too many open files"), ConnectionAbortedError(errno.ECONNABORTED, "aborted")]
    accept = socket.socket.accept

    def failing(server: socket.socket) -> object:
        if failures:
            raise failures.pop()
        return accept(server)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with LocalProxy(behavior="refuse") as proxy:
        assert asked(proxy, CONNECT.format("")).startswith(b"HTTP/1.1 403 ")

    assert failures == []


@pytest.mark.parametrize(
    ("gateway", "content_type"),
    [
        ("alb", "text/html"),
        ("api-gateway", "application/json"),
        ("cloudflare", "text/html"),
        ("envoy", "text/plain"),
        ("kong", "application/json"),
        ("nginx", "text/html"),
    ],
)
@pytest.mark.parametrize("status", [408, 502, 504])
def test_a_gateway_responses_as_such_ones_do(gateway: Gateway, content_type: str, status: int) -> None:
    page = GatewayPage(gateway, status, after_run=True)

    assert (page.status, page.after_run) == (status, True)
    assert page.headers["Content-Type"].startswith(content_type)
    assert page.body
    assert not [name for name in page.headers if "execution" in name.lower() or "instance" in name.lower()]


def test_cloudflare_has_statuses_of_its_own() -> None:
    assert b"524 A timeout occurred" in GatewayPage("cloudflare", 524).body
