"""Hints on what to change, for each way in which the org refuses a token request.

The error descriptions are those of Okta's OAuth error catalog (release 2026.08.1).
"""

from __future__ import annotations

from airflow_okta_workflows.core.oauth.client_assertion import MAX_LIFETIME

_CLOCK = "Set this machine's clock (NTP)"

_KEY = (
    "Compare the key with the app's Public Keys tab: the private key in the connection must belong to an ACTIVE"
    " public key there"
)

_CLIENT_ID = "Check the Client ID (Login): copy it from the app's General tab; it begins with 0oa"

_POP = (
    "Proof of possession is on. In the app's General tab, under General Settings, uncheck 'Require Demonstrating"
    " Proof of Possession (DPoP) header in token requests'"
)

_SCOPE = "Grant okta.workflows.invoke.manage to the app, on its Okta API Scopes tab"

_AUTH_METHOD = (
    "The app must be an API Services app whose client authentication is 'Public key / Private key'. Set it in"
    " the app's General tab"
)

_BY_DESCRIPTION = {
    "The client_assertion token is expired.": _CLOCK + ", or raise assertion_lifetime",
    "The client_assertion token has an expiration too far into the future.": (
        f"{_CLOCK}; assertion_lifetime may be at most {MAX_LIFETIME} s"
    ),
    "The client_assertion token must be issued before the current time.": _CLOCK + "; it is ahead of the org's",
    "The client_assertion token has already been used.": (
        "Each assertion works once and this one was new, so something between here and the org sends requests"
        " twice: look for a retrying proxy"
    ),
    "The client_assertion signature is invalid.": (
        "The app's Public Keys tab has this kid, but for another key pair: give the private key that belongs to it, or"
        " set key_id to the kid of this one"
    ),
    "The client_assertion JWT kid is invalid.": _KEY + ", and key_id must be its kid; leave key_id empty for a JWK",
    "The audience claim for client_assertion must be the endpoint invoked for the request.": (
        "Set the Okta domain (Host) to the name under which the org knows itself; a proxy that rewrites the host"
        " name breaks this too"
    ),
    "The issuer claim for client_assertion is not a valid client_id.": _CLIENT_ID,
    "The parsing of the client_assertion failed.": _CLIENT_ID + ", and check that the app exists in this org",
    "The client_assertion JWT signature algorithm is invalid.": (
        "Leave algorithm empty, or set one that Okta takes: RS256, RS384, RS512, ES256, ES384, ES512"
    ),
    "Invalid value for 'client_id' parameter.": _CLIENT_ID + ", and that the app is ACTIVE in this org",
    "Client authentication failed. Either the client or the client credentials are invalid.": (
        _CLIENT_ID + ", that the app is ACTIVE in this org, and its key"
    ),
    "Client Credentials requests to the Org Authorization Server must use the private_key_jwt"
    " token_endpoint_auth_method.": _AUTH_METHOD,
    "One or more scopes are not configured for the authorization server resource.": (
        "Set scope to okta.workflows.invoke.manage, or leave it empty"
    ),
    "You are not allowed any of the requested scopes.": _SCOPE,
    "The client_assertion_type is invalid.": "Something between here and the org changes requests: look for a proxy",
    "The request is made from outside the client's permitted network zones.": (
        "Add the address that this machine reaches the internet with to the app's network zone"
    ),
}

_BY_ERROR = {
    "invalid_dpop_proof": _POP,
    "use_dpop_nonce": _POP,
    "consent_required": _SCOPE,
    "invalid_scope": "Set scope to okta.workflows.invoke.manage, or leave it empty, and grant it to the app",
    "invalid_client": _CLIENT_ID + ", and its key",
    "unauthorized_client": (
        "The app may not use the grant type Client Credentials: it must be an API Services app, with that grant type"
        " on in its General tab"
    ),
    "unsupported_grant_type": (
        "The server at the Okta domain (Host) does not know the grant type Client Credentials: it must be the org"
        " itself, such as acme.okta.com"
    ),
    "access_denied": "An access policy or a network zone of the org refuses this caller: ask the org's admin",
    "invalid_request": "Check the Okta domain (Host): it must be the org itself, not a custom authorization server",
}

NOT_THE_ORG = (
    "Check the Okta domain (Host): it must be the org itself, such as acme.okta.com or its one custom domain."
    " A proxy or firewall in between may also respond like this."
)
"""Hint for a response that no Okta token endpoint returns."""

DPOP_TOKEN = _POP + "."

SCOPE_NOT_GRANTED = "Grant it to the app, on its Okta API Scopes tab, or take it out of scope."

DOMAIN_RULE = (
    "With exactly one custom domain active in the org, set Host to that custom domain and workflows_host to the org's"
    " workflows host; with none, or with two or more, set Host to the default domain (acme.okta.com)."
)
"""The rule for which domain to request tokens from, so that the org's flows accept them."""

ORG_RATE_LIMITED = (
    "Wait, or raise rate_limit_wait. One app may use half of the org's token bucket: see who else asks for tokens."
)


def token_hint(error: str | None, description: str | None, clock_offset: float | None) -> str:
    """Return what to change after the token endpoint refused a request.

    :param error: the ``error`` of the response, if any
    :param description: its ``error_description``, if any
    :param clock_offset: seconds by which the local clock is ahead of the org's; None if unknown
    """
    hint = _BY_DESCRIPTION.get(description or "") or _BY_ERROR.get(error or "")
    if hint is None:
        return NOT_THE_ORG
    if hint.startswith(_CLOCK) and clock_offset is not None:
        hint += f" ({_off_by(clock_offset)})"
    return hint + "."


def clock_hint(clock_offset: float) -> str:
    """Return what to change if the local clock differs too much from the org's.

    :param clock_offset: seconds by which the local clock is ahead of the org's
    """
    return f"{_CLOCK}: {_off_by(clock_offset)}."


def _off_by(clock_offset: float) -> str:
    return f"it is {abs(clock_offset):.0f} s {'ahead of' if clock_offset > 0 else 'behind'} the org's"
