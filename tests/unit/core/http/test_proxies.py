from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.addresses import Origin
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.proxies import Proxy, is_excepted, parse_proxy


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy:3128", Proxy("http", "proxy", 3128)),
        ("proxy:3128", Proxy("http", "proxy", 3128)),
        ('"http://proxy:3128"\n', Proxy("http", "proxy", 3128)),
        (" proxy.acme.com ", Proxy("http", "proxy.acme.com", 80)),
        ("HTTP://Proxy:3128/", Proxy("http", "proxy", 3128)),
        ("https://proxy", Proxy("https", "proxy", 443)),
        ("10.0.0.1:8080", Proxy("http", "10.0.0.1", 8080)),
        ("http://[::1]:3128", Proxy("http", "::1", 3128)),
    ],
)
def test_a_proxy_is_written_with_or_without_scheme(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text, "http_proxy") == proxy


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("http://me:pa%40ss@proxy:3128", "me:pa@ss"),
        ("me:secret@proxy:3128", "me:secret"),
        ("http://me@proxy", "me:"),
        ("http://DOMAIN%5Cme:%C3%A4@proxy", "DOMAIN\\me:ä"),
    ],
)
def test_a_login_becomes_the_header_that_the_proxy_reads(text: str, login: str) -> None:
    proxy = parse_proxy(text, "http_proxy")

    assert proxy.headers == {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
    assert "proxy" in proxy.url
    for shown in (proxy.url, proxy.netloc, repr(proxy)):
        assert "@" not in shown
        assert proxy.headers["Proxy-Authorization"] not in shown
    assert parse_proxy("proxy", "http_proxy").headers == {}


@pytest.mark.parametrize("scheme", ["socks", "socks4", "socks5", "socks5h", "SOCKS5"])
def test_a_socks_proxy_is_named_as_not_supported(scheme: str) -> None:
    with pytest.raises(CoreError, match="ALL_PROXY names a SOCKS proxy, which is not supported") as caught:
        parse_proxy(f"{scheme}://me:hunter2@proxy:1080", "ALL_PROXY")

    assert "hunter2" not in str(caught.value)
    assert "http_proxy" in caught.value.hint
    assert "NO_PROXY" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "ftp://proxy",
        "http://me:hunter2@",
        "proxy:port",
        "http://proxy:99999",
        "http://proxy/hunter2",
        "ä",
        "127.1:3128",
        "http://2130706433:3128",
        "127.000.000.001:3128",
        "1.2.3.4.5",
    ],
)
def test_what_is_no_proxy_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(CoreError, match=r"HTTPS_PROXY is not the URL of an HTTP proxy \(not shown") as caught:
        parse_proxy(text, "HTTPS_PROXY")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("no_proxy", "host", "excepted"),
    [
        ("", "acme.okta.com", False),
        ("*", "acme.okta.com", True),
        ("okta.com", "acme.okta.com", True),
        (".okta.com", "acme.okta.com", True),
        ("*.okta.com", "acme.okta.com", True),
        ("OKTA.com", "okta.com", True),
        ("okta.com", "notokta.com", False),
        ("a.example, acme.okta.com", "acme.okta.com", True),
        ("a.example acme.okta.com", "acme.okta.com", True),
        ("acme.okta.com:443", "acme.okta.com", True),
        ("acme.okta.com:8443", "acme.okta.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8:443", "10.1.2.3", True),
        ("10.0.0.0/8:8443", "10.1.2.3", False),
        ("10.0.0.0/8:443", "11.1.2.3", False),
        ("10.0.0.0/8:443", "acme.okta.com", False),
        ("[fd00::/8]:443", "fd00::5", True),
        ("[fd00::/8]:8443", "fd00::5", False),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", False),
        ("[::1]", "::1", True),
        ("[0:0::1]:443", "::1", True),
        ("https://acme.okta.com", "acme.okta.com", True),
        ("https://acme.okta.com:8443/", "acme.okta.com", False),
        ("acme.okta.com.", "acme.okta.com", True),
        ('"a.example,okta.com"', "acme.okta.com", True),
        ("a.example;okta.com", "acme.okta.com", True),
        ("a.example,\tokta.com\n", "acme.okta.com", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("::1", "::1", True),
        ("[::1]:443", "::1", True),
        ("fd00::/8", "fd00::5", True),
        (",,  ,", "acme.okta.com", False),
        (".", "acme.okta.com", False),
        ("acme.okta.com:²", "acme.okta.com", False),
        ("acme.okta.com:" + "4" * 5000, "acme.okta.com", False),
    ],
)
def test_hosts_are_excepted_as_no_proxy_says(no_proxy: str, host: str, excepted: bool) -> None:
    assert is_excepted(Origin("https", host, 443), no_proxy) is excepted


@given(st.text(), st.text())
def test_any_setting_is_a_proxy_or_a_fault(text: str, no_proxy: str) -> None:
    is_excepted(Origin("https", "acme.okta.com", 443), no_proxy)
    with suppress(CoreError):
        assert parse_proxy(text, "http_proxy").host
