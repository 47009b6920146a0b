"""When the next invocation of a flow may go, so that its rate limit is reached and not passed."""

from __future__ import annotations

from math import inf, sqrt

from airflow_okta_workflows.core.numbers import check_number

FLOW_RATE = 10.0
"""Invocations per second that Okta lets one flow take."""

_MARGIN = 1.03
"""Distance between two invocations, as a multiple of what the rate allows. However the host counts its seconds, more
than the allowed number never fall into one, though each arrives up to 15 ms early or late: the first of a second late
and the one too many early takes 30 ms of it."""
_OWN_WAIT = 2.0
"""Seconds up to which a 429 asks for the flow's own limit, which counts by the second. Who asks for more means more
than this flow's pace, and is given it."""
_TOO_MANY = 3
"""Refused before the first of them may come back: it is no chance."""
_SLOWED_A_LITTLE = 1.02
_SLOWED = 1.25
_SLOWEST = 20.0
_DOUBLED_AFTER = 40.0
"""Seconds without a 429 after which a rate near the full one has doubled."""


_SLOWEST_RATE, _FASTEST_RATE = 0.001, 100_000.0
_MOST_IN_FLIGHT = 100_000


def check_pace(max_rate: object, max_in_flight: object) -> None:
    """Raise if a batch cannot be sent at a pace.

    :param max_rate: invocations per second
    :param max_in_flight: calls that may be open at the same time
    :raises CoreError: if one of them is not a number within bounds
    """
    check_number(max_rate, "max_rate", least=_SLOWEST_RATE, most=_FASTEST_RATE)
    check_number(max_in_flight, "max_in_flight", least=1, most=_MOST_IN_FLIGHT, whole=True)


class Pacer:
    """Moments at even distances, held back while the host returns 429.

    One 429 among many invocations that pass came early on its way, or was one too many: the pace gives way a little,
    and only the refused one waits. Several together, or a long wait, say that somebody else is using the same flow:
    nothing goes until the host takes requests again, and then it goes on slower.

    From the last 429 on the rate rises, hardly at first and ever faster. So those who share a flow seldom meet its
    limit, and who is left alone has it back soon. Who is slower rises more slowly: many together meet the limit little
    more often than few.

    :param max_rate: invocations per second, more than 0
    """

    def __init__(self, max_rate: float = FLOW_RATE) -> None:
        self._shortest = _MARGIN / max_rate
        self._slowed = self._shortest
        self._refused = 0
        self._back_at = -inf
        self._next = -inf
        self._held_until = -inf

    def reserve(self, now: float) -> float:
        """Take the next free moment, and return the seconds until then.

        :param now: the time, in seconds of a clock that never goes back
        """
        moment = max(now, self._next)
        self._next = moment + self._distance(moment)
        return moment - now

    def hold(self, now: float, seconds: float) -> None:
        """Slow down after a 429; after many, give out no moment before the host takes requests again.

        :param now: the time
        :param seconds: what the host asked to wait
        """
        distance = self._distance(now)
        if now >= self._back_at:
            self._refused = 0
            distance *= _SLOWED_A_LITTLE
        self._refused += 1
        holds = self._refused >= _TOO_MANY or seconds > _OWN_WAIT
        if holds and not self.holds(now):
            # Once for all that were refused together.
            distance *= _SLOWED
        self._slowed = min(distance, self._shortest * _SLOWEST)
        self._back_at = max(self._back_at, now + seconds)
        if holds:
            self._held_until = self._back_at
            self._next = max(self._next, self._held_until)

    def holds(self, now: float) -> bool:
        """Return whether moments that were given out before the hold are void.

        :param now: the time
        """
        return now < self._held_until

    def _distance(self, now: float) -> float:
        quiet = max(0.0, now - self._back_at)
        doubled_after = _DOUBLED_AFTER * sqrt(self._slowed / self._shortest)
        return max(self._shortest, self._slowed / (1 + (quiet / doubled_after) ** 4))
