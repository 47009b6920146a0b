"""Where TLS trust and proxies come from: decided here, for both shells."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from requests.utils import get_environ_proxies, select_proxy

from airflow_okta_workflows import __version__
from airflow_okta_workflows.core.addresses import read_origin

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_okta_workflows.settings import OktaWorkflowsSettings

CHUNK = 65_536
"""Bytes of an answer that are read at once."""

BASE_HEADERS = {
    "User-Agent": f"airflow-provider-okta-workflows/{__version__}",
    "Accept-Encoding": "gzip, deflate",
}
"""What is sent with every request, unless the request says otherwise."""


def ca_bundle(settings: OktaWorkflowsSettings) -> str | bool:
    """Return the path of the CA bundle to trust, or False to trust anyone.

    The connection's ``verify`` comes first, then the environment, then the bundle that requests ships with.

    :param settings: the connection
    """
    if isinstance(settings.verify, str) or not settings.verify:
        return settings.verify
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(name):
            return path
    return DEFAULT_CA_BUNDLE_PATH


def ssl_context(settings: OktaWorkflowsSettings) -> ssl.SSLContext | bool:
    """Return what :func:`ca_bundle` decides in the form that aiohttp takes.

    :param settings: the connection
    """
    bundle = ca_bundle(settings)
    return _context_of(bundle) if isinstance(bundle, str) else False


@lru_cache(maxsize=8)
def _context_of(bundle: str | Path) -> ssl.SSLContext:
    if os.path.isdir(bundle):  # noqa: PTH112  # a str, as requests has it
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


def proxy_for(url: str, settings: OktaWorkflowsSettings) -> str | None:
    """Return the proxy's URL for a request, or None for none.

    The connection's ``http_proxy`` comes first, then the environment's, with its exceptions (``NO_PROXY``).
    The environment's proxy is never asked for what is on this machine.

    :param url: where the request goes
    :param settings: the connection
    """
    if settings.http_proxy:
        return settings.http_proxy.reveal()
    parts = urlsplit(url)
    return _environment_proxy(f"{parts.scheme}://{parts.netloc}")


@lru_cache(maxsize=64)
def _environment_proxy(origin: str) -> str | None:
    if read_origin(origin, "the host").is_loopback:
        return None
    return select_proxy(origin, get_environ_proxies(origin))
