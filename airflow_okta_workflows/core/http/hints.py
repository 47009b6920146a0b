"""Hints on what to change after a request without a complete response."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_okta_workflows.core.http.types import TransportFailure

CERTIFICATE = (
    "OKW-1303: Check the host's name; if a company proxy or a private CA signs for it, set verify to the"
    " path of the CA bundle."
)

UNREACHABLE = (
    "OKW-1304: Check the host's name.\nCheck the network and its firewall.\nSet http_proxy, if a proxy is needed."
)

CA_BUNDLE = (
    "OKW-1302: Give the path of a file of certificates in PEM form, on each machine that runs tasks or triggers."
)

PROXY_REFUSED = (
    "OKW-1301: Let the proxy allow this host: it is the proxy that refuses, not Okta. If it asks for a login, write"
    " http_proxy as http://user:password@host:port."
)


CLIENT_CERTIFICATE = (
    "OKW-1440: No client certificate is sent. Let the flow's host, or what is in front of it, accept requests without"
    " one."
)


def transport_hint(failure: TransportFailure) -> str:
    """Return what to change after a transport failure.

    :param failure: the failure, whose own hint takes precedence
    """
    # Not needed to parse a DAG, which imports the hints, and slow to import.
    from airflow_okta_workflows.core.http.types import FailureKind

    return failure.hint or (CERTIFICATE if failure.kind is FailureKind.UNTRUSTED else UNREACHABLE)
