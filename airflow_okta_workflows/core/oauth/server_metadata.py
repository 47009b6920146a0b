"""The metadata of an org's authorization server (RFC 8414), which is public."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_okta_workflows.core.addresses import Origin, parse_origin
from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.http.messages import json_object
from airflow_okta_workflows.core.http.types import HttpRequest
from airflow_okta_workflows.core.oauth import hints

if TYPE_CHECKING:
    from airflow_okta_workflows.core.http.types import HttpResponse

METADATA_PATH = "/.well-known/oauth-authorization-server"
"""Path for the org authorization server; the path for a custom one includes its id."""


def metadata_request(domain: Origin) -> HttpRequest:
    """Return the request for an org's metadata.

    :param domain: the org
    """
    return HttpRequest("GET", domain.url + METADATA_PATH, {"Accept": "application/json"})


def parse_issuer(response: HttpResponse) -> Origin:
    """Return the issuer in the metadata: the domain by which the org calls itself.

    :param response: the response to :func:`metadata_request`
    :raises CoreError: if the response is not that of an org authorization server
    """
    if response.unreadable:
        raise configuration_error(f"No metadata: {response.unreadable}.", hints.NOT_THE_ORG)
    issuer = json_object(response.body).get("issuer") if response.status == 200 else None
    if not isinstance(issuer, str):
        raise configuration_error(f"No metadata: {METADATA_PATH} returned {response.status}.", hints.NOT_THE_ORG)
    if "/oauth2/" in issuer:
        raise configuration_error(
            "The metadata is that of a custom authorization server, not of the org.", hints.CUSTOM_SERVER
        )
    try:
        return parse_origin(issuer, "the issuer in the metadata")
    except CoreError as error:
        raise configuration_error(error.message, hints.NOT_THE_ORG) from None


def require_issuer(issuer: Origin, domain: Origin) -> None:
    """Raise if the connection's domain is not the org's issuer, since flows may not accept tokens from it.

    :param issuer: the issuer in the metadata
    :param domain: the domain in the connection
    :raises CoreError: if they differ, with the rule for custom domains
    """
    if issuer != domain:
        raise configuration_error(
            f"The org calls itself {issuer.url}, and the connection calls it {domain.url}.",
            f"OKW-1203: {hints.DOMAIN_RULE}",
        )
