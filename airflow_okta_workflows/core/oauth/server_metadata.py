"""What an org says of its authorization server (RFC 8414), to anyone and without a token."""

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
"""Of the org authorization server; a custom one has its id in the path."""


def metadata_request(domain: Origin) -> HttpRequest:
    """Return the request for an org's metadata.

    :param domain: the org
    """
    return HttpRequest("GET", domain.url + METADATA_PATH, {"Accept": "application/json"})


def parse_issuer(answer: HttpResponse) -> Origin:
    """Return the place by whose name the org calls itself.

    :param answer: what came for :func:`metadata_request`
    :raises CoreError: if no org authorization server answers so
    """
    if answer.unreadable:
        raise configuration_error(f"No metadata: {answer.unreadable}.", hints.NOT_THE_ORG)
    issuer = json_object(answer.body).get("issuer") if answer.status == 200 else None
    if not isinstance(issuer, str):
        raise configuration_error(f"No metadata: {METADATA_PATH} answered {answer.status}.", hints.NOT_THE_ORG)
    try:
        return parse_origin(issuer, "the issuer in the metadata")
    except CoreError as error:
        raise configuration_error(error.message, hints.NOT_THE_ORG) from None


def require_issuer(issuer: Origin, domain: Origin) -> None:
    """Refuse a domain that is not the one by which the org calls itself: its tokens may not be taken by the flows.

    :param issuer: the issuer
    :param domain: the domain of the connection
    :raises CoreError: with the rule for custom domains
    """
    if issuer != domain:
        raise configuration_error(
            f"The org calls itself {issuer.url}, and the connection calls it {domain.url}.", hints.DOMAIN_RULE
        )
