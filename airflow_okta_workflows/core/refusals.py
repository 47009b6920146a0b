"""What to change, for each way in which the org or a flow's host refuses.

The texts are those of Okta's OAuth error catalogue (release 2026.08.1).
"""

from __future__ import annotations

from airflow_okta_workflows.core.oauth.client_assertion import MAX_LIFETIME
from airflow_okta_workflows.core.protocol import FailureKind, TransportFailure

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
    " A proxy or firewall in between may also answer like this."
)
"""For an answer that no Okta token endpoint gives."""

DPOP_TOKEN = _POP + "."

SCOPE_NOT_GRANTED = "Grant it to the app, on its Okta API Scopes tab, or take it out of scope."

DOMAIN_RULE = (
    "With exactly one custom domain active in the org, set Host to that custom domain and workflows_host to the org's"
    " workflows host; with none, or with two or more, set Host to the default domain (acme.okta.com)."
)
"""By which name of the org a token must be asked for, so that its flows take it."""

ORG_RATE_LIMITED = (
    "Wait, or raise rate_limit_wait. One app may use half of the org's token bucket: see who else asks for tokens."
)

CERTIFICATE = (
    "Check the host's name; if a company proxy or a private CA signs for it, set verify to the path of the CA bundle."
)

UNREACHABLE = "Check the host's name, the network and, if one is needed, http_proxy."

CA_BUNDLE = "Give the path of a file of certificates in PEM form, on each machine that runs tasks or triggers."

PROXY_REFUSED = (
    "Let the proxy allow this host: it is the proxy that refuses, not Okta. If it asks for a login, write http_proxy"
    " as http://user:password@host:port."
)

FOREIGN_REFUSAL = (
    "It came with an HTML page and no execution id: look for a proxy or firewall in between that refuses, and let it"
    " pass the flow's host."
)

RESPONSE_UNREADABLE = (
    "Let the flow return less, or JSON in UTF-8; max_response_bytes is the limit. A retry would run it again, so there"
    " is none: look it up in the flow's execution history."
)

RESPONSE_REDIRECTED = "Set workflows_host, or the flow's URL, to where the flow really is. The token was not sent on."

FLOW_RATE_LIMITED = (
    "A flow takes 10 invocations per second. Invoke it less often (a pool limits parallel tasks), or raise"
    " rate_limit_wait."
)

OUTCOME_UNKNOWN = (
    "It may have run. Look it up in the flow's execution history before you clear the task. If running it twice"
    " does no harm, declare the flow idempotent."
)

NO_RESPONSE = "It may have run. It is declared idempotent, so trying again is allowed."


def token_hint(error: str | None, description: str | None, clock_offset: float | None) -> str:
    """Say what to change after the token endpoint has refused.

    :param error: its ``error``
    :param description: its ``error_description``
    :param clock_offset: seconds by which the local clock is ahead of the org's; None if unknown
    """
    hint = _BY_DESCRIPTION.get(description or "") or _BY_ERROR.get(error or "")
    if hint is None:
        return NOT_THE_ORG
    if hint.startswith(_CLOCK) and clock_offset is not None:
        hint += f" ({_off_by(clock_offset)})"
    return hint + "."


def clock_hint(clock_offset: float) -> str:
    """Say what to change when the local clock is too far from the org's.

    :param clock_offset: seconds by which the local clock is ahead of the org's
    """
    return f"{_CLOCK}: {_off_by(clock_offset)}."


def transport_hint(failure: TransportFailure) -> str:
    """Return what to change after a request that never got to a host.

    :param failure: how far it got
    """
    return failure.hint or (CERTIFICATE if failure.kind is FailureKind.UNTRUSTED else UNREACHABLE)


_FAILURES = {
    405: "Check the invoke URL (an alias or host that is a placeholder?) and the method: a flow takes GET and POST.",
    407: PROXY_REFUSED,
    411: "Something between here and the flow changes requests: look for a proxy.",
    413: "The payload is too large for the flow's host: send less, or a reference to it.",
    414: "The query is too long: send it as the payload, with POST.",
    415: "The flow's host does not take JSON here: check the invoke URL.",
    431: "The headers are too large for the flow's host: send it in the payload.",
}


def failure_hint(status: int) -> str:
    """Return what to change after a status that a host gives before it comes to the flow; empty for all others.

    :param status: the HTTP status of a response without an execution id
    """
    return _FAILURES.get(status, "")


def flow_hint(status: int) -> str:
    """Say what to change after a flow's host has refused with 401, 403 or 404 before the flow ran.

    :param status: the HTTP status
    """
    if status == 401:
        return (
            "The org does not accept its own token here. Most often the Okta domain (Host) is the wrong one of its"
            f" two. {DOMAIN_RULE}"
        )
    if status == 403:
        return (
            "In the flow's API access settings, set 'Secure with OAuth 2.0', and check that the app has the scope"
            " okta.workflows.invoke.manage."
        )
    return "Check the flow's alias (API access, Invoke URL), that the flow is on, and workflows_host."


def _off_by(clock_offset: float) -> str:
    return f"it is {abs(clock_offset):.0f} s {'ahead of' if clock_offset > 0 else 'behind'} the org's"
