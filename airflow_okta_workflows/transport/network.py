"""TLS trust, proxies and default headers, decided here for both transports."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import certifi

from airflow_okta_workflows import __version__
from airflow_okta_workflows.core.addresses import Origin
from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.http import hints
from airflow_okta_workflows.core.http.content import ACCEPT_ENCODING
from airflow_okta_workflows.core.http.proxies import Proxy, is_excepted, parse_proxy
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.http.types import HttpRequest

MAX_HEAD = 65_536
"""Largest head of a response, in bytes."""

BASE_HEADERS = {
    "User-Agent": f"airflow-provider-okta-workflows/{__version__}",
    "Accept-Encoding": ACCEPT_ENCODING,
}
"""Headers of every request that does not set its own."""
_BASE_NAMES = frozenset(map(str.lower, BASE_HEADERS))

_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_HASHED = lazy_pattern(r"[0-9a-f]{8}\.[0-9]+")
"""File names that ``openssl rehash`` gives to the certificates of a directory."""


def ca_bundle(settings: OktaWorkflowsSettings) -> str | bool:
    """Return the path of the CA bundle to trust, or False if certificates are not verified.

    The connection's ``verify`` comes first, then the environment (``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``,
    ``SSL_CERT_FILE``), then certifi's bundle.

    :param settings: the connection
    """
    return _bundle(settings)[1]


def tls_context(settings: OktaWorkflowsSettings) -> ssl.SSLContext:
    """Return the TLS context of a connection, the same object as long as its CA bundle does not change.

    :param settings: the connection
    :raises CoreError: if the CA bundle cannot be used
    """
    source, path = _bundle(settings)
    if isinstance(path, bool):
        return _unverified()
    if "-----BEGIN" in path:
        raise configuration_error(f"{source} contains a certificate, not the path of a file.", hints.CA_BUNDLE)
    try:
        file = os.stat(path)  # noqa: PTH116  # Path would take an empty string for the current directory
    except (OSError, ValueError):
        raise configuration_error(
            f"{source} names a CA bundle that does not exist: {shown(path)}.", hints.CA_BUNDLE
        ) from None
    return _context_of(path, source, file.st_mtime_ns, file.st_size)


def proxy_for(url: str, settings: OktaWorkflowsSettings) -> Proxy | None:
    """Return the proxy of a request, or None for a direct connection.

    The connection's ``http_proxy`` comes first, then the environment's proxy with its exceptions (``NO_PROXY``).
    Requests to this machine never go through the environment's proxy.

    :param url: the request's URL
    :param settings: the connection
    :raises CoreError: if the proxy's URL cannot be used
    """
    if settings.http_proxy:
        return parse_proxy(settings.http_proxy.reveal(), "http_proxy")
    origin = origin_of(url)
    for variable in (f"{origin.scheme}_proxy", "all_proxy"):
        # As in curl and Python, the lower-case variable comes first, even if it is empty.
        name = variable if variable in os.environ else variable.upper()
        if text := os.environ.get(name, "").strip():
            excepted = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
            return None if origin.is_loopback or is_excepted(origin, excepted) else parse_proxy(text, name)
    return None


def all_headers(request: HttpRequest) -> dict[str, str]:
    """Return the headers of a request, and those of :data:`BASE_HEADERS` that it does not set.

    :param request: the request
    """
    named = set(map(str.lower, request.headers))
    own = (
        BASE_HEADERS
        if named.isdisjoint(_BASE_NAMES)
        else {name: value for name, value in BASE_HEADERS.items() if name.lower() not in named}
    )
    return {**own, **request.headers}


def is_too_large(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether the head of a response exceeds :data:`MAX_HEAD`.

    :param headers: its header fields as received
    """
    size = 0
    for name, value in headers:
        size += len(name) + len(value) + 4
    return size > MAX_HEAD


def fallback_name(host: str) -> str | None:
    """Return the name to look up for a host that the resolver does not know; None if there is none.

    Not every resolver knows the subdomains of ``localhost`` (RFC 6761, section 6.3); Docker's may know one as the name
    of a container.

    :param host: the host's name or address
    """
    return "localhost" if host.endswith(".localhost") else None


@lru_cache(maxsize=128)
def origin_of(url: str) -> Origin:
    """Return the origin of a URL that is known to be valid.

    :param url: the URL
    """
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or {"http": 80}.get(parts.scheme, 443))


def _bundle(settings: OktaWorkflowsSettings) -> tuple[str, str | bool]:
    if isinstance(settings.verify, str) or not settings.verify:
        return "verify", settings.verify
    for name in _BUNDLE_VARIABLES:
        # An env file may leave quotes around the value.
        if path := os.environ.get(name, "").strip(" \t\r\n\"'"):
            return name, path
    return "", certifi.where()


@lru_cache(maxsize=8)
def _context_of(path: str, source: str, _modified: int, _size: int) -> ssl.SSLContext:
    directory = Path(path).is_dir()
    try:
        context = ssl.create_default_context(cafile=None if directory else path, capath=path if directory else None)
        if directory and not any(_HASHED.fullmatch(file.name) for file in Path(path).iterdir()):
            _load_each_file(context, Path(path))
    except ssl.SSLError:
        raise configuration_error(
            f"{source} names a file without a certificate in PEM form: {shown(path)}.", hints.CA_BUNDLE
        ) from None
    except OSError as error:
        raise configuration_error(
            f"{source} names a CA bundle that cannot be read: {shown(path)} ({error.strerror}).", hints.CA_BUNDLE
        ) from None
    if source:
        # A user chose this CA, so it has to work alike on all versions. Since Python 3.13 certificates need key
        # identifiers, unlike in curl, browsers and earlier versions, and an intermediate CA can be a trust anchor.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _for_http_1(context)


def _load_each_file(context: ssl.SSLContext, directory: Path) -> None:
    """Load each certificate of a directory that was never rehashed, in which OpenSSL would find none."""
    for file in sorted(directory.iterdir()):
        with suppress(OSError):
            context.load_verify_locations(file)
    if not context.cert_store_stats()["x509"]:
        raise ssl.SSLError("no certificate")


@lru_cache(maxsize=1)
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _for_http_1(context)


def _for_http_1(context: ssl.SSLContext) -> ssl.SSLContext:
    # Some servers choose HTTP/2 for a client that names no protocol.
    context.set_alpn_protocols(["http/1.1"])
    return context
