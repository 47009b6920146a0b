"""The pace of a flow's invocations: up to its rate limit, and not beyond.

Theory of operation: AIMD (D. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
Avoidance in Computer Networks", 1989) with polynomial instead of additive recovery. The pacer reserves evenly spaced
moments for sending, and adapts the distance between them to the host's 429s:

- One or two 429s at a time that ask for a short wait are jitter, or slightly too high a rate. The distance grows by
  2 %, and only the refused invocations wait.
- Three 429s before the first retry is due, or one that asks for a long wait, mean that others use the same flow. The
  distance grows by another 25 %, at most to 20 times the shortest, earlier reservations are void, and nothing is sent
  until the host accepts requests again.
- ``t`` seconds after the wait that the last 429 asked for, the rate has recovered to ``reduced * (1 + (t / T) ** 4)``.
  As in CUBIC (RFC 9438), it depends on the time since the last decrease. It first rises slowly, so senders that share a
  flow seldom reach its limit, and then fast, so a sender that is left alone soon has the full rate again.
- ``T`` grows with the distance, so slower senders recover more slowly: many senders together reach the limit little
  more often than few.
"""

from __future__ import annotations

from math import inf, sqrt

from airflow_okta_workflows.core.numbers import check_number

FLOW_RATE = 10.0
"""Okta's limit for one flow, in invocations per second."""

_MARGIN = 1.03
"""Distance between two invocations, as a multiple of the shortest that the rate allows. The extra 3 % give each second
30 ms of tolerance: no second of the host gets more invocations than allowed, even if the first arrives 15 ms late and
the one after the last allowed 15 ms early."""
_OWN_WAIT = 2.0
"""Longest wait, in seconds, that a 429 for the flow's own limit asks for, since that limit counts per second. A longer
wait has another cause than this flow's pace, so it applies to all invocations."""
_TOO_MANY = 3
"""Three 429s before the first retry is due: someone else is using the flow."""
_SLOWED_A_LITTLE = 1.02
_SLOWED = 1.25
_SLOWEST = 20.0
_DOUBLED_AFTER = 40.0
"""Seconds without a 429 in which a rate near the full one would double."""


_SLOWEST_RATE, _FASTEST_RATE = 0.001, 100_000.0
_MOST_IN_FLIGHT = 100_000


def check_pace(max_rate: object, max_in_flight: object) -> None:
    """Raise if the pace of a batch is out of bounds.

    :param max_rate: invocations per second
    :param max_in_flight: calls that may be open at the same time
    :raises CoreError: if one of them is not a number within its bounds
    """
    check_number(max_rate, "max_rate", least=_SLOWEST_RATE, most=_FASTEST_RATE)
    check_number(max_in_flight, "max_in_flight", least=1, most=_MOST_IN_FLIGHT, whole=True)


class Pacer:
    """Evenly spaced moments for sending to one flow, adapted to the 429s of its host.

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
        """Reserve the next free moment, and return the seconds until then.

        :param now: the time, in seconds of a monotonic clock
        """
        moment = max(now, self._next)
        self._next = moment + self._distance(moment)
        return moment - now

    def hold(self, now: float, seconds: float) -> None:
        """Slow down after a 429; if it is not an isolated one, hold back until the host accepts requests again.

        :param now: the time, in seconds of the same clock
        :param seconds: the wait that the host asked for
        """
        distance = self._distance(now)
        if now >= self._back_at:
            self._refused = 0
            distance *= _SLOWED_A_LITTLE
        self._refused += 1
        holds = self._refused >= _TOO_MANY or seconds > _OWN_WAIT
        if holds and not self.holds(now):
            # Only once for all invocations that were refused together.
            distance *= _SLOWED
        self._slowed = min(distance, self._shortest * _SLOWEST)
        self._back_at = max(self._back_at, now + seconds)
        if holds:
            self._held_until = self._back_at
            self._next = max(self._next, self._held_until)

    def holds(self, now: float) -> bool:
        """Return whether a hold is in force, which voids the moments reserved before it.

        :param now: the time, in seconds of the same clock
        """
        return now < self._held_until

    def _distance(self, now: float) -> float:
        quiet = max(0.0, now - self._back_at)
        doubled_after = _DOUBLED_AFTER * sqrt(self._slowed / self._shortest)
        return max(self._shortest, self._slowed / (1 + (quiet / doubled_after) ** 4))
