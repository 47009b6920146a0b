"""Hints on what to change, for each reason for which the org refuses a token request.

The errors and descriptions are those of Okta's OAuth error catalog (release 2026.08.1) and of its API's error codes. A
hint with several things to check has a line for each, the likeliest first.
"""

from __future__ import annotations

from airflow_okta_workflows.core.errors import split_code
from airflow_okta_workflows.core.oauth.client_assertion import MAX_LIFETIME
from airflow_okta_workflows.core.patterns import lazy_pattern

_SUSPECT_SKEW = 60.0
"""Seconds of clock skew above which each refusal names the local clock as a suspect."""

_CLOCK = "Set this machine's clock (NTP)"
_AHEAD = "it is ahead of the org's"

_KEY = (
    "Compare the key with the app's Public Keys tab: the private key in the connection must belong to an ACTIVE"
    " public key there"
)

_CLIENT_ID = "Check the Client ID (Login): copy it from the app's General tab; it begins with 0oa."

_POP = (
    "Proof of possession is on. In the app's General tab, under General Settings, uncheck 'Require Demonstrating"
    " Proof of Possession (DPoP) header in token requests'."
)

_SCOPE = "Grant okta.workflows.invoke.manage to the app, on its Okta API Scopes tab."

_OWN_SCOPE = (
    "Set scope to okta.workflows.invoke.manage, or leave it empty. Scopes of a custom authorization server are not"
    " known here."
)

TRY_LATER = "OKW-1207: Try again later; if this persists, see Okta's status page."

PROXY_CHANGES = "Something between here and the org changes requests: look for a proxy."

CUSTOM_SERVER = (
    "OKW-1206: A custom authorization server responded: its tokens invoke no flow. Set the Okta domain (Host) to the"
    " org itself, such as acme.okta.com."
)

# Each entry begins with words of the description, in lower case.
_BY_WORDS = (
    ("token is expired", "OKW-1221: " + _CLOCK + ", or raise assertion_lifetime"),
    ("expiration too far into the future", f"OKW-1222: {_CLOCK}; assertion_lifetime may be at most {MAX_LIFETIME} s"),
    ("issued before the current time", f"OKW-1223: {_CLOCK}; {_AHEAD}"),
    (
        "already been used",
        "OKW-1224: Each assertion works once and this one was new, so something between here and the org sends requests"
        " twice: look for a retrying proxy.",
    ),
    (
        "client_assertion signature is invalid",
        "OKW-1225: The app's Public Keys tab has this kid, but for another key pair: give the private key that"
        " belongs to it, or set key_id to the kid of this one.",
    ),
    ("jwt kid is invalid", "OKW-1226: " + _KEY + ", and key_id must be its kid; leave key_id empty for a JWK."),
    (
        "audience claim",
        "OKW-1227: Set the Okta domain (Host) to the name under which the org knows itself; a proxy that rewrites"
        " the host name breaks this too.",
    ),
    ("issuer claim", f"OKW-1228: {_CLIENT_ID}"),
    ("parsing of the client_assertion", "OKW-1229: " + _CLIENT_ID + "\nCheck that the app exists in this org."),
    (
        "signature algorithm is invalid",
        "OKW-1230: Leave algorithm empty, or set one that Okta takes: RS256, RS384, RS512, ES256, ES384, ES512.",
    ),
    (
        "jwks",
        "OKW-1231: Give the app a public key: in its General tab, under Client Credentials, choose 'Public key /"
        " Private key', add the public JWK and save. okta-workflows keygen prints one.",
    ),
    ("'client_id' parameter", "OKW-1232: Check that the app is ACTIVE, and in this org.\n" + _CLIENT_ID),
    (
        "client credentials are invalid",
        f"OKW-1233: Check that the app is ACTIVE in this org.\n{_CLIENT_ID}\n{_KEY}.",
    ),
    (
        "private_key_jwt",
        "OKW-1234: The app must be an API Services app whose client authentication is 'Public key / Private key'."
        " Set it in the app's General tab.",
    ),
    ("not configured for the authorization server", f"OKW-1235: {_OWN_SCOPE}"),
    ("not allowed any of the requested scopes", f"OKW-1236: {_SCOPE}"),
    ("client_assertion_type", f"OKW-1237: {PROXY_CHANGES}"),
    (
        "network zone",
        "OKW-1238: Add the address that this machine reaches the internet with to the app's network zone.",
    ),
    ("policy evaluation failed", CUSTOM_SERVER),
)
"""Hints by words in a description; the first match applies. Okta changes the rest of a sentence now and then."""

_BY_ERROR = {
    "invalid_dpop_proof": f"OKW-1240: {_POP}",
    "use_dpop_nonce": f"OKW-1240: {_POP}",
    "consent_required": f"OKW-1236: {_SCOPE}",
    "no_org_scopes_granted": f"OKW-1236: {_SCOPE}",
    "invalid_scope": "OKW-1241: " + _OWN_SCOPE + "\n" + _SCOPE,
    "invalid_client": f"OKW-1242: {_CLIENT_ID}\n{_KEY}.",
    "unauthorized_client": (
        "OKW-1243: The app may not use the grant type Client Credentials: it must be an API Services app, with that"
        " grant type on in its General tab."
    ),
    "unsupported_grant_type": (
        "OKW-1244: The server at the Okta domain (Host) does not know the grant type Client Credentials: it must be"
        " the org itself, such as acme.okta.com."
    ),
    "access_denied": (
        "OKW-1245: An access policy or a network zone of the org refuses this caller: ask the org's admin."
    ),
    "invalid_request": (
        "OKW-1246: Check the Okta domain (Host): it must be the org itself, not a custom authorization server."
    ),
}

_OKTA_ERROR = lazy_pattern(r"E\d{7}")
_REFUSED_BY_THE_ORG = (
    "Look this request up in the org's System Log, which names the rule that refused it.\n"
    "Allow this machine's internet address in the network zones of the app and the org, and in ThreatInsight.\n"
    "Ask the org's admin whether a policy refuses the app."
)
_BY_OKTA_ERROR = {
    "E0000006": f"OKW-1247: {_REFUSED_BY_THE_ORG}",
    "E0000015": (
        "OKW-1248: The org lacks a feature that this needs, or it is not enabled: ask the org's admin or Okta"
        " Support for Okta Workflows and for OAuth 2.0 of Okta's APIs."
    ),
    "E0000021": "OKW-1249: " + PROXY_CHANGES + " It removed the Content-Type or Accept header.",
    "E0000022": "OKW-1250: " + PROXY_CHANGES + " The org got another method than POST, as after a redirect.",
}

NOT_THE_ORG = (
    "OKW-1205: Check the Okta domain (Host): it must be the org itself, such as acme.okta.com or its one custom domain."
    " A proxy or firewall in between may also respond like this."
)
"""Hint for a response that no Okta token endpoint returns."""

DPOP_TOKEN = f"OKW-1217: {_POP}"

SCOPE_NOT_GRANTED = "OKW-1204: Grant it to the app, on its Okta API Scopes tab, or take it out of scope."

DOMAIN_RULE = (
    "With exactly one custom domain active in the org, set Host to that custom domain and workflows_host to the org's"
    " workflows host.\n"
    "With none, or with two or more, set Host to the default domain (acme.okta.com)."
)
"""Rule for which domain to request tokens from, so that the org's flows accept them."""

ORG_RATE_LIMITED = (
    "OKW-1202: Wait, or raise rate_limit_wait. One app may use half of the org's token bucket: see"
    " who else asks for tokens."
)


def token_hint(error: str | None, description: str | None, clock_offset: float | None) -> str:
    """Return what to change after the token endpoint refused a request.

    :param error: the ``error`` or ``errorCode`` of the response, if any
    :param description: its description, if any
    :param clock_offset: seconds by which the local clock is ahead of the org's; None if unknown
    """
    said = " ".join((description or "").lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())
    hint = (
        okta_error_hint(error)
        or next((hint for words, hint in _BY_WORDS if words in said), None)
        or _BY_ERROR.get((error or "").lower(), NOT_THE_ORG)
    )
    if _CLOCK not in hint:
        return with_suspect_clock(hint, clock_offset)
    if clock_offset is None:
        return f"{hint}."
    off = _off_by(clock_offset)
    return f"{hint.replace(_AHEAD, off)}." if clock_offset > 0 and _AHEAD in hint else f"{hint} ({off})."


def okta_error_hint(code: str | None) -> str:
    """Return what to change after an error object of Okta's API, which only the org itself returns.

    :param code: its ``errorCode``, such as ``E0000006``
    :return: the hint; empty if it is not an error code of Okta's
    """
    code = (code or "").upper()
    if not _OKTA_ERROR.fullmatch(code):
        return ""
    other = f"OKW-1219: Look up {code} in Okta's list of error codes, and this request in the org's System Log."
    return _BY_OKTA_ERROR.get(code, other)


def clock_hint(clock_offset: float) -> str:
    """Return what to change if the local clock differs too much from the org's.

    :param clock_offset: seconds by which the local clock is ahead of the org's
    """
    return f"OKW-1218: {_CLOCK}, since {_off_by(clock_offset)}."


def with_suspect_clock(hint: str, clock_offset: float | None) -> str:
    """Return a hint that also names the local clock, if its skew is large enough to explain a refusal.

    :param hint: the hint
    :param clock_offset: seconds by which the local clock is ahead of the server's; None if unknown
    """
    if clock_offset is None or abs(clock_offset) <= _SUSPECT_SKEW:
        return hint
    return f"{hint}\n{split_code(clock_hint(clock_offset))[1]}"


def _off_by(clock_offset: float) -> str:
    return f"it is {abs(clock_offset):.0f} s {'ahead of' if clock_offset > 0 else 'behind'} the org's"
