from __future__ import annotations

import contextlib
from typing import Any

import jmespath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.flows.expressions import Expression, ExpressionError, compile_optional
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.flows.status import Status, StatusRule, is_not_found
from airflow_okta_workflows.core.http.types import Headers

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def response(body: Any, status_code: int = 200, execution_id: str | None = None) -> FlowResponse:
    return FlowResponse(status_code, Headers({"Content-Type": "text/plain"}), body, execution_id, 0.1)


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


@pytest.mark.parametrize("text", ["status == `OK`", 'status == `"OK"`', "status == 'OK'", "'OK' == status"])
def test_each_way_to_write_a_text_compares_the_same(text: str) -> None:
    assert Expression(text, "success_when").is_true({"status": "OK"})
    assert not Expression(text, "success_when").is_true({"status": "BAD"})


@pytest.mark.parametrize(
    "text",
    [
        "status == '{{ params.status }}'", "{{ condition }}", "{% if x %}a{% endif %}", "a == '{{x}}' && b",
        "status == '{%- raw %}'",
    ],
)  # fmt: skip
@pytest.mark.parametrize("parameter", ["success_when", "failure_when", "result", "item_key"])
def test_a_template_is_refused_with_the_reason(text: str, parameter: str) -> None:
    with pytest.raises(CoreError, match=rf"(?s){parameter} has a Jinja template: .* It is not rendered"):
        Expression(text, parameter)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ('status == "SUCCEEDED"', "single quotes"),
        ('(status) != "IN PROGRESS"', "single quotes"),
        ('jobs[?state=="DONE"]', "single quotes"),
        ("done == true", "`true`"),
        ("done==True && ok", "`true`"),
        ("false != done", "`false`"),
        ("jobs[?done == false]", "`false`"),
        ("count == 5", "backticks"),
        ("status == SUCCEEDED", "single quotes"),
        ("IN_PROGRESS != job.status", "single quotes"),
        ("items[?state == DONE]", "single quotes"),
        ('contains(tags, "DONE")', "single quotes"),
        ('!starts_with(status, "done ")', "single quotes"),
        ("ends_with(status, OK)", "single quotes"),
        ('join(", ", names)', "single quotes"),
        ("[?contains(tags, TRUE)]", "`true`"),
    ],
)
def test_a_name_where_a_literal_is_meant_is_refused(text: str, fix: str) -> None:
    with pytest.raises(CoreError) as caught:
        Expression(text, "success_when")

    assert fix in caught.value.hint


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("\"the state\" == 'x'", {"the state": "x"}),
        ('a == "b c".d', {"a": 1, "b c": {"d": 1}}),
        ("error == null", {"a": 1}),
        ("flags.true == `1`", {"flags": {"true": 1}}),
        ("a == b", {"a": 1, "b": 1}),
        ("{a: {b: c}}", {"c": 1}),
        ("STATUS == 'x'", {"STATUS": "x"}),
        ("STATE == EXPECTED", {"STATE": 1, "EXPECTED": 1}),
        ("job.ID == PARENT", {"job": {"ID": 1}, "PARENT": 1}),
        ("error == NULL", {"a": 1}),
        ("a == B", {"a": 1, "B": 1}),
        ("contains(\"the tags\", 'x')", {"the tags": ["x"]}),
        ('contains(tags, @."the tag")', {"tags": ["x"], "the tag": "x"}),
        ('a == "a" && a', {"a": 1}),
        ('not_null(x, "the y")', {"the y": 1}),
        ("contains('A B', CODE)", {"CODE": "A"}),
    ],
)
def test_names_are_names_where_they_are_meant_as_such(text: str, body: Any) -> None:
    assert Expression(text, "success_when").is_true(body)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("foo(status)", "success_when calls 'foo', and JMESPath has no such function."),
        ("lenght(items) > `0`", "Did you mean length()?"),
        ("a[?Contains(b, 'x')]", "Did you mean contains()?"),
        ("length()", "calls length() with 0 arguments."),
        ("length(a, b)", "Write it as length(string|array|object)."),
        ("contains(a)", "calls contains() with 1 argument."),
        ("not_null()", "Write it as not_null(any, …)."),
        ("sort_by(a)", "Write it as sort_by(array, expref)."),
        ("{a: b.lenght(@)}", "has no such function"),
        ("sort_by(a, &lenght(@))", "has no such function"),
    ],
)
def test_a_call_that_can_only_fail_is_refused(text: str, said: str) -> None:
    with pytest.raises(CoreError) as caught:
        Expression(text, "success_when")

    assert said in f"{caught.value.message} {caught.value.hint}"


def test_functions_take_as_many_arguments_as_jmespath_says() -> None:
    assert Expression("not_null(a, b, c)", "result").search({"c": 1}) == 1
    assert Expression("merge({a: a}, {b: b})", "result").search({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    assert Expression("a[0:2]", "result").search({"a": [1, 2, 3]}) == [1, 2]


@pytest.mark.parametrize(
    ("text", "body", "reason"),
    [
        ("length(n) > `1`", {"n": 5}, "length() takes string or array or object, not number, and n is 5"),
        ("count > '5'", {"count": 7}, "> cannot compare number with string, and count is 7"),
        ("sum(n)", {"n": ["secret value"]}, "sum() takes array of number, not string, and n is a list of 1"),
        ("contains(a, 'x')", {}, "contains() takes array or string, not null, and a is not in the response"),
        ("max_by(n, &x)", {"n": [{"x": None}]}, "max_by() takes number or string, not null, and n is a list of 1"),
    ],
)
def test_an_evaluation_that_fails_says_which_types_do_not_fit(text: str, body: Any, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(text, "result").search(body)

    assert str(caught.value) == f"result {text!r} cannot be evaluated over the response: {reason}"


def test_as_many_expressions_as_a_dag_processor_meets_are_compiled() -> None:
    # jmespath frees its own cache at 128, and ours is larger.
    assert all(Expression(f"field_{number} == 'OK'", "success_when") for number in range(300))


def test_no_expression_is_none() -> None:
    assert compile_optional(None, "result") is None


@pytest.mark.parametrize("text", ["status ==", "", "a.b.", "a[", "(" * 5000, "nope(@)[", 5, None])
def test_what_is_not_jmespath_is_refused(text: Any) -> None:
    with pytest.raises(CoreError, match="success_when"):
        Expression(text, "success_when")


def test_an_expression_that_cannot_be_evaluated_does_not_show_the_body() -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression("abs(name)", "result").search({"name": "x" * 100, "note": "12345678"})

    assert str(caught.value).endswith("abs() takes number, not string, and name is a value of 100 characters")
    assert caught.value.__context__ is None


@given(
    st.sampled_from(["status", '"run status"']),
    st.text(st.characters(exclude_characters="'\\{", exclude_categories=["Cs"]), max_size=10),
    JSON,
)
@example("status", "DONE", {"status": "DONE"})
@example("status", "", {"status": None})
@example("status", "1", {"status": 1})
def test_any_comparison_with_a_string_is_what_jmespath_says(member: str, string: str, value: Any) -> None:
    text = f"{member} == '{string}'"
    for body in (value, {"status": value}, {"run status": value}, {"status": string}, {"run status": string}):
        assert Expression(text, "success_when").is_true(body) is bool(jmespath.search(text, body))
        assert Expression(text, "result").search(body) == jmespath.search(text, body)
        assert Expression(member, "result").search(body) == jmespath.search(member, body)


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
    assert StatusRule("done", None, "value").result(response({"value": 1})) == 1
    assert StatusRule("done", None).result(response({"value": 1})) == {"value": 1}


def test_a_result_of_a_response_that_is_no_json_says_what_came() -> None:
    rule = StatusRule("done", None, "value.id")

    with pytest.raises(ExpressionError, match=r"result selects nothing: the response is text .text/plain., not JSON"):
        rule.result(response("hello"))
    with pytest.raises(ExpressionError, match="result selects nothing: the response is empty"):
        rule.result(response(None))
    assert StatusRule("done", None, "@").result(response("hello")) == "hello"
    assert rule.result(response({"other": 1})) is None
    assert "result 'value.id' finds nothing at value.id: the response is an object with other" in rule.result_problem(
        response({"other": 1})
    )


@pytest.mark.parametrize("failure_when", ["status == 'FAILED'", None])
@pytest.mark.parametrize("success_when", ["status == 'SUCCEEDED'", "status != 'RUNNING'", "status"])
def test_a_run_that_is_not_known_yet_has_not_finished(success_when: str, failure_when: str | None) -> None:
    assert StatusRule(success_when, failure_when).status({"status": "NOT_FOUND"}) is Status.RUNNING


def test_a_condition_on_a_run_that_is_not_known_decides() -> None:
    assert StatusRule("status == 'NOT_FOUND'", None).status({"status": "NOT_FOUND"}) is Status.SUCCEEDED
    assert StatusRule("done", "status == 'NOT_FOUND'").status({"status": "NOT_FOUND"}) is Status.FAILED


def test_only_a_404_of_the_flow_itself_says_not_found() -> None:
    assert is_not_found(response({}, 404, "e1"))
    assert not is_not_found(response({}, 404))
    assert not is_not_found(response({}, 410, "e1"))
    assert not is_not_found(None)
