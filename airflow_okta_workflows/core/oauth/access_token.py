"""Access tokens, and how good one still is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class TokenState(Enum):
    """What may be done with a token."""

    FRESH = "fresh"
    """Use it."""
    STALE = "stale"
    """Use it, while one caller renews it."""
    EXPIRED = "expired"
    """Wait for a new one."""


_EXPIRED_EARLY = 60.0
"""Seconds before its end from which a token is not used: a call takes up to 60 s, and clocks differ."""
_STALE_SHARE = 0.1
"""The last share of its life in which a token is renewed ahead of its end."""
_CLOCK_STEP = 60.0
"""Seconds by which the clock may be set back without a doubt about the token."""


@dataclass(frozen=True)
class AccessToken:
    """One access token.

    :param value: the token itself, hidden in ``repr``
    :param expires_at: when it ends, in seconds since the epoch, by the local clock
    :param lifetime: how long it lives in all, in seconds
    :param scope: what the org says that it granted; None if it did not, or if the token comes from the shared cache
    """

    value: str = field(repr=False)
    expires_at: float
    lifetime: float = 3600.0
    scope: str | None = field(default=None, compare=False)

    def state(self, now: float) -> TokenState:
        """Return what may be done with the token at a moment.

        :param now: seconds since the epoch
        """
        left = self.expires_at - now
        # A short-lived token is used for half of its life at least.
        margin = min(_EXPIRED_EARLY, self.lifetime / 2)
        # More left than there ever was: the clock was set back, and the end can no longer be told.
        if left <= margin or left > self.lifetime + _CLOCK_STEP:
            return TokenState.EXPIRED
        return TokenState.STALE if left <= margin + self.lifetime * _STALE_SHARE else TokenState.FRESH
