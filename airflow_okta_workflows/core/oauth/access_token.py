"""Access tokens, and whether they are still usable."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class TokenState(Enum):
    """The state of a token, which decides whether to use or renew it."""

    FRESH = "fresh"
    """The token is used as it is."""
    STALE = "stale"
    """The token is used, while one caller renews it."""
    EXPIRED = "expired"
    """The token is not used; callers wait for a new one."""


_EXPIRED_EARLY = 60.0
"""Seconds before its expiry at which a token stops being used: a call takes up to 60 s, and clocks differ."""
_STALE_SHARE = 0.1
"""Fraction of its lifetime in which a token is renewed, before it stops being used."""
_CLOCK_STEP = 60.0
"""Seconds by which the clock may be set back without casting doubt on the expiry of a token."""


@dataclass(frozen=True)
class AccessToken:
    """One access token.

    :param value: the token itself, hidden in ``repr``
    :param expires_at: when it expires, in seconds since the epoch, by the local clock
    :param lifetime: its total lifetime, in seconds
    :param scope: the scopes that the org says it granted; None if it does not say, or for a token from the shared cache
    """

    value: str = field(repr=False)
    expires_at: float
    lifetime: float = 3600.0
    scope: str | None = field(default=None, compare=False)

    def state(self, now: float) -> TokenState:
        """Return the state of the token at a given time.

        :param now: seconds since the epoch
        """
        left = self.expires_at - now
        # A short-lived token is used for at least half of its lifetime.
        margin = min(_EXPIRED_EARLY, self.lifetime / 2)
        # With more time left than the whole lifetime, the clock was set back, so the expiry is unknown.
        if left <= margin or left > self.lifetime + _CLOCK_STEP:
            return TokenState.EXPIRED
        return TokenState.STALE if left <= margin + self.lifetime * _STALE_SHARE else TokenState.FRESH
