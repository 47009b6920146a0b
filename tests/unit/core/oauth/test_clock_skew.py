from __future__ import annotations

import pytest

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.dates import http_date
from airflow_okta_workflows.core.http.types import Headers
from airflow_okta_workflows.core.oauth.clock_skew import clock_offset, require_clock

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"


def test_the_offset_is_how_far_the_local_clock_is_ahead() -> None:
    assert clock_offset(Headers({"date": DATE}), NOW + 7) == 7
    assert clock_offset(Headers({"Date": DATE}), NOW - 7) == -7


@pytest.mark.parametrize("text", ["", "soon", "Fri, 99 Jan 2027 08:00:00 GMT", "0"])
def test_what_is_no_date_tells_no_time(text: str) -> None:
    assert http_date(text) is None
    assert clock_offset(Headers({"Date": text}), NOW) is None
    assert clock_offset(Headers(), NOW) is None


@pytest.mark.parametrize("offset", [-299, 0, 30])
def test_a_clock_by_which_an_assertion_is_valid_will_do(offset: float) -> None:
    require_clock(offset, 300)


@pytest.mark.parametrize(
    ("offset", "words"), [(31, "31 s ahead of"), (-300, "300 s behind"), (-86_400, "86400 s behind")]
)
def test_a_clock_by_which_no_assertion_is_valid_is_refused(offset: float, words: str) -> None:
    with pytest.raises(CoreError, match="clock") as caught:
        require_clock(offset, 300)

    assert words in caught.value.hint
