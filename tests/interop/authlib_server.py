"""Authlib's authorization server on a loopback port, which verifies client assertions (RFC 7523)."""

from __future__ import annotations

import threading
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError, grants
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import Flask, jsonify
from joserfc import jwt
from joserfc.errors import JoseError
from werkzeug.serving import make_server

from airflow_okta_workflows.core.keys.algorithms import ALGORITHMS

SCOPE = "okta.workflows.invoke.manage"


class Client(ClientMixin):  # type: ignore[misc]  # Authlib is not typed
    """One client, of which the server knows the public key alone."""

    def __init__(self, client_id: str, public_jwk: dict[str, Any]) -> None:
        self.client_id = client_id
        self.public_jwk = public_jwk

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return bool(method == JWTBearerClientAssertion.CLIENT_AUTH_METHOD)

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    def get_allowed_scope(self, scope: str) -> str:
        return scope if scope == SCOPE else ""

    def get_client_id(self) -> str:
        return self.client_id


class AuthlibServer:
    """The server; ``clients`` has who may ask it, and ``saved`` the tokens that it granted."""

    def __init__(self) -> None:
        app = Flask("judge")
        this = self
        self.clients: dict[str, Client] = {}
        self.saved: list[dict[str, Any]] = []
        seen: set[str] = set()

        class Assertion(JWTBearerClientAssertion):  # type: ignore[misc]  # Authlib is not typed
            def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
                fresh = jti not in seen
                seen.add(jti)
                return fresh

            def get_audiences(self) -> list[str]:
                return [f"{this.url}/oauth2/v1/token"]

            def process_assertion_claims(self, assertion: str, key: Any) -> dict[str, Any]:
                # Authlib itself allows only what its JOSE library recommends: RS256 and ES256.
                try:
                    token = jwt.decode(assertion, key, algorithms=list(ALGORITHMS))
                except JoseError as error:
                    raise InvalidClientError(description=error.description) from None
                self.verify_claims(token.claims)
                return token.claims

            def resolve_client_public_key(self, client: Client) -> dict[str, Any]:
                return client.public_jwk

        class Grant(grants.ClientCredentialsGrant):  # type: ignore[misc]  # Authlib is not typed
            TOKEN_ENDPOINT_AUTH_METHODS = (JWTBearerClientAssertion.CLIENT_AUTH_METHOD,)

        server = AuthorizationServer(
            app, query_client=self.clients.get, save_token=lambda token, request: self.saved.append(token)
        )
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        server.register_client_auth_method(JWTBearerClientAssertion.CLIENT_AUTH_METHOD, Assertion())
        server.register_grant(Grant)
        app.post("/oauth2/v1/token")(server.create_token_response)
        app.errorhandler(500)(lambda error: (jsonify(error="server_error"), 500))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def add_client(self, public_jwk: dict[str, Any]) -> str:
        """Register a client with a public key, and return its id."""
        client_id = f"0oa{len(self.clients)}"
        self.clients[client_id] = Client(client_id, public_jwk)
        return client_id

    def __enter__(self) -> AuthlibServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
