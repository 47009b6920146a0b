"""When the log says that the polls of a flow wait for their turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_okta_workflows.pace import slow_polls
from airflow_okta_workflows.pace.slow_polls import SlowPolls

Warnings = Callable[[], int]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Warnings]:
    slow_polls._warned.clear()
    yield lambda: sum("poke_interval" in record.getMessage() for record in caplog.records)
    slow_polls._warned.clear()


def record(polls: SlowPolls, seconds: float) -> None:
    if polls.record(seconds):
        polls.warn(seconds)


@pytest.mark.parametrize(
    ("waits", "told"),
    [
        ([7.0, 7.0, 7.0], 1),
        ([7.0] * 10, 1),
        ([61.0], 1),
        ([50.0, 30.0], 0),
        ([50.0, 30.0, 5.0, 50.0, 30.0], 0),
        ([5.9] * 10, 0),
        ([0.0] * 10, 0),
    ],
)
def test_polls_that_are_slow_for_long_are_told_once(waits: list[float], told: int, warnings: Warnings) -> None:
    polls = SlowPolls("provision_status", 60.0)
    for seconds in waits:
        record(polls, seconds)

    assert warnings() == told


def test_a_thousand_sensors_of_one_flow_warn_once(warnings: Warnings) -> None:
    for _ in range(1000):
        record(SlowPolls("provision_status", 60.0), 100.0)
    record(SlowPolls("another_status", 60.0), 100.0)

    assert warnings() == 2


def test_a_short_interval_is_not_slowed_by_less_than_a_second(warnings: Warnings) -> None:
    polls = SlowPolls("provision_status", 0.1)
    for _ in range(10):
        record(polls, 0.9)
    assert warnings() == 0


def test_a_flow_that_may_be_a_key_is_not_quoted(warnings: Warnings, caplog: pytest.LogCaptureFixture) -> None:
    record(SlowPolls("x9" * 100, 60.0), 100.0)

    assert warnings() == 1
    assert "x9x9" not in caplog.text
