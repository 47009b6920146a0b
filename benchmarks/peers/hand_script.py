"""Okta's guide followed by hand: load the key, sign a client assertion, request a token, invoke the flow.

As a script it requests one token: it reads a JSON object with ``token_url``, ``client_id``, ``private_key`` and
``kid`` from stdin.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

import jwt
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def ask_for_token(token_url: str, client_id: str, private_key: str, kid: str) -> str:
    """Request an access token and return it.

    :param token_url: URL of the org's token endpoint
    :param client_id: client id of the app
    :param private_key: a PEM, or a JWK as a JSON string
    :param kid: the key id
    """
    key: Any
    if private_key.startswith("{"):
        key = jwt.PyJWK.from_json(private_key).key
        algorithm = "ES256"
    else:
        key = load_pem_private_key(private_key.encode(), None)
        algorithm = "RS256"
    now = int(time.time())
    claims = {"iss": client_id, "sub": client_id, "aud": token_url, "exp": now + 300, "jti": str(uuid.uuid4())}
    response = requests.post(
        token_url,
        data={
            "grant_type": "client_credentials",
            "scope": "okta.workflows.invoke.manage",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims, key, algorithm, {"kid": kid}),
        },
        headers={"Accept": "application/json"},
        timeout=30,
    )
    response.raise_for_status()
    return str(response.json()["access_token"])


def invoke_flow(url: str, token: str, payload: dict[str, Any]) -> Any:
    """Invoke a flow, and return the parsed body of its response.

    :param url: its invoke URL
    :param token: an access token
    :param payload: the body
    """
    response = requests.post(url, json=payload, headers={"Authorization": f"Bearer {token}"}, timeout=65)
    response.raise_for_status()
    return response.json()


if __name__ == "__main__":
    ask_for_token(**json.load(sys.stdin))
