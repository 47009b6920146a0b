from __future__ import annotations

import os
import ssl
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import certifi
import pytest
import trustme

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.proxies import Proxy
from airflow_okta_workflows.core.http.types import FailureKind, HttpRequest
from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.transport import network
from airflow_okta_workflows.transport.failures import lost_by, refused_by

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://acme.okta.com/x"


def settings(**fields: Any) -> Any:
    return SimpleNamespace(**{"verify": True, "http_proxy": None, **fields})


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in os.environ if name.lower().endswith(("_proxy", "_ca_bundle")) or name == "SSL_CERT_FILE"
    ]:
        monkeypatch.delenv(name)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


def test_trust_comes_from_the_connection_then_the_environment_then_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    assert network.ca_bundle(settings()) == certifi.where()
    monkeypatch.setenv("SSL_CERT_FILE", "/environment.pem")
    assert network.ca_bundle(settings()) == "/environment.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert network.ca_bundle(settings()) == "/requests.pem"
    assert network.ca_bundle(settings(verify="/mine.pem")) == "/mine.pem"
    assert network.ca_bundle(settings(verify=False)) is False


def test_the_usual_authorities_are_held_to_every_rule() -> None:
    context = network.tls_context(settings())

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.verify_flags == ssl.create_default_context().verify_flags


def test_both_forms_of_a_bundle_are_trusted(bundle: Path) -> None:
    for path in (bundle, bundle.parent):
        context = network.tls_context(settings(verify=str(path)))
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert len(context.get_ca_certs()) == 1
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


def test_a_directory_of_certificates_that_was_rehashed_is_looked_into_when_needed(bundle: Path) -> None:
    bundle.rename(bundle.parent / "0a1b2c3d.0")

    context = network.tls_context(settings(verify=str(bundle.parent)))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.get_ca_certs() == []


def test_trust_is_read_once_until_the_bundle_changes(bundle: Path) -> None:
    first = network.tls_context(settings(verify=str(bundle)))
    assert network.tls_context(settings(verify=str(bundle))) is first

    trustme.CA().cert_pem.write_to_path(str(bundle), append=True)
    assert network.tls_context(settings(verify=str(bundle))) is not first


def test_verify_false_looks_at_no_certificate() -> None:
    context = network.tls_context(settings(verify=False))

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def make_empty(path: Path) -> str:
    path.write_text("")
    return str(path)


def make_der(path: Path) -> str:
    path.write_bytes(b"\x30\x82\x01\x0a")
    return str(path)


def make_empty_directory(path: Path) -> str:
    path.mkdir()
    return str(path)


def make_text(path: Path) -> str:
    return trustme.CA().cert_pem.bytes().decode()


def make_long(path: Path) -> str:
    return "x" * 5000


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (str, "does not exist"),
        (make_empty, "without a certificate in PEM form"),
        (make_der, "without a certificate in PEM form"),
        (make_empty_directory, "without a certificate in PEM form"),
        (make_text, "contains a certificate, not the path"),
        (make_long, "a value of 5000 characters"),
    ],
)
@pytest.mark.parametrize("source", ["verify", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, why: str, source: str
) -> None:
    value = make(tmp_path / "nowhere")
    if source != "verify":
        monkeypatch.setenv(source, value)

    with pytest.raises(CoreError, match=why) as caught:
        network.tls_context(settings(verify=value if source == "verify" else True))

    assert caught.value.message.startswith(source)
    assert len(caught.value.message) < 300
    assert "PEM" in caught.value.hint


def test_a_bundle_that_may_not_be_read_says_so(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> ssl.SSLContext:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ssl, "create_default_context", refuse)

    with pytest.raises(CoreError, match=r"cannot be read: .*ca.pem' .Permission denied"):
        network.tls_context(settings(verify=str(bundle)))


def test_the_proxy_comes_from_the_connection_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert network.proxy_for(URL, settings()) is None
    monkeypatch.setenv("ALL_PROXY", "all:1")
    assert network.proxy_for(URL, settings()) == Proxy("http", "all", 1)
    assert network.proxy_for("http://acme.okta.com/x", settings()) == Proxy("http", "all", 1)
    monkeypatch.setenv("HTTPS_PROXY", "upper:1")
    assert network.proxy_for(URL, settings()) == Proxy("http", "upper", 1)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "internal.example")
    assert network.proxy_for(URL, settings()) == Proxy("http", "proxy", 3128)
    assert network.proxy_for("https://a.internal.example/x", settings()) is None
    assert network.proxy_for("https://127.0.0.1:8080/x", settings()) is None
    assert network.proxy_for(URL, settings(http_proxy=Secret("http://mine:1"))) == Proxy("http", "mine", 1)
    assert network.proxy_for("http://127.0.0.1/x", settings(http_proxy=Secret("mine:1"))) == Proxy("http", "mine", 1)


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:1")
    monkeypatch.setenv("https_proxy", "")

    assert network.proxy_for(URL, settings()) is None


def test_the_setting_that_names_no_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://me:hunter2@proxy:1080")
    with pytest.raises(CoreError, match=r"^all_proxy names a SOCKS proxy"):
        network.proxy_for(URL, settings())
    monkeypatch.setenv("no_proxy", "okta.com")
    assert network.proxy_for(URL, settings()) is None
    with pytest.raises(CoreError, match=r"^http_proxy is not the URL"):
        network.proxy_for(URL, settings(http_proxy=Secret("ftp://x")))


def test_a_request_says_otherwise_in_any_case() -> None:
    headers = network.all_headers(HttpRequest("GET", URL, {"user-agent": "me", "X-A": "1"}))

    assert headers == {"Accept-Encoding": "gzip, deflate", "user-agent": "me", "X-A": "1"}


def test_what_is_not_known_is_named_by_its_class_alone() -> None:
    assert "KeyError in the HTTP client" in lost_by(KeyError("Bearer t0ken"), sent=True).detail
    assert "t0ken" not in lost_by(KeyError("Bearer t0ken"), sent=False).detail


def test_the_cause_is_found_where_a_library_keeps_it() -> None:
    inner = ssl.SSLCertVerificationError(1, "bad")
    outer = OSError("outer")
    outer.args = (inner,)

    assert "certificate is not trusted" in lost_by(outer, sent=False).detail
    outer.__cause__ = outer
    assert lost_by(outer, sent=False)


@pytest.mark.parametrize(("status", "said"), [(407, "407 Proxy Authentication Required"), (599, "599 to CONNECT")])
def test_a_proxys_refusal_says_what_it_responded(status: int, said: str) -> None:
    failure = refused_by(Proxy("http", "proxy", 3128, Secret("Basic x")), status)

    assert failure.kind is FailureKind.NOT_SENT
    assert said in failure.detail
    assert "proxy:3128" in failure.detail
    assert "http_proxy" in failure.hint
