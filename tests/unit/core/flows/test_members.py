"""What a message shows of a response where a condition is not true."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.flows.expressions import Expression
from airflow_okta_workflows.core.flows.members import describe_body

SECRET = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIwb2ExYjJjM2Q0In0.c2lnbmF0dXJl"


def described(text: str, body: Any, content_type: str = "") -> str:
    return Expression(text, "success_when").describe(body, content_type)


@pytest.mark.parametrize(
    ("text", "body", "sentence"),
    [
        ("status == 'OK'", {"status": "PENDING"}, "status is 'PENDING'"),
        ("status == 'OK' && count > `1`", {"status": "OK", "count": 1}, "status is 'OK', count is 1"),
        ("!done || done == `true`", {"done": None}, "done is null"),
        ("job.state == 'x'", {"job": {"state": False}}, "job.state is false"),
        ("jobs[-1].\"the state\" == 'x'", {"jobs": [{"the state": 1.5}]}, 'jobs[-1]."the state" is 1.5'),
        ("length(items) > `1`", {"items": [1]}, "items is a list of 1"),
        ("jobs[?state == 'x'] | [0]", {"jobs": []}, "jobs is a list of 0"),
        ("jobs[*].state", {"jobs": {"a": 1}}, "jobs is an object"),
        ("sort_by(jobs, &n)[0].n", {"jobs": []}, "jobs is a list of 0"),
        ("{a: one, b: two}.a == 'x'", {"one": "1", "two": "2"}, "one is '1', two is '2'"),
        ("@ == 'DONE'", "RUNNING", "@ is 'RUNNING'"),
        ("status", {"status": ""}, "status is ''"),
        ("status == 'OK'", {"state": "x", "at": 1}, "status is not in the response"),
        ("status == 'OK'", {}, "status is not in the response"),
        ("status == 'OK'", [{"status": "OK"}], "status is not in the response"),
        ("status == 'OK'", "<p>", "the response is text (text/html), not JSON"),
        ("status == 'OK'", None, "the response is empty"),
        ("status == 'OK'", 5, "the response is 5"),
        ("`false`", {"a": 1}, "the response is an object with a"),
        (
            "a && b && c && d && e",
            {"a": 1, "b": 1, "c": 1, "d": 1},
            "a is 1, b is 1, c is 1, d is 1, e is not in the response",
        ),
        ("a && b && c", {"a": "x" * 40, "b": "y" * 40, "c": 1}, f"a is '{'x' * 40}', b is '{'y' * 40}'"),
    ],
)
def test_what_a_condition_looks_at_is_shown(text: str, body: Any, sentence: str) -> None:
    assert described(text, body, "text/html; charset=utf-8") == sentence


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("value", {"value": SECRET}),
        ("password == 'x'", {"password": "hunter2"}),
        ("user.api_token", {"user": {"api_token": "hunter2"}}),
        ("status", {SECRET: 1, "hunter2\n[INFO] forged": 2}),
        ("value", {"value": "hunter2\n[INFO] forged"}),
        ("value", {"value": "hunter2 " * 30}),
        ("status", "hunter2"),
        ("status", {"\ud800hunter2": 1}),
    ],
)
def test_nothing_that_may_be_a_secret_is_shown(text: str, body: Any) -> None:
    said = described(text, body, "hunter2/\n" + SECRET) + describe_body(body, SECRET)

    assert "hunter2" not in said
    assert SECRET not in said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"state": 1, "at": 2}, "an object with state, at"),
        (
            {f"name{number}": 1 for number in range(1000)},
            "an object with " + ", ".join(f"name{n}" for n in range(10)) + ", 990 more",
        ),
        ({SECRET: 1, "": 2}, "an object with 2 more"),
        ({}, "an empty object"),
        ([1, 2], "a list of 2"),
        ("<p>", "text (text/html), not JSON"),
        (None, "empty"),
        (5, "5"),
    ],
)
def test_a_body_is_described_by_its_kind_and_the_names_of_its_members(body: Any, sentence: str) -> None:
    assert describe_body(body, "text/html; charset=utf-8") == sentence


@pytest.mark.parametrize(
    ("text", "body", "sees"),
    [
        ("status == 'OK'", {"status": None}, True),
        ("status == 'OK' && result", {"result": 1}, True),
        ("status == 'OK'", {"state": "OK"}, False),
        ("status == 'OK'", "OK", False),
        ("status == 'OK'", None, False),
        ("[0].status == 'OK'", [], False),
        ("jobs[0]", {"jobs": [1]}, True),
        ("jobs[0]", {"jobs": {"0": 1}}, False),
        ("@ == 'OK'", None, True),
        ("`true`", None, True),
    ],
)
def test_a_condition_can_see_a_body_that_has_one_of_its_members(text: str, body: Any, sees: bool) -> None:
    assert Expression(text, "success_when").can_see(body) is sees


@pytest.mark.parametrize(
    ("text", "body", "problem"),
    [
        ("status == 'OK'", {"state": "x"}, "finds nothing at status: the response is an object with state"),
        ("job.Status == 'OK'", {"job": {"status": "x"}}, "finds nothing at job.Status: job is an object with status"),
        ("job.status == 'OK'", {"job": "x"}, "finds nothing at job.status: job is 'x'"),
        ("status == 'OK'", "<p>", "finds nothing: the response is text (text/html), not JSON"),
        ("a == 'x' && B", {"a": "x", "b": 1}, "finds nothing at B: the response is an object with a, b"),
        ("A == 'x' && B", {}, "finds nothing at A: the response is an empty object; finds nothing at B: the response"
            " is an empty object"),
        ("a || B", {"c": 1}, "finds nothing at a: the response is an object with c; finds nothing at B: the response"
            " is an object with c"),
        ("not_null(A, B)", {"a": 1}, "finds nothing at A: the response is an object with a; finds nothing at B: the"
            " response is an object with a"),
        ("length(items) > `1`", {"rows": 1}, "finds nothing at items: the response is an object with rows"),
        ("length(items[?Status == 'x']) == `1`", {"items": [{"status": "x"}, {"status": "y"}]},
            "finds nothing at items[*].Status: items[*] is an object with status"),
        ("items[?state == 'x'] | [0]", {"items": ["x"]}, "finds nothing at items[*].state: items[*] is 'x'"),
        ("[?state == 'x']", [{"a": 1}], "finds nothing at [*].state: [*] is an object with a"),
        ("items[*].state", {"items": [{"a": 1}]}, "finds nothing at items[*].state: items[*] is an object with a"),
        ("jobs.*.state", {"jobs": {"j": {"a": 1}}}, "finds nothing at jobs[*].state: jobs[*] is an object with a"),
        ("a[?b[?C]]", {"a": [{"b": [{"c": 1}]}]}, "finds nothing at a[*].b[*].C: a[*].b[*] is an object with c"),
        ("items[?done == 'true']", {"items": [{"done": True}]}, "compares a string with items[*].done, which is true"),
        ("done == 'true'", {"done": True}, "compares a string with done, which is true"),
        ("`5` == count", {"count": "5"}, "compares a number with count, which is '5'"),
        ("status == 'done'", {"status": "DONE"}, "compares 'done' with status, which is 'DONE': upper and lower case"
            " differ"),
    ],
)  # fmt: skip
def test_a_condition_that_cannot_be_true_says_what_it_sees_instead(text: str, body: Any, problem: str) -> None:
    said = Expression(text, "success_when").blindness(body, "text/html")

    assert said == f"success_when {text!r} {problem}."


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("status == 'OK'", {"status": "RUNNING"}),
        ("status == 'OK'", {"status": None}),
        ("a || status == 'OK'", {"status": "RUNNING"}),
        ("not_null(a, b)", {"b": None}),
        ("!error && status == 'OK'", {"status": "x"}),
        ("error == null && status == 'OK'", {"status": "x"}),
        ("error == `null` && status == 'OK'", {"status": "x"}),
        ("state != 'RUNNING' && status == 'OK'", {"status": "x"}),
        ("items[?status == 'x']", {"items": []}),
        ("items[?status == 'x']", {"items": None}),
        ("items[?status == 'x']", {"items": [{"a": 1}, {"status": "y"}]}),
        ("items[?kind == 'x'].detail", {"items": [{"kind": "y"}]}),
        ("{ne: a, not_null: b}.ne", {"a": 1, "b": 1}),
        ("abs(a)[?b]", {"a": "x"}),
        ("`false`", {"a": 1}),
        ("@ == 'x'", "y"),
        (" && ".join(["a"] * 5000), {"b": 1}),
    ],
)
def test_a_condition_that_may_come_true_is_no_problem(text: str, body: Any) -> None:
    assert Expression(text, "success_when").blindness(body) == ""


@given(
    st.sampled_from(["a", "a.b[0]", "a == 'x' && !b", "[?a].b", "a[].b | [0]", "length(@)", "*.a", "{x: a, y: b}"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab") | st.text(), inner),
    ),
    st.text(),
)
def test_any_body_is_described_on_one_short_line(text: str, body: Any, content_type: str) -> None:
    blindness = Expression(text, "success_when").blindness(body, content_type) or "nothing"
    for said, limit in (
        (described(text, body, content_type), 140), (describe_body(body, content_type), 500), (blindness, 1500),
    ):  # fmt: skip
        assert 0 < len(said) <= limit
        assert said.isprintable(), json.dumps(said)
