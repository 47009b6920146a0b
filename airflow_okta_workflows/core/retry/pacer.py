"""The pace of a flow's invocations: up to its rate limit, and not beyond.

Theory of operation: AIMD (D. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
Avoidance in Computer Networks", 1989) with polynomial instead of additive recovery. The pacer reserves evenly spaced
moments for sending, and adapts the distance between them to the host's 429s:

- One or two 429s at a time that ask for a short wait are jitter, or slightly too high a rate. The distance grows by
  2 %, and only the refused invocations wait.
- Three 429s before the first retry is due, or one that asks for a long wait, mean that others use the same flow. The
  distance grows by another 25 %, at most to 20 times the shortest, earlier reservations are void, and nothing is sent
  until the host accepts requests again, for at most a minute at a time.
- ``t`` seconds after the wait that the last 429 asked for, the rate has recovered to ``reduced * (1 + (t / T) ** 4)``.
  As in CUBIC (RFC 9438), it depends on the time since the last decrease. It first rises slowly, so senders that share a
  flow seldom reach its limit, and then fast, so a sender that is left alone soon has the full rate again.
- ``T`` grows with the distance, so slower senders recover more slowly: many senders together reach the limit little
  more often than few.

A moment is used in two steps. A sender reserves a moment, waits for it, and then takes it. Only then is it known
whether a hold has voided it, and whether earlier senders were late: a busy machine may wake several senders together.
So the pacer remembers the last moments that were taken, and delays a sender by just enough to keep each second of the
host within the limit.

A sender that gives up while it waits releases its reservation: the next free moment becomes one distance earlier,
whichever moment the sender had. So a moment in the queue may be given twice, which only delays its second user, since
the limit of a second applies to the moments that are taken. Only a sender that is killed costs one moment, and nobody
waits for it.

The state is a tuple of numbers, so that processes can share it through a file, and hosts through Redis.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

from airflow_okta_workflows.core.numbers import check_number

FLOW_RATE = 10.0
"""Okta's limit for one flow, in invocations per second."""

_MARGIN = 1.03
"""Distance between two invocations, as a multiple of the shortest that the rate allows. The extra 3 % give each second
30 ms of tolerance: no second of the host gets more invocations than allowed, even if the first arrives 15 ms late and
the one after the last allowed 15 ms early."""
_WINDOW_MARGIN = 1.015
"""Shortest time in which as many moments are taken as the rate allows, as a multiple of what it allows. Between this
and ``_MARGIN`` a sender may be late without delaying others."""
MOST_TAKEN = 16
"""Number of moments that are remembered, at most."""
_OWN_WAIT = 2.0
"""Longest wait, in seconds, that a 429 for the flow's own limit asks for, since that limit counts per second. A longer
wait has another cause than this flow's pace, so it applies to all invocations."""
_LONGEST_SHARED = 60.0
"""Longest hold, in seconds, after one 429. Okta's limits count per second or per minute, so a longer wait is most often
a mistake of a proxy, and must not stop all tasks for as long. If it is right, each later 429 renews the hold."""
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
    check_rate(max_rate, "max_rate")
    check_number(max_in_flight, "max_in_flight", least=1, most=_MOST_IN_FLIGHT, whole=True)


def check_rate(rate: object, name: str) -> None:
    """Raise if a rate is out of bounds.

    :param rate: invocations per second
    :param name: its name, as the user knows it
    :raises CoreError: if it is not a number within its bounds
    """
    check_number(rate, name, least=_SLOWEST_RATE, most=_FASTEST_RATE)


class PaceState(NamedTuple):
    """State of a pacer; times are seconds of the clock that its users share.

    :param at: when it was last changed
    :param next_moment: the next moment that is free
    :param slowed: distance after the last decrease of the rate, as a multiple of the shortest
    :param refused: number of 429s before the first of them may be sent again
    :param back_at: when the last refused request may be sent again
    :param held_until: when a hold ends
    :param taken: the last moments that were taken, at most ``MOST_TAKEN``, in ascending order
    """

    at: float = -inf
    next_moment: float = -inf
    slowed: float = 1.0
    refused: int = 0
    back_at: float = -inf
    held_until: float = -inf
    taken: tuple[float, ...] = ()


IDLE = PaceState()
"""State of a flow that nobody has invoked yet."""
_SAME_CLOCK = 1.0
"""Seconds by which the last change may be in the future. Beyond that, its times are those of another clock, for example
from before the machine was started, or of another Redis server, and the flow counts as idle."""


class Pacer:
    """Evenly spaced moments for sending to one flow, adapted to the 429s of its host.

    :param max_rate: invocations per second, more than 0
    :param state: state of another pacer from which this one goes on
    """

    def __init__(self, max_rate: float = FLOW_RATE, state: PaceState = IDLE) -> None:
        self.state = state
        self._shortest = _MARGIN / max_rate
        self._together = max(1, min(int(max_rate), MOST_TAKEN))
        self._window = _WINDOW_MARGIN * self._together / max_rate

    def reserve(self, now: float) -> float:
        """Reserve the next free moment, and return the seconds until it can be taken; 0 if it has been taken at once.

        :param now: the time, in seconds of a monotonic clock
        """
        state = self._state_at(now)
        _, next_moment, slowed, refused, back_at, held_until, taken = state
        moment = max(now, next_moment)
        wait = moment - now or self._wait_for_others(taken, now)
        if not wait:
            taken = (*taken, now)[-MOST_TAKEN:]
        next_moment = moment + self._distance(state, moment)
        # Not _replace, which takes four times as long: each invocation takes a turn.
        self.state = PaceState(now, next_moment, slowed, refused, back_at, held_until, taken)
        return wait

    def take(self, now: float) -> float:
        """Take the reserved moment, which has come, and return 0; or return the seconds until it can be taken.

        A hold voids the moment; then another one is reserved.

        :param now: the time, in seconds of the same clock
        """
        if self.holds(now):
            return self.reserve(now)
        state = self._state_at(now)
        wait = self._wait_for_others(state.taken, now)
        if not wait:
            self.state = state._replace(at=now, taken=(*state.taken, now)[-MOST_TAKEN:])
        return wait

    def release(self, now: float) -> None:
        """Give back one reserved moment that nobody will take.

        :param now: the time, in seconds of the same clock
        """
        state = self._state_at(now)
        earlier = state.next_moment - self._distance(state, state.next_moment)
        self.state = state._replace(at=now, next_moment=max(now, state.held_until, earlier))

    def hold(self, now: float, seconds: float) -> None:
        """Slow down after a 429; if it is not an isolated one, hold back until the host accepts requests again.

        :param now: the time, in seconds of the same clock
        :param seconds: the wait that the host asked for; the hold is at most a minute
        """
        seconds = min(seconds, _LONGEST_SHARED)
        state = self._state_at(now)
        slowed, refused = self._distance(state, now) / self._shortest, state.refused
        if now >= state.back_at:
            refused = 0
            slowed *= _SLOWED_A_LITTLE
        refused += 1
        holds = refused >= _TOO_MANY or seconds > _OWN_WAIT
        if holds and not self.holds(now):
            # Only once for all invocations that were refused together.
            slowed *= _SLOWED
        back_at = max(state.back_at, now + seconds)
        self.state = state._replace(
            at=now,
            slowed=min(slowed, _SLOWEST),
            refused=refused,
            back_at=back_at,
            held_until=back_at if holds else state.held_until,
            next_moment=max(state.next_moment, back_at) if holds else state.next_moment,
        )

    def holds(self, now: float) -> bool:
        """Return whether a hold is in force, which voids the moments reserved before it.

        :param now: the time, in seconds of the same clock
        """
        return now < self._state_at(now).held_until

    def _state_at(self, now: float) -> PaceState:
        return self.state if self.state.at <= now + _SAME_CLOCK else IDLE

    def _wait_for_others(self, taken: tuple[float, ...], now: float) -> float:
        """Return the seconds until one more moment may be taken after those that were taken last."""
        if len(taken) < self._together:
            return 0.0
        return max(0.0, taken[-self._together] + self._window - now)

    def _distance(self, state: PaceState, now: float) -> float:
        quiet = max(0.0, now - state.back_at)
        doubled_after = _DOUBLED_AFTER * sqrt(state.slowed)
        return self._shortest * max(1.0, state.slowed / (1 + (quiet / doubled_after) ** 4))
