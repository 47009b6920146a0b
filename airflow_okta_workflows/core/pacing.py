"""When the next invocation of a flow may go, so that its rate limit is reached and not passed."""

from __future__ import annotations

from math import inf

FLOW_RATE = 10.0
"""Invocations per second that Okta lets one flow take."""

_MARGIN = 1.03
"""Distance between two invocations, as a multiple of what the rate allows. However the host counts its seconds, more
than the allowed number never fall into one, though each arrives up to 15 ms early or late: the first of a second late
and the one too many early takes 30 ms of it."""
_SLOWED_BY = 1.25
_SLOWEST = 20.0
_RECOVERY = 0.99


class Pacer:
    """Give out moments at even distances, and hold back when the host says 429.

    After a 429 nothing goes until the host takes requests again; then it goes on a little slower, and finds its way
    back to the full rate: somebody else may be using the same flow.

    :param max_rate: invocations per second, more than 0
    """

    def __init__(self, max_rate: float = FLOW_RATE) -> None:
        self._shortest = _MARGIN / max_rate
        self._distance = self._shortest
        self._next = -inf
        self._held_until = -inf

    def reserve(self, now: float) -> float:
        """Take the next free moment, and return the seconds until then.

        :param now: the time, in seconds of a clock that never goes back
        """
        moment = max(now, self._next)
        self._next = moment + self._distance
        self._distance = max(self._shortest, self._distance * _RECOVERY)
        return moment - now

    def hold(self, now: float, seconds: float) -> None:
        """Give out no moment before the host takes requests again.

        :param now: the time
        :param seconds: what the host asked to wait
        """
        if not self.holds(now):
            # Once for all that were refused together.
            self._distance = min(self._distance * _SLOWED_BY, self._shortest * _SLOWEST)
        self._held_until = max(self._held_until, now + seconds)
        self._next = max(self._next, self._held_until)

    def holds(self, now: float) -> bool:
        """Tell whether moments that were given out before a 429 are void.

        :param now: the time
        """
        return now < self._held_until
