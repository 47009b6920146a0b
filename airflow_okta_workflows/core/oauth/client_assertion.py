"""The client assertion: a JWT, signed with the app's private key, that takes the place of a client secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_okta_workflows.core.keys.signing import SigningKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_LIFETIME = 3600
"""Seconds; Okta refuses an ``exp`` further ahead."""
BACKDATED = 30
"""Seconds that ``iat`` lies back: Okta documents no leeway for a caller whose clock is ahead."""


def sign_client_assertion(
    key: SigningKey, *, client_id: str, token_url: str, now: float, lifetime: int, jti: str
) -> str:
    """Return a fresh client assertion for one token request.

    With a ``jti`` an assertion works once, and a refused request uses it up, so each attempt needs its own.
    Rules: RFC 7523, section 3, and Okta's page on building a JWT for client authentication.

    :param key: signs it
    :param client_id: both its issuer and its subject
    :param token_url: its audience: the exact URL that is called
    :param now: the current time, in seconds since the epoch
    :param lifetime: how long it is good for, in seconds, at most :data:`MAX_LIFETIME`
    :param jti: an id that no other assertion has
    """
    issued_at = int(now) - BACKDATED
    return key.sign(
        {
            "iss": client_id,
            "sub": client_id,
            "aud": token_url,
            "iat": issued_at,
            "exp": min(int(now) + lifetime, issued_at + MAX_LIFETIME),
            "jti": jti,
        }
    )
