from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.flows.expressions import Expression, ExpressionError, compile_optional
from airflow_okta_workflows.core.flows.status import Status, StatusRule

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "body", "holds"),
    [
        ("status == 'OK'", {"status": "OK"}, True),
        ("status == 'OK'", {"status": "BAD"}, False),
        ("status == 'OK'", {}, False),
        ("status == 'OK'", None, False),
        ("status == 'OK'", "a text", False),
        ("items", {"items": []}, False),
        ("items", {"items": [1]}, True),
        ("count", {"count": 0}, True),
        ("done", {"done": False}, False),
        ("name", {"name": ""}, False),
        ("@", {}, False),
        ("length(items) > `1`", {"items": [1, 2]}, True),
    ],
)
def test_a_condition_holds_as_jmespath_says(text: str, body: Any, holds: bool) -> None:
    assert Expression(text, "success_when").is_true(body) is holds


def test_no_expression_is_none() -> None:
    assert compile_optional(None, "result") is None


@pytest.mark.parametrize("text", ["status ==", "", "a.b.", "a[", "(" * 5000, "nope(@)[", 5, None])
def test_what_is_not_jmespath_is_refused(text: Any) -> None:
    with pytest.raises(CoreError, match="success_when"):
        Expression(text, "success_when")


def test_an_expression_that_cannot_be_evaluated_does_not_show_the_body() -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression("length(@)", "result").search(12345678)

    assert "12345678" not in str(caught.value)
    assert caught.value.__context__ is None


@example("``", None)
@given(st.text(max_size=30), JSON)
def test_any_expression_over_any_body_is_typed(text: str, body: Any) -> None:
    with contextlib.suppress(CoreError, ExpressionError):
        Expression(text, "result").is_true(body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "RUNNING"}, Status.RUNNING),
        ({"status": "SUCCEEDED"}, Status.SUCCEEDED),
        ({"status": "FAILED"}, Status.FAILED),
        ({}, Status.RUNNING),
        (None, Status.RUNNING),
    ],
)
def test_a_status_rule_reads_the_respond(body: Any, status: Status) -> None:
    assert StatusRule("status == 'SUCCEEDED'", "status == 'FAILED'").status(body) is status


def test_a_failure_counts_before_a_success_and_may_be_left_out() -> None:
    assert StatusRule("done", "broken").status({"done": True, "broken": True}) is Status.FAILED
    assert StatusRule("done", None).status({"done": True, "broken": True}) is Status.SUCCEEDED


def test_the_result_is_selected_or_all() -> None:
    assert StatusRule("done", None, "value").result({"value": 1}) == 1
    assert StatusRule("done", None).result({"value": 1}) == {"value": 1}
