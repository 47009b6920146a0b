"""The local org, asked by OAuth clients that nobody here wrote: Authlib's and requests-oauth2client's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwk
from requests_oauth2client import ApiClient, EndpointError, OAuth2Client, OAuth2ClientCredentialsAuth, PrivateKeyJwt

from airflow_okta_workflows.core.keys.generation import KeyType, generate_jwk
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.exceptions import OktaTokenRefusedError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

SCOPE = "okta.workflows.invoke.manage"
KEY_ALGORITHMS: dict[KeyType, tuple[str, ...]] = {"p256": ("ES256",), "rsa2048": ("RS256", "RS384", "RS512")}


@dataclass(frozen=True)
class Refusal:
    """What a client tells about a refusal."""

    error: str | None
    description: str | None


Ask = Callable[..., Any]
"""Asks an org for a token as the client with a key and an algorithm; raises :class:`RefusedError`."""


class RefusedError(Exception):
    """A refusal, in whichever words the client has it."""

    def __init__(self, error: str | None, description: str | None) -> None:
        super().__init__(error, description)
        self.refusal = Refusal(error, description)


def _authlib(org: LocalOrg, key: dict[str, Any], algorithm: str, scope: str = SCOPE, jti: str | None = None) -> Any:
    url = f"{org.url}/oauth2/v1/token"
    session = OAuth2Session(
        org.app.client_id, jwk.import_key(key), scope=scope, token_endpoint_auth_method="private_key_jwt"
    )
    method = PrivateKeyJWT(url, claims={"jti": jti} if jti else None, headers={"kid": key["kid"]}, alg=algorithm)
    session.register_client_auth_method(method)
    try:
        session.fetch_token(url, grant_type="client_credentials")
    except OAuthError as error:
        session.close()
        raise RefusedError(error.error, error.description) from None
    return session


def _requests_oauth2client(
    org: LocalOrg, key: dict[str, Any], algorithm: str, scope: str = SCOPE, jti: str | None = None
) -> Any:
    method = PrivateKeyJwt(org.app.client_id, key, alg=algorithm, jti_gen=lambda: jti or str(uuid.uuid4()))
    with requests.Session() as session:
        client = OAuth2Client(f"{org.url}/oauth2/v1/token", auth=method, session=session, testing=True)
        try:
            token = client.client_credentials(scope=scope)
        except EndpointError as error:
            raise RefusedError(error.error, error.description) from None
    authorized = requests.Session()
    authorized.auth = token
    return authorized


CLIENTS: dict[str, Ask] = {"Authlib": _authlib, "requests-oauth2client": _requests_oauth2client}


@pytest.fixture(params=CLIENTS)
def ask(request: pytest.FixtureRequest) -> Ask:
    return CLIENTS[request.param]


@pytest.fixture(params=KEY_ALGORITHMS)
def local_org(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalOrg]:
    """Yield an org under a name for which Authlib does without TLS, as ours does."""
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "off")
    with LocalOrg(public_host="localhost", key_type=request.param) as org:
        org.flow("hello")(lambda request: {"greeting": f"Hello, {request.body['name']}"})
        for name, value in org.environment().items():
            monkeypatch.setenv(name, value)
        yield org


def algorithms_of(org: LocalOrg) -> tuple[str, ...]:
    return KEY_ALGORITHMS["p256" if org.private_jwk["kty"] == "EC" else "rsa2048"]


def test_a_client_gets_a_token_that_invokes_a_flow(local_org: LocalOrg, ask: Ask) -> None:
    for number, algorithm in enumerate(algorithms_of(local_org), start=1):
        with ask(local_org, local_org.private_jwk, algorithm) as session:
            response = session.post(local_org.invoke_url("hello"), json={"name": "Ada"}, timeout=5)

        assert (response.status_code, response.json()) == (200, {"greeting": "Hello, Ada"})
        assert len(local_org.flows["hello"].runs) == local_org.tokens_granted == number


def test_a_client_finds_the_endpoint_by_the_metadata(local_org: LocalOrg) -> None:
    method = PrivateKeyJwt(local_org.app.client_id, local_org.private_jwk, alg=algorithms_of(local_org)[0])
    with requests.Session() as session:
        client = OAuth2Client.from_discovery_endpoint(
            f"{local_org.url}/.well-known/oauth-authorization-server",
            issuer=local_org.url,
            auth=method,
            session=session,
            testing=True,
        )
        session.auth = OAuth2ClientCredentialsAuth(client, scope=SCOPE)
        api = ApiClient(local_org.url, session=session)
        alias = local_org.flows["hello"].alias

        assert api.post(f"api/flo/{alias}/invoke", json={"name": "Ada"}).json() == {"greeting": "Hello, Ada"}
    assert local_org.tokens_granted == 1


def _another_key(org: LocalOrg) -> dict[str, Any]:
    return {**generate_jwk("p256" if org.private_jwk["kty"] == "EC" else "rsa2048"), "kid": org.private_jwk["kid"]}


def _as_it_is(org: LocalOrg) -> dict[str, Any]:
    return org.private_jwk


def _with(**changes: Any) -> Callable[[LocalOrg], dict[str, Any]]:
    def change(org: LocalOrg) -> dict[str, Any]:
        for name, value in changes.items():
            setattr(org.app, name, value)
        return org.private_jwk

    return change


REFUSED: dict[str, tuple[Callable[[LocalOrg], dict[str, Any]], str, str]] = {
    "the key of another pair": (_another_key, SCOPE, "The client_assertion signature is invalid."),
    "a kid that it does not know": (
        lambda org: {**org.private_jwk, "kid": "other"}, SCOPE, "The client_assertion JWT kid is invalid.",
    ),
    "an inactive app": (_with(active=False), SCOPE, "Invalid value for 'client_id' parameter."),
    "an app without a key": (_with(public_keys={}), SCOPE, "The client does not have a JWKSet configured."),
    "an app without the scope": (
        _with(granted_scopes=set()), SCOPE, "You are not allowed any of the requested scopes.",
    ),
    "an unknown scope": (
        _as_it_is, "nonsense", "One or more scopes are not configured for the authorization server resource.",
    ),
    "proof of possession": (_with(proof_of_possession=True), SCOPE, "The DPoP proof JWT header is missing."),
    "another network zone": (
        _with(inside_network_zone=False), SCOPE, "The request is made from outside the client's permitted network zones.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_client_is_refused_where_ours_is(
    local_org: LocalOrg, ask: Ask, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, scope, description = REFUSED[case]
    key = change(local_org)
    connection = {**local_org.connection(scope=scope), "password": json.dumps(key)}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))

    with pytest.raises(OktaTokenRefusedError) as ours:
        OktaWorkflowsHook().get_access_token()
    with pytest.raises(RefusedError) as theirs:
        ask(local_org, key, algorithms_of(local_org)[0], scope)

    assert theirs.value.refusal == Refusal(ours.value.error, ours.value.error_description)
    assert theirs.value.refusal.description == description
    assert local_org.tokens_granted == 0


def test_a_client_that_uses_a_jti_twice_is_refused(local_org: LocalOrg, ask: Ask) -> None:
    algorithm = algorithms_of(local_org)[0]
    ask(local_org, local_org.private_jwk, algorithm, jti="once").close()

    with pytest.raises(RefusedError, match="already been used"):
        ask(local_org, local_org.private_jwk, algorithm, jti="once")

    assert local_org.tokens_granted == 1


def test_a_token_request_under_another_name_gives_no_token_for_flows(local_org: LocalOrg, ask: Ask) -> None:
    local_org.custom_domains = ("login.example.com",)
    with ask(local_org, local_org.private_jwk, algorithms_of(local_org)[0]) as session:
        response = session.post(local_org.invoke_url("hello"), json={"name": "Ada"}, timeout=5)

    assert response.status_code == 401
    assert local_org.flows["hello"].runs == []
