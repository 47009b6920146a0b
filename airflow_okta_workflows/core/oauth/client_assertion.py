"""The client assertion: a JWT signed with the app's private key, sent instead of a client secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_okta_workflows.core.keys.signing import SigningKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_LIFETIME = 3600
"""Maximum lifetime in seconds; Okta refuses an ``exp`` further ahead."""
BACKDATED = 30
"""Seconds by which ``iat`` is backdated: Okta documents no leeway for a client whose clock is ahead."""


def sign_client_assertion(
    key: SigningKey, *, client_id: str, token_url: str, now: float, lifetime: int, jti: str
) -> str:
    """Return a client assertion for one token request.

    An assertion with a ``jti`` works once, and a refused request uses it up, so each attempt needs its own.
    Rules: RFC 7523, section 3, and Okta's page on building a JWT for client authentication.

    :param key: the key to sign with
    :param client_id: the app's client id, which is both issuer and subject
    :param token_url: the audience: the exact URL of the request
    :param now: the current time, in seconds since the epoch
    :param lifetime: how long the assertion is valid, in seconds, at most :data:`MAX_LIFETIME`
    :param jti: an id that no other assertion has
    """
    return key.sign(
        assertion_claims(client_id=client_id, token_url=token_url, now=now, lifetime=lifetime, jti=jti),
    )


def assertion_claims(*, client_id: str, token_url: str, now: float, lifetime: int, jti: str) -> dict[str, Any]:
    """Return the claims of a client assertion; the parameters are those of :func:`sign_client_assertion`."""
    issued_at = int(now) - BACKDATED
    return {
        "iss": client_id,
        "sub": client_id,
        "aud": token_url,
        "iat": issued_at,
        "exp": min(int(now) + lifetime, issued_at + MAX_LIFETIME),
        "jti": jti,
    }
