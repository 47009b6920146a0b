from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.http.types import Headers
from airflow_okta_workflows.core.retry.backoff import RetryBudget, backoff, retry_after_seconds

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Fri, 15 Jan 2027 08:00:09 GMT", "Date": DATE}, 9.0),
        ({"Retry-After": "Fri, 15 Jan 2027 07:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "soon", "X-Rate-Limit-Reset": "1800000003"}, 3.0),
        ({"X-Rate-Limit-Reset": "1800000005"}, 5.0),
        ({"X-Rate-Limit-Reset": "1800000005, 1800000008"}, 8.0),
        ({"X-Rate-Limit-Reset": "1800000005", "Date": "Fri, 15 Jan 2027 07:59:00 GMT"}, 65.0),
        ({"X-Rate-Limit-Reset": "1700000000"}, 0.0),
        ({"X-Rate-Limit-Reset": "never"}, None),
        ({"X-Rate-Limit-Reset": "1800000005", "Date": "yesterday"}, 5.0),
        ({"Retry-After": "9" * 40}, None),
        ({"Retry-After": "9999999999"}, 86_400.0),
        ({"Retry-After": "100000000000000"}, 86_400.0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400.0),
        ({"X-Rate-Limit-Reset": "1800000005000"}, 86_400.0),
        ({"X-Rate-Limit-Reset": "999999999999999"}, 86_400.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "9" * 15}, 86_400.0),
        ({"Retry-After": "9" * 16}, None),
        ({"X-Rate-Limit-Reset": "1800000005,1800000008"}, 8.0),
    ],
)
def test_a_429_says_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(Headers(headers), NOW) == seconds


def test_the_local_clock_does_not_matter_where_the_response_has_a_date() -> None:
    headers = Headers({"X-Rate-Limit-Reset": "1800000005", "Date": DATE})

    assert retry_after_seconds(headers, NOW + 86_400) == retry_after_seconds(headers, 0) == 5.0


def test_backoff_grows_has_jitter_and_an_end() -> None:
    assert [backoff(n, lambda: 1.0) for n in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert backoff(1, lambda: 0.0) == 0.5
    assert [backoff(n, lambda: 1.0) for n in (5, 6, 100_000)] == [16.0, 30.0, 30.0]


def test_a_budget_ends() -> None:
    budget = RetryBudget(10, lambda: 0.0)

    assert budget.spend(6.0) == 6.0
    assert budget.spend(6.0) is None
    assert budget.spend(4.0) == 4.0
    assert budget.spend(None) is None


def test_a_budget_may_be_spent_to_its_end() -> None:
    assert RetryBudget(6, lambda: 0.0).spend(6.0) == 6.0
    assert RetryBudget(6, lambda: 1.0).spend(6.0) is None, "those who were refused together come back apart"


def test_a_wait_of_nothing_is_a_backoff_that_grows() -> None:
    budget = RetryBudget(10, lambda: 1.0)

    assert [budget.spend(0.0), budget.spend(None), budget.spend(0.0)] == [1.0, 2.0, 4.0]


@given(st.lists(st.none() | st.floats(0, 100)), st.floats(0, 1))
def test_waiting_is_never_a_busy_loop_and_never_over_the_budget(asked: list[Any], chance: float) -> None:
    budget, waited = RetryBudget(120, lambda: chance), 0.0
    for one in asked:
        seconds = budget.spend(one)
        if seconds is not None:
            assert seconds > 0
            assert seconds >= 0.25 or (one and seconds >= one)
            waited += seconds
    assert waited <= 120


@given(st.dictionaries(st.sampled_from(["Retry-After", "X-Rate-Limit-Reset", "Date"]), st.text()))
def test_any_headers_give_a_wait_or_none(headers: dict[str, str]) -> None:
    seconds = retry_after_seconds(Headers(headers), NOW)

    assert seconds is None or seconds >= 0
