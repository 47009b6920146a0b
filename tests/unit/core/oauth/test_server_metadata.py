from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_okta_workflows.core.addresses import parse_origin
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.types import Headers, HttpResponse
from airflow_okta_workflows.core.oauth.server_metadata import metadata_request, parse_issuer, require_issuer

DOMAIN = parse_origin("acme.okta.com", "the domain")


def http_response(status: int, body: Any) -> HttpResponse:
    return HttpResponse(status, Headers(), body if isinstance(body, bytes) else json.dumps(body).encode())


def test_the_metadata_are_the_org_authorization_server_s() -> None:
    request = metadata_request(DOMAIN)

    assert (request.method, request.url) == ("GET", "https://acme.okta.com/.well-known/oauth-authorization-server")
    assert request.body is None
    assert "Authorization" not in request.headers


@pytest.mark.parametrize("issuer", ["https://acme.okta.com", "https://ACME.okta.com/", "https://acme.okta.com:443"])
def test_the_issuer_is_compared_as_a_place_and_not_as_a_text(issuer: str) -> None:
    require_issuer(parse_issuer(http_response(200, {"issuer": issuer})), DOMAIN)


@pytest.mark.parametrize("issuer", ["https://login.acme.com", "http://acme.okta.com", "https://acme.okta.com:8443"])
def test_another_issuer_leads_to_the_rule_for_custom_domains(issuer: str) -> None:
    with pytest.raises(CoreError, match="calls itself") as caught:
        require_issuer(parse_issuer(http_response(200, {"issuer": issuer})), DOMAIN)

    assert issuer in caught.value.message
    assert "exactly one custom domain" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"issuer": "https://acme.okta.com"}),
        (302, b""),
        (200, b"<html>Welcome</html>"),
        (200, b"\xff\xfe"),
        (200, []),
        (200, {}),
        (200, {"issuer": 1}),
        (200, {"issuer": "https://"}),
        (200, {"issuer": "mailto:admin@acme.com"}),
    ],
)
def test_what_is_no_org_is_told_apart(status: int, body: Any) -> None:
    with pytest.raises(CoreError) as caught:
        parse_issuer(http_response(status, body))

    assert "it must be the org itself" in caught.value.hint


@pytest.mark.parametrize("issuer", ["https://acme.okta.com/oauth2/default", "https://[/oauth2/aus1"])
def test_a_custom_authorization_server_is_told_apart(issuer: str) -> None:
    with pytest.raises(CoreError, match="custom authorization server") as caught:
        parse_issuer(http_response(200, {"issuer": issuer}))

    assert "Set the Okta domain (Host) to the org itself" in caught.value.hint
