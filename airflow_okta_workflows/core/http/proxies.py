"""Proxy settings: the URL of a proxy, and the hosts that are reached without it (``NO_PROXY``)."""

from __future__ import annotations

import base64
import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from airflow_okta_workflows.core.addresses import is_host
from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import Secret

if TYPE_CHECKING:
    from airflow_okta_workflows.core.addresses import Origin

_PORTS = {"http": 80, "https": 443}
_PORT = lazy_pattern(r"[0-9]{1,5}")
_NUMBERS = lazy_pattern(r"[0-9.]+")


@dataclass(frozen=True)
class Proxy:
    """One HTTP proxy.

    :param scheme: ``http`` or ``https``: whether the connection to the proxy itself uses TLS
    :param host: its host, without brackets
    :param port: its port
    :param authorization: the value of ``Proxy-Authorization``, or None
    """

    scheme: str
    host: str
    port: int
    authorization: Secret | None = None

    @property
    def netloc(self) -> str:
        """Host and port, which are safe to show."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The proxy's URL, without user and password."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def headers(self) -> dict[str, str]:
        """Headers for the proxy only."""
        return {"Proxy-Authorization": self.authorization.reveal()} if self.authorization else {}


def parse_proxy(text: str, what: str) -> Proxy:
    """Return the proxy that a setting names, with or without scheme, user and password.

    :param text: the value of the setting, which may contain a password
    :param what: the name of the setting, for the error: "http_proxy", "HTTPS_PROXY"
    :raises CoreError: if it is not the URL of an HTTP proxy; the message does not show the value
    """
    text = text.strip(" \t\r\n\"'")  # an env file may leave quotes around the value
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = None, "", None
    if parts is not None and parts.scheme.startswith("socks"):
        raise configuration_error(
            f"{what} names a SOCKS proxy, which is not supported.",
            "OKW-1047: Name an HTTP proxy in http_proxy of the connection; if none is needed, exclude the hosts with"
            " NO_PROXY.",
        )
    netloc = parts.netloc.rpartition("@")[2] if parts else ""
    good = parts is not None and parts.scheme in _PORTS and is_host(host, netloc) and not parts.path.strip("/")
    # 127.1 and 2130706433 are addresses to some libraries, and to others none.
    if parts is None or not good or (_NUMBERS.fullmatch(host) and not _is_network(host)):
        raise configuration_error(
            f"{what} is not the URL of an HTTP proxy (not shown: it may hold a password).",
            "OKW-1046: Write it as http://host:port, and an IPv4 address with four numbers without leading zeros.",
        )
    authorization = None
    if parts.username is not None:
        # RFC 7617, without the percent-encoding of a URL.
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = Secret(f"Basic {base64.b64encode(login.encode()).decode()}")
    return Proxy(parts.scheme, host, port or _PORTS[parts.scheme], authorization)


def is_excepted(origin: Origin, no_proxy: str) -> bool:
    """Return whether an origin is reached without the environment's proxy.

    :param origin: the origin
    :param no_proxy: the value of ``NO_PROXY``: hosts, domains and addresses, with or without port; networks; ``*``
        for all; separated by commas or spaces
    """
    return any(_matches(origin, entry.lower()) for entry in re.split(r"[,;\s\"']+", no_proxy) if entry)


def _matches(origin: Origin, entry: str) -> bool:
    if entry == "*":
        return True
    entry = entry.rpartition("://")[2].rstrip("/") if "://" in entry else entry
    name, colon, port = entry.rpartition(":")
    if not _is_network(entry) and colon and _PORT.fullmatch(port):
        if int(port) != origin.port:
            return False
        entry = name
    if _is_network(entry):
        with suppress(ValueError):
            return ipaddress.ip_address(origin.host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
        return False
    entry = entry.removeprefix("*").strip(".")
    return bool(entry) and (origin.host == entry or origin.host.endswith(f".{entry}"))


def _is_network(entry: str) -> bool:
    try:
        ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False
    return True
