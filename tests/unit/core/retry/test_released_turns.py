"""Requesters that give up while they wait for their turn, in virtual time: the others get what they release."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.retry.pacer import FLOW_RATE, MOST_TAKEN, Pacer

ROUNDING = 1e-9


def times_taken(arrivals: list[float], patience: float, pause: float, rate: float) -> list[float]:
    """Return when each requester takes its turn. One that waits for longer than its patience asks again after a pause.

    Nothing happens later than 1000 s: whoever still waits then never gets a turn.
    """
    pacer, taken = Pacer(rate), []
    # The time of each requester's next step, who it is, and since when it waits; None if it has no reservation.
    steps: list[tuple[float, int, float | None]] = [(now, who, None) for who, now in enumerate(arrivals)]
    heapify(steps)
    while steps and steps[0][0] < 1000.0:
        now, who, since = heappop(steps)
        if since is not None and now >= since + patience:
            pacer.release(now)
            heappush(steps, (now + pause, who, None))
            continue
        seconds = pacer.reserve(now) if since is None else pacer.take(now)
        since = now if since is None else since
        if seconds:
            heappush(steps, (min(now + seconds, since + patience), who, since))
        else:
            taken.append(now)
    return taken


# Whoever asks again at once gets the last moment in the queue, where the one before it did, too. So the first moments
# that were released together stay unused.
@pytest.mark.parametrize(("pause", "most"), [(0.0, 1.6), (0.01, 1.1), (0.5, 1.3)])
def test_requesters_that_give_up_and_ask_again_use_the_flow(pause: float, most: float) -> None:
    taken = times_taken([0.0] * 40, 1.5, pause, FLOW_RATE)

    assert len(taken) == 40
    assert taken[-1] <= most * 40 / FLOW_RATE


@given(
    st.lists(st.floats(0, 3), min_size=2, max_size=60) | st.integers(20, 60).map(lambda count: [0.0] * count),
    st.floats(1.0, 5.0),
    st.floats(0.0, 1.0),
    st.sampled_from([2.0, FLOW_RATE, 30.0]),
)
def test_all_get_their_turn_and_no_second_has_more_than_the_rate(
    arrivals: list[float], patience: float, pause: float, rate: float
) -> None:
    taken = times_taken(arrivals, patience, pause, rate)

    assert len(taken) == len(arrivals)
    assert taken[-1] <= max(arrivals) + 2 * len(arrivals) / rate / 0.97 + patience + pause
    together = min(int(rate), MOST_TAKEN)
    for first, one_too_many in zip(taken, taken[together:], strict=False):
        assert one_too_many - first >= together / rate - ROUNDING


def test_a_released_moment_is_given_again() -> None:
    pacer = Pacer(FLOW_RATE)
    first, second, third = (pacer.reserve(0.0) for _ in range(3))
    pacer.release(0.01)

    assert first == 0.0
    assert 0.01 + pacer.reserve(0.01) == pytest.approx(third)
    assert second < third


def test_no_release_reaches_into_the_past_or_into_a_hold() -> None:
    pacer = Pacer(FLOW_RATE)
    pacer.reserve(0.0)
    for _ in range(5):
        pacer.release(1.0)
    assert pacer.state.next_moment == 1.0

    pacer.hold(1.0, 20.0)
    for _ in range(5):
        pacer.release(2.0)
    assert pacer.reserve(2.0) == 19.0
