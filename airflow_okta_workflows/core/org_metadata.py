"""What an org says of its authorization server (RFC 8414), to anyone and without a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_okta_workflows.core import refusals
from airflow_okta_workflows.core.addresses import Origin, read_origin
from airflow_okta_workflows.core.answers import json_object
from airflow_okta_workflows.core.exchange import HttpRequest
from airflow_okta_workflows.core.faults import Fault, misconfigured

if TYPE_CHECKING:
    from airflow_okta_workflows.core.exchange import HttpAnswer

METADATA_PATH = "/.well-known/oauth-authorization-server"
"""Of the org authorization server; a custom one has its id in the path."""


def metadata_request(domain: Origin) -> HttpRequest:
    """Return the request for an org's metadata.

    :param domain: the org
    """
    return HttpRequest("GET", domain.url + METADATA_PATH, {"Accept": "application/json"})


def read_issuer(answer: HttpAnswer) -> Origin:
    """Return the place by whose name the org calls itself.

    :param answer: what came for :func:`metadata_request`
    :raises Fault: if no org authorization server answers so
    """
    if answer.unreadable:
        raise misconfigured(f"No metadata: {answer.unreadable}.", refusals.NOT_THE_ORG)
    issuer = json_object(answer.body).get("issuer") if answer.status == 200 else None
    if not isinstance(issuer, str):
        raise misconfigured(f"No metadata: {METADATA_PATH} answered {answer.status}.", refusals.NOT_THE_ORG)
    try:
        return read_origin(issuer, "the issuer in the metadata")
    except Fault as fault:
        raise misconfigured(fault.message, refusals.NOT_THE_ORG) from None


def require_issuer(issuer: Origin, domain: Origin) -> None:
    """Refuse a domain that is not the one by which the org calls itself: its tokens may not be taken by the flows.

    :param issuer: the issuer
    :param domain: the domain of the connection
    :raises Fault: with the rule for custom domains
    """
    if issuer != domain:
        raise misconfigured(
            f"The org calls itself {issuer.url}, and the connection calls it {domain.url}.", refusals.DOMAIN_RULE
        )
