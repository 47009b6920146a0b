"""Both transports behind a proxy, and with the CA bundles that companies have."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from airflow_okta_workflows.core.http.types import FailureKind
from airflow_okta_workflows.emulator import LocalProxy
from tests.integration.listener import Listener, http
from tests.integration.transports import SHORT, Send, dripping, failure, listening, post, returned

HOST = "flows.example"
URL = f"https://{HOST}"


def server_settings(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def flow(authority: trustme.CA) -> Iterator[Listener]:
    """A host that speaks TLS under the name of the flows, and that only a proxy finds."""
    with Listener(http(), context=server_settings(authority, HOST), keep_alive=True) as listener:
        yield listener


def places(flow: Listener) -> dict[str, tuple[str, int]]:
    return {HOST: ("127.0.0.1", flow.port)}


def test_a_proxy_leads_to_the_host_and_its_tunnel_is_kept(send: Send, flow: Listener, bundle: str) -> None:
    with LocalProxy(places(flow)) as proxy:
        for result in send(post(URL), post(URL), proxy=proxy.url, verify=bundle):
            returned(result)

    assert proxy.requests == [f"{HOST}:443"]
    assert (len(flow.received), flow.connections) == (2, 1)
    assert b"Proxy-" not in flow.received[0]


@pytest.mark.parametrize("status", [403, 407, 500, 502, 503, 504])
def test_a_refusal_is_told_and_nothing_was_sent(send: Send, status: int) -> None:
    with LocalProxy(behavior="refuse", status=status) as proxy:
        result = failure(send(post(URL), proxy=proxy.url))

    assert result.kind is FailureKind.NOT_SENT
    assert f"the proxy {proxy.address} returned {status}" in result.detail
    assert "http_proxy" in result.hint


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"", "closed without a response"),
        (b"HTTP/1.1 200 OK\r\nX-", "closed without a response"),
        (b"no proxy\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "the connection was reset"),
        (b"HTTP/1.1 200 OK\r\n\r\nand more, before anybody asked", "no connection: "),
    ],
)
def test_a_proxy_that_breaks_off_has_sent_nothing(send: Send, head: bytes, why: str) -> None:
    with Listener(head) as proxy:
        result = failure(send(post(URL), proxy=proxy.url))

    assert result.kind is FailureKind.NOT_SENT
    assert why in result.detail
    assert f"(through the proxy 127.0.0.1:{proxy.port})" in result.detail
    assert not any(b"t0ken" in request for request in proxy.received)


@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
    ],
)
def test_a_proxy_that_does_not_come_to_an_end_is_given_up(send: Send, begin: bytes, unit: bytes) -> None:
    with listening(dripping(begin, unit)) as port:
        result = failure(send(post(URL), proxy=f"127.0.0.1:{port}", **SHORT))

    assert result.kind is FailureKind.NOT_SENT
    assert result.detail.startswith("no connection: it took too long")


def test_an_interim_response_of_a_proxy_is_waited_through(send: Send, flow: Listener, bundle: str) -> None:
    class Slow(LocalProxy):
        def _respond(self, client: socket.socket, head: str) -> None:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            super()._respond(client, head)

    with Slow(places(flow)) as proxy:
        returned(send(post(URL), proxy=proxy.url, verify=bundle))


def test_a_proxy_that_is_not_there_was_not_asked(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    result = failure(send(post(URL), proxy=address))

    assert result.kind is FailureKind.NOT_SENT
    assert result.detail == f"no connection: the connection was refused (through the proxy {address})"


def test_interception_is_trusted_only_by_its_ca(
    send: Send, flow: Listener, authority: trustme.CA, bundle: str, tmp_path: Path
) -> None:
    company = trustme.CA()
    path = tmp_path / "company.pem"
    company.cert_pem.write_to_path(str(path))
    with LocalProxy(places(flow), behavior="intercept", certificate=server_settings(company, HOST)) as proxy:
        result = failure(send(post(URL), proxy=proxy.url, verify=bundle))
        assert flow.received == []
        returned(send(post(URL), proxy=proxy.url, verify=str(path)))

    assert result.kind is FailureKind.UNTRUSTED
    assert "the host's certificate is not trusted (" in result.detail
    assert len(flow.received) == 1


@pytest.mark.parametrize("login", ["me:secret", "me:p@ss:w%rd", "DOMAIN\\me:ä"])
def test_a_login_goes_to_the_proxy_alone(send: Send, flow: Listener, bundle: str, login: str) -> None:
    from urllib.parse import quote

    user, _, password = login.partition(":")
    with LocalProxy(places(flow), login=login) as proxy:
        named = f"http://{quote(user)}:{quote(password, safe='')}@{proxy.address}"
        returned(send(post(URL), proxy=named, verify=bundle))
        result = failure(send(post(URL), proxy=f"http://{quote(user)}:wrong@{proxy.address}", verify=bundle))

    assert "407 Proxy Authentication Required" in result.detail
    assert "wrong" not in repr(result)
    assert b"Proxy-" not in flow.received[0]


def test_a_proxy_can_speak_tls_itself(send: Send, flow: Listener, authority: trustme.CA, bundle: str) -> None:
    with LocalProxy(places(flow), certificate_of_its_own=server_settings(authority, "127.0.0.1")) as proxy:
        returned(send(post(URL, b"x" * 300_000), proxy=proxy.url, verify=bundle))
        result = failure(send(post(URL), proxy=proxy.url))

    assert proxy.url.startswith("https://")
    assert result.kind is FailureKind.UNTRUSTED
    assert result.detail.startswith(f"the certificate of the proxy {proxy.address} is not trusted (unable to get")
    assert flow.received[0].endswith(b"x" * 1000)


def test_plain_http_goes_through_a_proxy_as_a_whole(send: Send) -> None:
    with Listener(http()) as proxy:
        returned(send(post("http://flows.example:81"), proxy=f"http://me:secret@127.0.0.1:{proxy.port}"))

    head = proxy.received[0].partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert head[0] == b"POST http://flows.example:81/api/flo/x/invoke HTTP/1.1"
    assert b"proxy-authorization: basic bwu6c2vjcmv0" in [line.lower() for line in head]


@pytest.mark.parametrize("headers", [{}, {"X_Flo_Instance": "e1"}])
def test_a_proxy_that_wants_a_login_for_plain_http_has_sent_nothing_on(send: Send, headers: dict[str, str]) -> None:
    with Listener(http("407 Proxy Authentication Required", b"no", **headers)) as proxy:
        result = failure(send(post("http://flows.example"), proxy=proxy.url))

    assert result.kind is FailureKind.NOT_SENT
    name = f"127.0.0.1:{proxy.port}"
    assert result.detail == f"no connection: the proxy {name} returned 407 Proxy Authentication Required"
    assert "http_proxy" in result.hint
    assert result.response is not None
    assert result.response.headers.get("X-Flo-Instance") == headers.get("X_Flo_Instance")


def test_a_407_without_a_proxy_is_a_response(send: Send) -> None:
    with Listener(http("407 Proxy Authentication Required")) as listener:
        assert returned(send(post(listener.url))).status == 407


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["", "http://"])
def test_the_environments_proxy_is_written_as_people_write_it(
    send: Send, flow: Listener, bundle: str, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    with LocalProxy(places(flow)) as proxy:
        monkeypatch.setenv(variable, scheme + proxy.address)
        returned(send(post(URL), verify=bundle))
        monkeypatch.setenv("NO_PROXY", "other.example,.example")
        assert "resolved" in failure(send(post("https://flows.example.invalid.example"), verify=bundle)).detail

    assert proxy.requests == [f"{HOST}:443"]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_socks_proxy_is_named_as_not_supported(send: Send, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with LocalProxy() as proxy:
        monkeypatch.setenv(variable, f"socks5h://me:secret@{proxy.address}")
        result = failure(send(post(URL)))

    assert result.kind is FailureKind.UNTRUSTED
    assert result.detail == f"{variable} names a SOCKS proxy, which is not supported"
    assert "http_proxy" in result.hint
    assert proxy.requests == []


@pytest.mark.parametrize(
    ("text", "why"), [(None, "does not exist"), ("", "without a certificate"), ("nonsense", "without a certificate")]
)
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_that_cannot_be_used_is_named_with_its_source(
    send: Send,
    flow: Listener,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    text: str | None,
    why: str,
    variable: str,
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv(variable, str(path))

    result = failure(send(post(f"https://127.0.0.1:{flow.port}")))

    assert result.kind is FailureKind.UNTRUSTED
    assert result.detail.startswith(f"{variable} names a")
    assert why in result.detail
    assert str(path) in result.detail
    assert "PEM" in result.hint
    assert flow.connections == 0


def test_a_request_without_tls_needs_no_bundle(send: Send) -> None:
    with Listener(http()) as listener:
        returned(send(post(listener.url), verify="/nowhere/ca.pem"))


@pytest.mark.parametrize(
    ("name", "why"),
    [("127.0.0.1", "unable to get local issuer certificate"), ("other.example", "not valid for '127.0.0.1'")],
)
def test_why_a_certificate_is_not_trusted_is_told(
    send: Send, authority: trustme.CA, bundle: str, name: str, why: str
) -> None:
    signer = authority if name == "other.example" else trustme.CA()
    with Listener(http(), context=server_settings(signer, name)) as listener:
        result = failure(send(post(listener.url), verify=bundle))

    assert result.kind is FailureKind.UNTRUSTED
    assert why in result.detail
    assert listener.received == []


@pytest.mark.parametrize("quotes", ["'{}'", '"{}"', " {} \n"])
def test_an_env_file_may_leave_quotes_around_the_path_of_a_bundle(
    send: Send, authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch, quotes: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", quotes.format(bundle))
    with Listener(http(), context=server_settings(authority, "127.0.0.1")) as listener:
        returned(send(post(listener.url)))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_host_that_requires_a_client_certificate_has_read_nothing(
    send: Send, authority: trustme.CA, bundle: str, version: ssl.TLSVersion
) -> None:
    """With TLS 1.3, the client learns it after the request has left."""
    context = server_settings(authority, "127.0.0.1")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with Listener(http(), context=context) as listener:
        result = failure(send(post(listener.url), verify=bundle))

    assert listener.received == []
    if version is ssl.TLSVersion.TLSv1_3:
        assert result.kind is FailureKind.UNTRUSTED
        assert result.detail == "the host requires a client certificate"
        assert "client certificate" in result.hint
    else:
        assert (result.kind, result.detail) == (FailureKind.NOT_SENT, "no connection: the TLS handshake failed")


@pytest.mark.parametrize("size", [100, 90_000])
@pytest.mark.parametrize("alert", [True, False])
def test_a_response_without_a_length_ends_with_tls_not_with_tcp(
    send: Send, authority: trustme.CA, bundle: str, alert: bool, size: int
) -> None:
    def end(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * size)
        if alert:
            with contextlib.suppress(OSError):
                sock.unwrap()
        else:
            socket.socket(fileno=sock.detach()).close()

    with Listener(end, context=server_settings(authority, "127.0.0.1")) as listener:
        result = send(post(listener.url), verify=bundle)

    if alert:
        assert returned(result).body == b"x" * size
    else:
        assert (failure(result).kind, result.detail) == (FailureKind.OUTCOME_UNKNOWN, "the response was cut off")


def test_an_intermediate_authority_is_enough_to_trust(send: Send, authority: trustme.CA, tmp_path: Path) -> None:
    issuing = authority.create_child_ca()
    path = tmp_path / "issuing.pem"
    issuing.cert_pem.write_to_path(str(path))
    with Listener(http(), context=server_settings(issuing, "127.0.0.1")) as listener:
        returned(send(post(listener.url), verify=str(path)))


def without_key_identifiers(directory: Path) -> tuple[ssl.SSLContext, str]:
    """A server's settings and a CA bundle, of certificates as some intercepting proxies make them."""
    now = datetime.now(UTC)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Company CA")])
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    extensions: list[Any] = [x509.BasicConstraints(True, None), x509.SubjectAlternativeName([x509.DNSName(HOST)])]
    subjects = [issuer, x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])]
    certificates = [
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(keys[0], hashes.SHA256())
        for subject, key, extension in zip(subjects, keys, extensions, strict=True)
    ]
    (directory / "ca.pem").write_bytes(certificates[0].public_bytes(serialization.Encoding.PEM))
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "server.pem").write_bytes(certificates[1].public_bytes(serialization.Encoding.PEM) + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return context, str(directory / "ca.pem")


def test_a_company_ca_without_key_identifiers_is_trusted_on_every_python(
    send: Send, flow: Listener, tmp_path: Path
) -> None:
    context, path = without_key_identifiers(tmp_path)
    if sys.version_info >= (3, 13):
        assert ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT, "what stands in its way"
    with LocalProxy(places(flow), behavior="intercept", certificate=context) as proxy:
        returned(send(post(URL), proxy=proxy.url, verify=path))


# A loop that ends right after a broken-off TLS handshake leaves the socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_kept_connection_that_cannot_be_used_leaves_no_more_time_to_connect(
    send: Send, authority: trustme.CA, bundle: str
) -> None:
    """The host never continues the handshake of the second connection."""
    asked, sent, done = threading.Event(), threading.Event(), threading.Event()

    def odd(sock: socket.socket) -> None:
        sock.sendall(http())
        assert asked.wait(30)
        sock.sendall(b"noise")
        sent.set()
        done.wait(30)

    def between() -> None:
        asked.set()
        assert sent.wait(30)

    with Listener(odd, http(), context=server_settings(authority, "127.0.0.1")) as listener:
        url = f"https://127.0.0.1:{listener.port}"
        results = send(post(url), post(url), between=between, verify=bundle, connect_timeout=0.4, read_timeout=3600.0)
        done.set()

    result = failure(results[1])
    assert (result.kind, result.detail) == (FailureKind.NOT_SENT, "no connection: it took too long")
    gc.collect()
