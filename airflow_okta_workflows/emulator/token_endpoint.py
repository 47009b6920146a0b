"""The local org's token endpoint: Okta's rules for a client assertion.

Each refusal is one of the rules of :mod:`airflow_okta_workflows.emulator.rules`, which have the exact wording.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

import jwt

from airflow_okta_workflows.core.keys.algorithms import ALGORITHMS
from airflow_okta_workflows.core.oauth.client_assertion import ASSERTION_TYPE, MAX_LIFETIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_okta_workflows.emulator.profile import OrgRules

INVOKE_SCOPE = "okta.workflows.invoke.manage"
"""The scope that a token needs to invoke flows."""
NOT_GRANTED = "okta.eventHooks.read"
"""A scope that the org knows and the app usually does not have."""
KNOWN_SCOPES = frozenset({INVOKE_SCOPE, "okta.users.read", "okta.users.manage", NOT_GRANTED})


@dataclass(frozen=True)
class Refusal(Exception):  # noqa: N818  # a response of the endpoint, not an error of the program
    """The refusal of one token request.

    :param rule: number of the rule by which it is refused
    """

    rule: str


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
    :param granted_ids: those of them for which a token was granted
    """

    client_id: str
    public_keys: dict[str, Any]
    granted_scopes: set[str] = field(default_factory=lambda: {INVOKE_SCOPE})
    proof_of_possession: bool = False
    active: bool = True
    inside_network_zone: bool = True
    used_ids: set[str] = field(default_factory=set)
    granted_ids: set[str] = field(default_factory=set)


def check_token_request(form: Mapping[str, str], app: App, rules: OrgRules, *, token_url: str, now: float) -> str:
    """Check a token request by Okta's rules, and return the scopes that are granted, separated by spaces.

    :param form: the decoded form
    :param app: the app
    :param rules: the rules that the org keeps
    :param token_url: the URL of the request
    :param now: the org's time, in seconds since the epoch
    :raises Refusal: with the rule that the request breaks
    """

    def refuse_if(broken: bool, rule: str) -> None:
        if broken and not rules.accepts(rule):
            raise Refusal(rule)

    refuse_if(form.get("grant_type") != "client_credentials", "T16")
    if "client_assertion" not in form:
        raise Refusal("T14")
    refuse_if(form.get("client_assertion_type") != ASSERTION_TYPE, "T15")
    claims = _verified_claims(form, app, refuse_if)
    jti = claims.get("jti")
    used, granted = jti in app.used_ids, jti in app.granted_ids
    # The signature is valid, so even a refusal uses the jti up.
    if isinstance(jti, str):
        app.used_ids.add(jti)
    elif not rules.accepts("T20"):
        raise Refusal("T20")
    _check_claims(claims, refuse_if, token_url=token_url, now=now)
    refuse_if(used, "T3" if granted else "T18")
    scope = _granted_scope(form, app, refuse_if)
    if isinstance(jti, str):
        app.granted_ids.add(jti)
    return scope


def _verified_claims(form: Mapping[str, str], app: App, refuse_if: Callable[[bool, str], None]) -> dict[str, Any]:
    assertion = form["client_assertion"]
    try:
        header = jwt.get_unverified_header(assertion)
        unverified: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError):
        raise Refusal("T13") from None
    # A JWT's jti is a string; PyJWT would report another as a signature that is invalid.
    if not isinstance(unverified.get("jti", ""), str):
        raise Refusal("T13")
    refuse_if(header.get("alg") not in ALGORITHMS, "T12")
    client_id = unverified.get("iss")
    refuse_if(client_id != unverified.get("sub") or not str(client_id or "").startswith("0oa"), "T8")
    # The assertion names the client; a client_id beside it is optional (RFC 7521).
    refuse_if(not client_id == (form.get("client_id") or client_id) == app.client_id, "T9")
    refuse_if(not app.active, "T26")
    if not app.public_keys:
        raise Refusal("T27")
    kid = header.get("kid")
    if kid is None and len(app.public_keys) == 1:
        kid = next(iter(app.public_keys))
    if kid is None:
        raise Refusal("T24")
    if not isinstance(kid, str) or kid not in app.public_keys:
        refuse_if(True, "T10")
        return unverified
    try:
        return dict(
            jwt.decode(
                assertion,
                app.public_keys[kid],
                algorithms=list(ALGORITHMS),
                options={"verify_exp": False, "verify_iat": False, "verify_aud": False, "verify_nbf": False},
            )
        )
    except (jwt.PyJWTError, TypeError, ValueError):
        # A TypeError if the key is of another type than the algorithm.
        refuse_if(True, "T11")
        return unverified


def _check_claims(
    claims: Mapping[str, Any], refuse_if: Callable[[bool, str], None], *, token_url: str, now: float
) -> None:
    refuse_if(claims.get("aud") != token_url, "T7")
    expires = claims.get("exp")
    if _is_number(expires):
        refuse_if(expires <= now, "T4")
        refuse_if(expires > now + MAX_LIFETIME, "T5")
    else:
        refuse_if(True, "T23")
    for valid_from in (claims[name] for name in ("iat", "nbf") if name in claims):
        refuse_if(not _is_number(valid_from) or valid_from > now, "T6")


def _is_number(value: Any) -> TypeGuard[float]:
    # JSON as Python reads it can be NaN, which no comparison refuses.
    return type(value) in (int, float) and value == value  # noqa: PLR0124


def _granted_scope(form: Mapping[str, str], app: App, refuse_if: Callable[[bool, str], None]) -> str:
    refuse_if(not app.inside_network_zone, "T28")
    wanted = form.get("scope", "").split()
    known = KNOWN_SCOPES.intersection(wanted)
    refuse_if(not wanted or not known.issuperset(wanted), "T17")
    refuse_if(bool(known) and not known & app.granted_scopes, "T19")
    refuse_if(app.proof_of_possession, "T25")
    return " ".join(scope for scope in wanted if scope in app.granted_scopes)
