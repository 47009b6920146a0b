"""The local org's token endpoint: Okta's rules for a client assertion, and the exact wording of each refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt

from airflow_okta_workflows.core.keys.algorithms import ALGORITHMS
from airflow_okta_workflows.core.oauth.client_assertion import ASSERTION_TYPE, MAX_LIFETIME

if TYPE_CHECKING:
    from collections.abc import Mapping

KNOWN_SCOPES = frozenset({"okta.workflows.invoke.manage", "okta.users.read", "okta.users.manage"})


@dataclass(frozen=True)
class Refusal(Exception):  # noqa: N818  # a response of the endpoint, not an error of the program
    """The refusal of one token request.

    :param status: the HTTP status
    :param error: the OAuth error code
    :param description: the error's description
    """

    status: int
    error: str
    description: str


@dataclass
class App:
    """The org's record of its API Services app.

    :param client_id: its client id
    :param public_keys: its public keys by kid
    :param granted_scopes: the scopes on its Okta API Scopes tab
    :param proof_of_possession: whether it requires DPoP, which Okta turns on for new apps
    :param active: whether it is active
    :param inside_network_zone: whether requests come from a permitted network zone
    :param used_ids: the ``jti`` of each assertion whose signature was valid; none may be used again
    """

    client_id: str
    public_keys: dict[str, Any]
    granted_scopes: set[str] = field(default_factory=lambda: {"okta.workflows.invoke.manage"})
    proof_of_possession: bool = False
    active: bool = True
    inside_network_zone: bool = True
    used_ids: set[str] = field(default_factory=set)


def check_token_request(form: Mapping[str, str], app: App, *, token_url: str, now: float) -> str:
    """Check a token request by Okta's rules, and return the scopes that are granted, separated by spaces.

    :param form: the decoded form
    :param app: the app
    :param token_url: the URL of the request
    :param now: the org's time, in seconds since the epoch
    :raises Refusal: with the status and wording of Okta's refusal
    """
    if form.get("grant_type") != "client_credentials":
        raise Refusal(400, "unsupported_grant_type", "The authorization grant type is not supported.")
    if "client_assertion" not in form:
        raise Refusal(
            401,
            "invalid_client",
            "Client Credentials requests to the Org Authorization Server must use the private_key_jwt"
            " token_endpoint_auth_method.",
        )
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise Refusal(400, "invalid_request", "The client_assertion_type is invalid.")
    claims = _verified_claims(form["client_assertion"], app)
    # The signature is valid, so even a refusal uses the jti up.
    used = claims.get("jti") in app.used_ids
    if isinstance(claims.get("jti"), str):
        app.used_ids.add(claims["jti"])
    _check_claims(claims, token_url=token_url, now=now)
    if used:
        raise _invalid_client("The client_assertion token has already been used.")
    return _granted_scope(form, app)


def _verified_claims(assertion: str, app: App) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(assertion)
        unverified = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise _invalid_client("The parsing of the client_assertion failed.") from None
    if header.get("alg") not in ALGORITHMS:
        raise _invalid_client("The client_assertion JWT signature algorithm is invalid.")
    if unverified.get("iss") != unverified.get("sub") or not str(unverified.get("iss", "")).startswith("0oa"):
        raise _invalid_client("The issuer claim for client_assertion is not a valid client_id.")
    if unverified["iss"] != app.client_id or not app.active:
        raise _invalid_client("Invalid value for 'client_id' parameter.")
    if not app.public_keys:
        raise _invalid_client("The client does not have a JWKSet configured.")
    kid = header.get("kid")
    if kid is None and len(app.public_keys) == 1:
        kid = next(iter(app.public_keys))
    if not isinstance(kid, str) or kid not in app.public_keys:
        raise _invalid_client("The client_assertion JWT kid is invalid.")
    try:
        claims: dict[str, Any] = jwt.decode(
            assertion,
            app.public_keys[kid],
            algorithms=list(ALGORITHMS),
            options={"verify_exp": False, "verify_iat": False, "verify_aud": False, "verify_nbf": False},
        )
    except (jwt.PyJWTError, TypeError, ValueError):
        # A TypeError if the key is of another type than the algorithm.
        raise _invalid_client("The client_assertion signature is invalid.") from None
    return claims


def _check_claims(claims: Mapping[str, Any], *, token_url: str, now: float) -> None:
    if claims.get("aud") != token_url:
        raise _invalid_client("The audience claim for client_assertion must be the endpoint invoked for the request.")
    expires = claims.get("exp")
    if not isinstance(expires, (int, float)) or expires <= now:
        raise _invalid_client("The client_assertion token is expired.")
    if expires > now + MAX_LIFETIME:
        raise _invalid_client("The client_assertion token has an expiration too far into the future.")
    issued = claims.get("iat")
    if isinstance(issued, (int, float)) and issued > now:
        raise _invalid_client("The client_assertion token must be issued before the current time.")


def _granted_scope(form: Mapping[str, str], app: App) -> str:
    if not app.inside_network_zone:
        raise Refusal(403, "access_denied", "The request is made from outside the client's permitted network zones.")
    wanted = form.get("scope", "").split()
    if not wanted or not set(wanted) <= KNOWN_SCOPES:
        raise Refusal(
            400,
            "invalid_scope",
            "One or more scopes are not configured for the authorization server resource.",
        )
    if not set(wanted) & app.granted_scopes:
        raise Refusal(400, "consent_required", "You are not allowed any of the requested scopes.")
    if app.proof_of_possession:
        raise Refusal(400, "invalid_dpop_proof", "The DPoP proof JWT header is missing.")
    return " ".join(scope for scope in wanted if scope in app.granted_scopes)


def _invalid_client(description: str) -> Refusal:
    return Refusal(401, "invalid_client", description)
