"""The moments at which a flow's invocations may go, as a host that counts its own seconds sees them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.retry.pacer import FLOW_RATE, Pacer, PaceState

OFF = 0.015
"""Seconds by which an invocation may reach the host earlier or later than the moment that was meant."""
ROUNDING = 1e-9


def moments(pacer: Pacer, count: int, now: float = 0.0) -> list[float]:
    """Take so many moments at once, as the callers of a batch do."""
    return [now + pacer.reserve(now) for _ in range(count)]


def distances(moments: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(moments)]


offs = st.sampled_from([-OFF, 0.0, OFF]) | st.floats(-OFF, OFF)
gaps = st.just(0.0) | st.floats(0.0, 3.0)


@given(st.integers(1, 60), st.lists(st.tuples(gaps, offs), min_size=2, max_size=150))
def test_any_second_of_the_host_holds_no_more_than_the_rate(rate: int, callers: list[tuple[float, float]]) -> None:
    pacer, now, arrivals = Pacer(rate), 0.0, []
    for gap, off in callers:
        now += gap
        arrivals.append(now + pacer.reserve(now) + off)
    arrivals.sort()

    for first, one_too_many in zip(arrivals, arrivals[rate:], strict=False):
        assert one_too_many - first >= 1.0 - ROUNDING


@pytest.mark.parametrize("rate", [0.1, 0.5, 1, 10, 37.5, 200])
def test_the_rate_is_reached(rate: float) -> None:
    count = 1000
    took = moments(Pacer(rate), count)[-1]

    assert count / took >= 0.97 * rate
    assert count / took <= rate


def test_a_flow_that_was_left_alone_is_free_at_once_and_saves_nothing_up() -> None:
    pacer = Pacer(FLOW_RATE)
    assert pacer.reserve(1000.0) == 0.0
    assert pacer.reserve(5000.0) == 0.0

    assert moments(pacer, 30, 9000.0)[-1] >= 9000.0 + 29 / FLOW_RATE


def test_below_one_a_second_they_are_seconds_apart() -> None:
    assert all(4.0 <= distance <= 4.0 / 0.97 for distance in distances(moments(Pacer(0.25), 20)))


def test_a_hold_gives_out_nothing_before_its_end_and_voids_what_was_given_out() -> None:
    pacer = Pacer(FLOW_RATE)
    given_out = moments(pacer, 10)

    pacer.hold(0.3, 20.0)

    assert all(pacer.holds(moment) for moment in given_out if moment >= 0.3)
    assert min(moments(pacer, 10, 0.3)) >= 20.3
    assert pacer.holds(20.2)
    assert not pacer.holds(20.3)


def test_moments_beyond_the_end_of_a_hold_stay_and_are_not_given_out_twice() -> None:
    pacer = Pacer(FLOW_RATE)
    given_out = moments(pacer, 100)

    pacer.hold(1.0, 2.0)
    again = moments(pacer, 10, 1.0)

    stay = [moment for moment in given_out if moment > 1.0 and not pacer.holds(moment)]
    assert len(stay) > 50
    assert min(distances(sorted(stay + again))) >= 1 / FLOW_RATE


def test_the_longest_of_several_holds_counts() -> None:
    pacer = Pacer(FLOW_RATE)
    pacer.hold(0.0, 10.0)
    pacer.hold(1.0, 1.0)
    assert pacer.reserve(1.0) == 9.0

    pacer.hold(2.0, 30.0)
    assert pacer.holds(31.0)


def test_a_hold_of_a_day_is_one_of_a_minute_which_each_later_refusal_renews() -> None:
    pacer = Pacer(FLOW_RATE)
    pacer.hold(0.0, 86_400.0)
    assert pacer.reserve(0.0) == 60.0

    pacer.hold(60.5, 86_400.0)
    assert pacer.reserve(60.5) == 60.0


@pytest.mark.parametrize("refused", [1, 2])
def test_one_or_two_refusals_cost_little_and_hold_nobody(refused: int) -> None:
    pacer = Pacer(FLOW_RATE)
    given_out = moments(pacer, 5)

    for number in range(refused):
        pacer.hold(0.3 + number / 10, 1.0)

    assert not any(pacer.holds(moment) for moment in given_out)
    following = distances(moments(pacer, 5, 0.5))
    assert max(following) < 1.05 * min(distances(given_out)) < 1.05 * min(following)


def test_the_third_refusal_before_the_first_may_come_back_holds_all_until_then() -> None:
    pacer = Pacer(FLOW_RATE)
    for now in (0.3, 0.4, 0.5):
        assert not pacer.holds(now)
        pacer.hold(now, 1.0)

    assert pacer.holds(1.4)
    assert not pacer.holds(1.5)
    assert pacer.reserve(0.6) == pytest.approx(0.9)


def slowed(*refusals: tuple[float, float], rate: float = FLOW_RATE) -> list[float]:
    """Return the distances that are kept after refusals, each with its moment and the wait that it asked for."""
    pacer = Pacer(rate)
    for now, seconds in refusals:
        pacer.hold(now, seconds)
    end = refusals[-1][0] + refusals[-1][1]
    return distances(moments(pacer, 400, end))


def test_several_refusals_together_slow_down_once() -> None:
    once, together = slowed((0.0, 20.0)), slowed(*[(0.001 * n, 20.0) for n in range(60)])

    assert once == pytest.approx(together)
    assert once[0] > 1.2 / FLOW_RATE


def test_each_refusal_after_a_hold_slows_down_further_but_not_without_end() -> None:
    first = [slowed(*[(6.0 * n, 5.0) for n in range(count)])[0] for count in (1, 2, 3, 100, 200)]

    assert first[0] < first[1] < first[2] < first[3] < 30 / FLOW_RATE
    assert first[4] == pytest.approx(first[3])


@pytest.mark.parametrize("refusals", [1, 5, 100])
@pytest.mark.parametrize("rate", [0.5, 10, 100])
def test_the_full_rate_is_found_again_hardly_faster_at_first(refusals: int, rate: float) -> None:
    after = slowed(*[(6.0 * n, 5.0) for n in range(refusals)], rate=rate)
    full = distances(moments(Pacer(rate), 2))[0]

    assert max(distances(after)) <= ROUNDING, "it only gets faster"
    assert after[0] == pytest.approx(after[1], rel=0.01)
    pacer = Pacer(rate)
    for number in range(refusals):
        pacer.hold(6.0 * number, 5.0)
    back = 6.0 * refusals
    assert distances(moments(pacer, 3, back + (60.0 if refusals == 1 else 400.0)))[1] == pytest.approx(full)


@given(
    st.floats(0.1, 200),
    st.lists(st.tuples(gaps, st.none() | st.floats(0.25, 100)), max_size=80),
)
def test_any_course_of_refusals_keeps_the_distance(rate: float, course: list[tuple[float, float | None]]) -> None:
    """A None is a caller who wants a moment, a number a 429 that asks to wait so long."""
    pacer, now, back_at, held_until, last = Pacer(rate), 0.0, -1.0, -1.0, None
    for gap, seconds in course:
        now += gap
        if seconds is not None:
            pacer.hold(now, seconds)
            back_at = max(back_at, now + min(seconds, 60.0))
            held_until = back_at if seconds > 2 else held_until
            continue
        moment = now + pacer.reserve(now)
        assert moment >= max(now, held_until) - ROUNDING
        assert last is None or moment - last >= 1 / rate - ROUNDING
        last = moment
    assert pacer.reserve(now) <= max(back_at - now, 0.0) + (len(course) + 1) * 30 / rate


def test_a_state_from_the_future_is_that_of_an_idle_flow() -> None:
    """As a Redis server has it that takes over from one whose clock was an hour ahead."""
    hour = 3600.0
    state = PaceState(hour, hour + 1, 20.0, 3, hour + 30, hour + 30, tuple(hour - n / 10 for n in range(10, 0, -1)))

    assert Pacer(FLOW_RATE, state).reserve(0.0) == 0.0
    assert Pacer(FLOW_RATE, state).take(0.0) == 0.0, "neither the hold nor the moments taken before count"
    held = Pacer(FLOW_RATE, state)
    held.hold(0.0, 1.0)
    assert held.state.back_at == 1.0
