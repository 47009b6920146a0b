"""Tokens from an authorization server that nobody here wrote: Authlib's, with private_key_jwt (RFC 7523)."""

from __future__ import annotations

import inspect
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import Flask, jsonify
from joserfc import jwk
from werkzeug.serving import make_server

from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import load_signing_key
from airflow_okta_workflows.exceptions import OktaTokenRefusedError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.airflow_features import Feature, needs

if TYPE_CHECKING:
    from collections.abc import Iterator

_parameters = inspect.signature(JWTBearerClientAssertion.__init__).parameters
pytestmark = needs(
    Feature(
        "an Authlib that learns the token URL from the request (1.7)",
        "token_url" not in _parameters or _parameters["token_url"].default is not inspect.Parameter.empty,
    )
)

CLIENT_ID = "0oaauthlib"
SCOPE = "okta.workflows.invoke.manage"


class Client(ClientMixin):  # type: ignore[misc]  # Authlib is not typed
    client_id = CLIENT_ID

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return bool(method == JWTBearerClientAssertion.CLIENT_AUTH_METHOD)

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: str) -> str:
        return scope if scope == SCOPE else ""

    def get_client_id(self) -> str:
        return CLIENT_ID


class Judge:
    """Run Authlib's authorization server, which verifies assertions with the public key alone."""

    def __init__(self, public_jwk: dict[str, Any]) -> None:
        app = Flask("judge")
        judge = self
        self.saved: list[dict[str, Any]] = []
        seen: set[str] = set()

        class Assertion(JWTBearerClientAssertion):  # type: ignore[misc]  # Authlib is not typed
            def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
                fresh = jti not in seen
                seen.add(jti)
                return fresh

            def get_audiences(self) -> list[str]:
                return [f"{judge.url}/oauth2/v1/token"]

            def resolve_client_public_key(self, client: Client) -> Any:
                return jwk.import_key(public_jwk)

        class Grant(grants.ClientCredentialsGrant):  # type: ignore[misc]  # Authlib is not typed
            TOKEN_ENDPOINT_AUTH_METHODS = (JWTBearerClientAssertion.CLIENT_AUTH_METHOD,)

        server = AuthorizationServer(
            app,
            query_client=lambda client_id: Client() if client_id == CLIENT_ID else None,
            save_token=lambda token, request: self.saved.append(token),
        )
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        server.register_client_auth_method(JWTBearerClientAssertion.CLIENT_AUTH_METHOD, Assertion())
        server.register_grant(Grant)
        app.post("/oauth2/v1/token")(server.create_token_response)
        app.errorhandler(500)(lambda error: (jsonify(error="server_error"), 500))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Judge:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


KEYS = {"ec": generate_jwk("p256"), "rsa": generate_jwk("rsa2048")}


def public(private: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in private.items() if name in ("kty", "crv", "x", "y", "n", "e", "kid")}


@pytest.fixture(params=KEYS)
def judge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    with Judge(public(KEYS[request.param])) as judge:
        define(monkeypatch, judge, json.dumps(KEYS[request.param]))
        yield judge


def define(monkeypatch: pytest.MonkeyPatch, judge: Judge, key: str) -> None:
    connection = {"conn_type": "okta_workflows", "host": judge.url, "login": CLIENT_ID, "password": key}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))


def test_it_grants_a_token_for_a_jwk(judge: Judge) -> None:
    token = OktaWorkflowsHook().get_access_token()

    assert [saved["access_token"] for saved in judge.saved] == [token.value]
    assert judge.saved[0]["scope"] == SCOPE


async def test_it_grants_a_token_on_an_event_loop(judge: Judge) -> None:
    token = await OktaWorkflowsHook().aget_access_token()

    assert [saved["access_token"] for saved in judge.saved] == [token.value]


def test_it_grants_a_token_for_a_pem(monkeypatch: pytest.MonkeyPatch) -> None:
    pem = pem_of(KEYS["rsa"]).replace("\n", "\\n")
    assert load_signing_key(parse_key_text(pem)).algorithm == "RS256"
    with Judge(public(KEYS["rsa"])) as judge:
        define(monkeypatch, judge, pem)
        OktaWorkflowsHook().get_access_token()

    assert len(judge.saved) == 1


def test_it_refuses_another_key_and_we_say_what_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    with Judge(public(generate_jwk("p256"))) as judge:
        define(monkeypatch, judge, json.dumps(KEYS["ec"]))
        with pytest.raises(OktaTokenRefusedError) as caught:
            OktaWorkflowsHook().get_access_token()

    assert caught.value.error == "invalid_client"
    assert "key" in caught.value.hint
    assert judge.saved == []
