"""What is really on the wire, seen by a raw TCP listener in place of the flow."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from airflow_okta_workflows.client.loop_resources import loop_resources
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.exceptions import (
    OktaFlowFailedError,
    OktaFlowNotSentError,
    OktaFlowOutcomeUnknownError,
    OktaFlowResponseError,
    OktaTokenError,
)
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.integration.listener import Listener, http

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_okta_workflows.emulator import LocalOrg

Invoke = Callable[..., FlowResponse]
ALIAS = "0123456789abcdef0123456789abcdef"
ALLOWED = {
    "authorization", "idempotency-key", "content-type", "accept", "user-agent", "x-mine",
    # what HTTP itself needs
    "host", "content-length", "accept-encoding", "connection",
}  # fmt: skip
CANARY = "canary-5f1e"


@pytest.fixture
def aim(org: LocalOrg, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Point the connection's one flow at a place, with a canary in every field that takes a text."""

    def point(url: str, **extra: Any) -> str:
        connection = org.connection(
            flows={"raw": f"{url}/api/flo/{ALIAS}/invoke", CANARY: ALIAS},
            allowed_hosts=f"{CANARY}.example",
            key_passphrase=CANARY,
            scope="okta.workflows.invoke.manage",
            headers=CANARY,
            stream=CANARY,
            **extra,
        )
        connection["description"] = CANARY
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
        return str(org.private_jwk["d"])

    return point


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_no_field_of_the_connection_becomes_a_header(invoke: Invoke, aim: Any, org: LocalOrg) -> None:
    with Listener(http(), keep_alive=True) as listener:
        secret = aim(listener.url)
        invoke("raw", {"a": 1}, headers={"X-Mine": "1"})
        invoke("raw", method="GET", query={"a": 1})

    for request in listener.received:
        headers = headers_of(request)
        assert set(headers) <= ALLOWED
        assert headers["authorization"].startswith("Bearer ")
        assert headers["idempotency-key"]
        assert headers["user-agent"].startswith("airflow-provider-okta-workflows/")
        for hidden in (CANARY, secret, org.app.client_id):
            assert hidden not in request.decode()
    post, get = listener.received
    assert post.startswith(f"POST /api/flo/{ALIAS}/invoke HTTP/1.1\r\n".encode())
    assert post.endswith(b'\r\n\r\n{"a":1}')
    assert headers_of(post)["content-type"] == "application/json"
    assert get.startswith(f"GET /api/flo/{ALIAS}/invoke?a=1 HTTP/1.1\r\n".encode())
    assert "content-type" not in headers_of(get)


def test_the_session_of_get_conn_sends_no_field_either(aim: Any, org: LocalOrg) -> None:
    with Listener(http()) as listener:
        secret = aim(listener.url)
        with OktaWorkflowsHook().get_conn() as session:
            session.post(f"{listener.url}/api/flo/{ALIAS}/invoke", json={"a": 1})

    headers = headers_of(listener.received[0])
    assert set(headers) <= ALLOWED
    assert secret not in listener.received[0].decode()


def test_a_token_is_not_sent_on_by_a_redirect(invoke: Invoke, aim: Any) -> None:
    with Listener(http()) as other, Listener(http("307 Moved", b"", Location=f"{other.url}/x")) as listener:
        aim(listener.url)
        with pytest.raises(OktaFlowResponseError, match="redirect"):
            invoke("raw")

    assert len(listener.received) == 1
    assert other.received == []


def test_no_cookie_is_kept(invoke: Invoke, aim: Any) -> None:
    with Listener(http(Set_Cookie="a=b; Path=/"), keep_alive=True) as listener:
        aim(listener.url)
        invoke("raw")
        invoke("raw")

    assert not any("cookie" in headers_of(request) for request in listener.received)


def test_no_netrc_is_read(invoke: Invoke, aim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Listener(http()) as listener:
        aim(listener.url)
        invoke("raw")

    assert headers_of(listener.received[0])["authorization"].startswith("Bearer ")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_turns_out_closed_is_no_reason_to_send_again(aim: Any, method: str) -> None:
    """Client libraries send a GET again then, and the flow would run twice."""

    def close_after_request(sock: socket.socket) -> None:
        sock.close()

    import asyncio

    with Listener(http(), close_after_request, http(), keep_alive=True) as listener:
        aim(listener.url)
        hook = OktaWorkflowsHook()

        async def twice() -> None:
            # Somebody else uses the loop's session as well, so that it stays open in between.
            async with loop_resources():
                await hook.ainvoke("raw", method=method)
                await hook.ainvoke("raw", method=method)

        with pytest.raises(OktaFlowOutcomeUnknownError):
            asyncio.run(twice())
        assert len(listener.received) == 2

    with Listener(http(), close_after_request, http(), keep_alive=True) as listener:
        aim(listener.url)
        hook = OktaWorkflowsHook()
        hook.invoke("raw", method=method)
        with pytest.raises(OktaFlowOutcomeUnknownError):
            hook.invoke("raw", method=method)
        hook.close()
        assert len(listener.received) == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(aim: Any) -> None:
    now = [0.0]
    from airflow_okta_workflows.core.http.types import HttpRequest
    from airflow_okta_workflows.transport.h11_transport import H11Transport

    with Listener(http(), keep_alive=True) as listener:
        aim(listener.url)
        transport = H11Transport(OktaWorkflowsHook().settings, clock=lambda: now[0])
        for pause in (0.0, 5.0, 30.0):
            now[0] += pause
            transport.send(HttpRequest("GET", f"{listener.url}/", {}))
        transport.close()

    assert (len(listener.received), listener.connections) == (3, 2)


def bomb(size: int = 50_000_000) -> bytes:
    return gzip.compress(b"\0" * size)


@pytest.mark.parametrize("length", [True, False])
def test_a_compressed_bomb_is_not_taken(invoke: Invoke, aim: Any, length: bool) -> None:
    body = bomb()
    response = http("200 OK", body, Content_Encoding="gzip", Content_Length=str(len(body)) if length else "")
    with Listener(response) as listener:
        aim(listener.url, max_response_bytes=100_000)
        with pytest.raises(OktaFlowResponseError, match="max_response_bytes"):
            invoke("raw", idempotent=True)

    assert len(listener.received) == 1


def test_reading_stops_soon_after_the_limit(invoke: Invoke, aim: Any) -> None:
    sent = [0]

    def flood(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        try:
            for _ in range(1000):
                sock.sendall(b"x" * 65_536)
                sent[0] += 65_536
        except OSError:
            pass

    with Listener(flood) as listener:
        aim(listener.url, max_response_bytes=100_000)
        with pytest.raises(OktaFlowResponseError):
            invoke("raw")

    assert sent[0] < 20_000_000


def test_a_dripping_response_has_an_end(invoke: Invoke, aim: Any) -> None:
    done = threading.Event()

    def drip(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while not done.wait(0.05):
                sock.sendall(b"x")
        except OSError:
            pass

    with Listener(drip) as listener:
        aim(listener.url, connect_timeout=0.2)
        started = time.monotonic()
        with pytest.raises(OktaFlowOutcomeUnknownError, match="took too long"):
            invoke("raw", timeout=0.3)
        assert time.monotonic() - started < 10
        done.set()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"",
        b"this is not HTTP\r\n\r\n",
    ],
)
def test_half_a_response_is_none(invoke: Invoke, aim: Any, response: bytes) -> None:
    with Listener(response) as listener:
        aim(listener.url)
        with pytest.raises(OktaFlowOutcomeUnknownError):
            invoke("raw")

    assert len(listener.received) == 1


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_response_that_is_cut_off_after_its_execution_id_is_final(invoke: Invoke, aim: Any, idempotent: bool) -> None:
    with Listener(http("200 OK", b'{"a":', Content_Length="100", X_Flo_Instance="e1")) as listener:
        aim(listener.url)
        with pytest.raises(OktaFlowResponseError) as caught:
            invoke("raw", idempotent=idempotent)

    assert len(listener.received) == 1
    assert str(caught.value).startswith("Flow 'raw' returned 200 (execution e1), but the response was cut off.\n")


def test_a_429_that_cannot_be_read_may_be_the_flows_own(invoke: Invoke, aim: Any) -> None:
    error = b'{"_error": true, "execution": "e1", "limit": 1e999}'
    unreadable = http("429 x", b"noise", Content_Encoding="br")
    # Kept open, since a connection that closes between two invocations may be lost with the second one.
    with Listener(http("429 x", error), unreadable, keep_alive=True) as listener:
        aim(listener.url)
        with pytest.raises(OktaFlowFailedError, match=r"returned 429 \(execution e1\)"):
            invoke("raw")
        with pytest.raises(OktaFlowOutcomeUnknownError, match="content coding 'br' was not requested"):
            invoke("raw")

    assert len(listener.received) == 2


def test_a_refused_connection_was_not_sent(invoke: Invoke, aim: Any, world: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    aim(f"http://127.0.0.1:{port}")

    with pytest.raises(OktaFlowNotSentError, match="connection was refused"):
        invoke("raw")

    assert world.slept == [0.75, 1.5]


def test_a_name_that_does_not_resolve_was_not_sent(invoke: Invoke, aim: Any) -> None:
    aim("https://no-such-host.invalid")

    with pytest.raises(OktaFlowNotSentError, match="cannot be resolved"):
        invoke("raw")


def test_a_failed_handshake_was_not_sent(invoke: Invoke, aim: Any) -> None:
    def reset(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        attempts = []

        def refuse() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                attempts.append(connection.recv(1000))
                connection.sendall(b"this is no TLS\r\n")
                connection.close()

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        aim(f"https://127.0.0.1:{port}")
        with pytest.raises(OktaFlowNotSentError):
            invoke("raw")
        thread.join()

    assert len(attempts) == 3
    assert not any(b"Bearer" in attempt for attempt in attempts)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_tls_with_a_private_authority(invoke: Invoke, aim: Any, authority: trustme.CA, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with Listener(http(), context=server_context(authority, "127.0.0.1")) as listener:
        aim(listener.url, verify=str(bundle))
        assert invoke("raw").status_code == 200
        aim(listener.url, verify=False)


def test_the_environments_bundle_counts_for_both_ways(
    invoke: Invoke, aim: Any, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with Listener(http(), context=server_context(authority, "127.0.0.1")) as listener:
        aim(listener.url)
        assert invoke("raw").status_code == 200


@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.1", False), ("other.example", True)])
def test_a_wrong_certificate_ends_it_at_once(
    invoke: Invoke, aim: Any, authority: trustme.CA, tmp_path: Path, name: str, trusted: bool
) -> None:
    bundle = tmp_path / "ca.pem"
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(str(bundle))
    with Listener(http(), context=server_context(authority, name)) as listener:
        aim(listener.url, verify=str(bundle))
        with pytest.raises(OktaFlowNotSentError, match="certificate is not trusted") as caught:
            invoke("raw")

    assert "verify" in caught.value.hint
    assert listener.connections == 1
    assert listener.received == []


def test_verify_false_trusts_anyone(invoke: Invoke, aim: Any, authority: trustme.CA, recwarn: Any) -> None:
    with Listener(http(), context=server_context(authority, "other.example")) as listener:
        aim(listener.url, verify="false")
        assert invoke("raw").status_code == 200


def test_a_proxy_is_asked(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, org: LocalOrg) -> None:
    with Listener(http()) as proxy:
        connection = org.connection(http_proxy=proxy.url, insecure_http=True)
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
        with pytest.raises(OktaTokenError):
            invoke("echo")

    assert proxy.received[0].startswith(f"POST {org.url}/oauth2/v1/token HTTP/1.1\r\n".encode())


def test_the_environments_proxy_is_not_asked_for_this_machine(
    invoke: Invoke, aim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Listener(http()) as proxy, Listener(http()) as listener:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        aim(listener.url)
        invoke("raw")

    assert proxy.received == []
