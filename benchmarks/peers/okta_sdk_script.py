"""Script that gets one token with the okta SDK; it runs in the SDK's own virtual environment.

It reads a JSON object with ``org_url``, ``client_id``, ``private_key`` and ``kid`` from stdin.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

# The SDK's own switch to allow an org without HTTPS.
os.environ["OKTA_TESTING_TESTINGDISABLEHTTPSCHECK"] = "true"

from okta.client import Client  # type: ignore[import-not-found]  # installed only in the SDK's environment
from okta.oauth import OAuth  # type: ignore[import-not-found]


async def ask_for_token(org_url: str, client_id: str, private_key: str, kid: str) -> str:
    """Request an access token and return it.

    :param org_url: the org's URL
    :param client_id: client id of the app
    :param private_key: a PEM
    :param kid: the key id
    """
    client = Client(
        {
            "orgUrl": org_url,
            "authorizationMode": "PrivateKey",
            "clientId": client_id,
            "scopes": ["okta.workflows.invoke.manage"],
            "privateKey": private_key,
            "kid": kid,
        }
    )
    token, _, error = await OAuth(client.get_request_executor(), client.get_config()).get_oauth_token()
    if error or not token:
        raise RuntimeError(f"no token: {error}")
    return str(token)


if __name__ == "__main__":
    asyncio.run(ask_for_token(**json.load(sys.stdin)))
