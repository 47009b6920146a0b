from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests.certs
import trustme

from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.transport import network
from airflow_okta_workflows.transport.losses import lost_by

if TYPE_CHECKING:
    from pathlib import Path


def settings(**fields: Any) -> Any:
    return SimpleNamespace(**{"verify": True, "http_proxy": None, **fields})


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    network._environment_proxy.cache_clear()


def test_trust_comes_from_the_connection_then_the_environment_then_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    assert network.ca_bundle(settings()) == requests.certs.where()  # type: ignore[attr-defined]  # not in its stubs
    monkeypatch.setenv("SSL_CERT_FILE", "/environment.pem")
    assert network.ca_bundle(settings()) == "/environment.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert network.ca_bundle(settings()) == "/requests.pem"
    assert network.ca_bundle(settings(verify="/mine.pem")) == "/mine.pem"
    assert network.ca_bundle(settings(verify=False)) is False


def test_both_forms_of_a_bundle_are_trusted(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))

    for path in (bundle, tmp_path):
        context = network.ssl_context(settings(verify=str(path)))
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    assert network.ssl_context(settings(verify=str(bundle))) is network.ssl_context(settings(verify=str(bundle)))
    assert network.ssl_context(settings(verify=False)) is False


def test_the_proxy_comes_from_the_connection_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://acme.okta.com/x"
    assert network.proxy_for(url, settings()) is None
    network._environment_proxy.cache_clear()
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    assert network.proxy_for(url, settings()) == "http://proxy:3128"
    assert network.proxy_for("https://a.internal.example/x", settings()) is None
    assert network.proxy_for("https://127.0.0.1:8080/x", settings()) is None
    assert network.proxy_for(url, settings(http_proxy=Secret("http://mine:1"))) == "http://mine:1"


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
