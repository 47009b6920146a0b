"""The session of get_conn: requests' own to its user, and on the wire like everything else of this provider."""

from __future__ import annotations

import gzip
import io
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests
import trustme
import urllib3

from airflow_okta_workflows.emulator import Answer, Drip, Interim, LocalOrg, LocalProxy, ReturnRaw, TruncatedGzip
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.integration.listener import Listener, http

if TYPE_CHECKING:
    from pathlib import Path

Connect = Callable[..., None]


@pytest.fixture
def session(org: LocalOrg, connect: Connect) -> Iterator[requests.Session]:
    connect(org, connect_timeout=5, read_timeout=0.5, max_response_bytes=1000)
    with OktaWorkflowsHook().get_conn() as session:
        yield session


def test_a_response_is_as_requests_gives_it(org: LocalOrg, session: requests.Session) -> None:
    org.flow("raw")(lambda request: ReturnRaw(200, "Zoë", {"Content-Type": "text/plain; charset=utf-8", "X-A": "1"}))

    response = session.post(org.invoke_url("raw"), json={"a": 1})

    assert (response.status_code, response.reason, response.ok) == (200, "OK", True)
    assert (response.text, response.encoding, response.headers["x-a"]) == ("Zoë", "utf-8", "1")
    assert response.elapsed.total_seconds() > 0
    assert response.url == org.invoke_url("raw")
    assert org.flows["raw"].runs[0].body == {"a": 1}


@pytest.mark.parametrize(
    "body",
    ["Zoë", "Zoë".encode(), io.BytesIO("Zoë".encode()), (part.encode() for part in ("Zo", "ë"))],
    ids=["str", "bytes", "file", "generator"],
)
def test_a_body_may_be_whatever_requests_takes(org: LocalOrg, session: requests.Session, body: Any) -> None:
    session.post(org.invoke_url("echo"), data=body)

    assert org.requests("echo")[0].text == "Zoë"


def test_a_response_can_be_read_piece_by_piece(org: LocalOrg, session: requests.Session) -> None:
    org.flow("raw")(lambda request: ReturnRaw(200, "a\nb"))

    with session.get(org.invoke_url("raw"), stream=True) as response:
        assert list(response.iter_lines()) == [b"a", b"b"]


def test_a_body_that_the_caller_compressed_arrives_as_such(org: LocalOrg, session: requests.Session) -> None:
    session.post(org.invoke_url("echo"), data=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})

    assert org.requests("echo")[0].headers["content-encoding"] == "gzip"


def test_a_compressed_response_is_decoded_once(org: LocalOrg, session: requests.Session) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    org.inject(Answer(200, gzip.compress(b'{"a": 1}'), headers), flow="echo")

    response = session.post(org.invoke_url("echo"))

    assert response.json() == {"a": 1}
    assert "content-encoding" not in response.headers


def test_interim_responses_are_waited_through(org: LocalOrg, session: requests.Session) -> None:
    org.inject(Interim(times=2), flow="echo")

    assert [session.post(org.invoke_url("echo")).status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("fault", [Drip("head"), Drip("body"), Drip("interim")])
def test_a_response_that_does_not_end_is_given_up(org: LocalOrg, session: requests.Session, fault: Drip) -> None:
    org.inject(fault, flow="echo")

    with pytest.raises(requests.ReadTimeout):
        session.post(org.invoke_url("echo"))


def test_a_call_may_have_its_own_time(org: LocalOrg, session: requests.Session) -> None:
    org.inject(Drip("body"), flow="echo", times=3)

    timeouts: list[Any] = [0.1, (5, 0.1), urllib3.Timeout(connect=5, read=0.1)]
    for timeout in timeouts:
        with pytest.raises(requests.ReadTimeout):
            session.post(org.invoke_url("echo"), timeout=timeout)


@pytest.mark.parametrize(
    "fault", [TruncatedGzip(), Answer(200, b"x" * 1001), Answer(200, b"x", {"Content-Encoding": "br"})]
)
def test_what_cannot_be_read_is_an_error(org: LocalOrg, session: requests.Session, fault: Answer) -> None:
    org.inject(fault, flow="echo")

    with pytest.raises(requests.exceptions.ContentDecodingError):
        session.post(org.invoke_url("echo"))


def test_a_connection_that_cannot_be_made_is_requests_own_error(org: LocalOrg, connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    connect(org, allowed_hosts=[url])
    with OktaWorkflowsHook().get_conn() as session, pytest.raises(requests.ConnectionError, match="refused"):
        session.get(url)


def test_a_proxy_and_a_ca_bundle_are_those_of_the_connection(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import ssl

    company = trustme.CA()
    company.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    company.issue_cert("flows.example").configure_cert(certificate)
    with (
        Listener(http(), context=certificate) as flow,
        LocalProxy({"flows.example": ("127.0.0.1", flow.port)}) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        connect(org, allowed_hosts=["flows.example"])
        with OktaWorkflowsHook().get_conn() as session, pytest.raises(requests.exceptions.SSLError, match="set verify"):
            session.get("https://flows.example/x")
        connect(org, allowed_hosts=["flows.example"], verify=str(tmp_path / "ca.pem"))
        with OktaWorkflowsHook().get_conn() as session:
            assert session.get("https://flows.example/x").status_code == 200
        proxy.behavior = "hang"
        with OktaWorkflowsHook().get_conn() as session, pytest.raises(requests.ConnectTimeout):
            session.get("https://flows.example/x", timeout=(0.2, 5))

    assert proxy.requests == ["flows.example:443"] * 3
