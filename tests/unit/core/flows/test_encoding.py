from __future__ import annotations

import datetime
import json
from collections import UserDict, UserList
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.flows.encoding import (
    check_as_parsed,
    check_headers,
    check_method,
    check_names,
    check_timeout,
    encode_payload,
    encode_query,
)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "", None, 5, "GET "])
def test_only_get_and_post_invoke_a_flow(method: Any) -> None:
    with pytest.raises(CoreError, match="method"):
        check_method(method)


def test_a_method_is_told_in_upper_case() -> None:
    assert check_method("post") == "POST"


@pytest.mark.parametrize("name", ["x-okta-workflows-client", "X-Okta-Workflows", "X-OKTA-WORKFLOWS-x"])
@pytest.mark.parametrize("check", [check_headers, encode_query, lambda names: encode_payload(names, "POST")])
def test_reserved_names_are_refused(check: Any, name: str) -> None:
    with pytest.raises(CoreError, match=r"A name in [a-z]+ begins with x-okta-workflows, which is reserved by Okta"):
        check({name: "1"})


def test_names_are_texts() -> None:
    with pytest.raises(CoreError, match="Names in headers must be strings, not int"):
        check_names({5: 1}, "headers")


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "idempotency-key", "Content-Type", "Content-Length", "Host", "Transfer-Encoding", "connection",
        "Accept-Encoding", "EXPECT", "x-api-client-token", "Upgrade", "Proxy-Authorization",
    ],
)  # fmt: skip
def test_headers_that_are_set_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(CoreError, match="cannot be set"):
        check_headers({name: "1"})


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-B: 2"}, {"X-A": "1\n2"}, {"X A": "1"}, {"X:A": "1"}, {"": "1"}, {"X-A": "\x00"}, {"X-A": "€"},
        {"X-A": "ä"}, {"X-A": "\ud800"}, {"X-A": "1", "x-a": "2"}, {"Content-Type": "text/xml"},
        {"Content-Type": "application/json; charset=latin-1"},
    ],
)  # fmt: skip
def test_headers_that_would_break_the_request_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(CoreError, match="header"):
        check_headers(headers)


def test_headers_are_texts() -> None:
    assert check_headers({"X-Count": 5, "X-Name": " a b ", "X-None": None}) == {"X-Count": "5", "X-Name": "a b"}
    assert check_headers(None) == {}
    with pytest.raises(CoreError, match="headers is of type list"):
        check_headers(["X-A"])  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    "value", ["application/json", "Application/JSON; charset=UTF-8", ' application/json;charset="utf-8"']
)
def test_a_content_type_that_says_what_is_sent_anyway_is_fine(value: str) -> None:
    assert check_headers({"content-type": value}) == {}


@pytest.mark.parametrize(
    ("query", "encoded"),
    [
        (None, ""),
        ({}, ""),
        ({"a": "b c&d=ü"}, "a=b+c%26d%3D%C3%BC"),
        ({"a": [1, 2.5], "b": True, "c": None, "d": False}, "a=1&a=2.5&b=true&d=false"),
    ],
)
def test_a_query_is_encoded(query: Any, encoded: str) -> None:
    assert encode_query(query) == encoded


@pytest.mark.parametrize("query", [{"a": {"b": 1}}, {"a": object()}, {"a": "\ud800"}, "a=b"])
def test_a_query_without_a_form_is_refused(query: Any) -> None:
    with pytest.raises(CoreError, match="query"):
        encode_query(query)


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (None, None),
        ({"name": "Zoë"}, '{"name":"Zoë"}'),
        ([1, True, None], "[1,true,null]"),
        (5, "5"),
        ('{"a": 1}', '{"a":1}'),
        ('"text"', '"text"'),
        ({"a": UserList([1, 2]), "b": UserDict({"c": (3,)})}, '{"a":[1,2],"b":{"c":[3]}}'),
    ],
)
def test_a_payload_is_encoded(payload: Any, body: str | None) -> None:
    encoded = encode_payload(payload, "POST")

    assert (encoded.decode() if encoded is not None else None) == body


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ("hello", "a string that is not JSON"),
        ("[" * 100_000, "a string that is not JSON"),
        ("1" * 5000, "a number is too long"),
        ({"a": [{"b": datetime.timedelta(1)}]}, r"payload.a\[0\].b is of type timedelta.\nWhat to change .*: Convert it with .total_seconds"),
        ({"a": {1, 2}}, "payload.a is of type set"),
        ({"a": b"bytes"}, "payload.a is of type bytes"),
        ({"a": float("nan")}, "payload.a is nan"),
        ({"a": UserDict({"b": float("inf")})}, r"is inf"),
        ({"a": "\ud800"}, "UTF-8"),
        ({"a": {(1, 2): 3}}, "payload.a has a key of type tuple"),
        (CIRCLE, "nested too deeply"),
        (object(), "payload is of type object"),
    ],
)  # fmt: skip
def test_a_payload_that_is_not_json_says_where(payload: Any, sentence: str) -> None:
    with pytest.raises(CoreError, match=sentence):
        encode_payload(payload, "POST")


def test_get_carries_no_payload() -> None:
    assert encode_payload(None, "GET") is None
    with pytest.raises(CoreError, match="GET takes no payload"):
        encode_payload({}, "GET")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{'email': 'ada@example.com', 'manager': None}", "a dict or list as Python prints it"),
        ('{"manager": None, "done": True}', "a dict or list as Python prints it"),
        ("[{'a': 1}]", "a dict or list as Python prints it"),
        ("None", "it is 'None'"),
        (" True\n", "it is 'True'"),
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("LazyXComSequence([3 items])", "line 1, column 1"),
        ("ada@example.com", "line 1, column 1"),
    ],
)
def test_a_text_from_a_template_that_is_not_json_names_the_filter(text: str, what: str) -> None:
    with pytest.raises(CoreError) as caught:
        encode_payload(text, "POST")

    assert what in caught.value.message
    assert "| tojson" in caught.value.hint
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize("name", ["X A", "X-A:", "X\n", "Ä", ""])
def test_the_name_of_a_header_is_checked_apart_from_its_value(name: str) -> None:
    with pytest.raises(CoreError, match=r"(?s)The name of the header .* has a character that HTTP does not allow"):
        check_headers({name: "fine"})


@pytest.mark.parametrize("headers", [{"X-A": None}, {"Content-Type": None}, {"Authorization": None}, {}, None])
def test_a_header_without_a_value_is_left_out(headers: Any) -> None:
    assert check_headers(headers) == {}


@pytest.mark.parametrize(
    "value", ["application/json;", "APPLICATION/JSON; charset='utf-8'", "application/json ; Charset=utf8"]
)
def test_ways_to_write_the_content_type_of_json(value: str) -> None:
    assert check_headers({"CONTENT-TYPE": value}) == {}


@pytest.mark.parametrize("value", ["application/x-www-form-urlencoded", "application/xml", "text/csv"])
def test_another_content_type_names_the_operator_that_sends_it(value: str) -> None:
    with pytest.raises(CoreError, match="HttpOperator"):
        check_headers({"Content-Type": value})


@pytest.mark.parametrize(
    "headers",
    [
        {"X A": object()}, {"X-A": b"x"}, {"X-A": ["{{ a }}"]}, {"Authorization": "{{ a }}", 5: "x"},
        {"X-A": {"a": 1}, "X-B": object()}, {"x-okta-workflows-a": object()}, {"Host": "a", "X-B": object()},
    ],
)  # fmt: skip
def test_headers_are_checked_as_far_as_possible_when_a_dag_is_parsed(headers: Any) -> None:
    if "X A" in headers:
        check_as_parsed("POST", None, None, headers)  # its value has to be there first
        return
    with pytest.raises(CoreError):
        check_as_parsed("POST", None, None, headers)


def test_values_that_are_rendered_later_are_not_checked_before() -> None:
    check_as_parsed("POST", None, None, {"X-A": "{{ a\n }}", "X-B": object(), "X-C": None, "X-D": 5, "X-E": "é{% x %}"})


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(None, None), (5, 5.0), (0.5, 0.5), (datetime.timedelta(minutes=2), 120.0)]
)
def test_a_timeout_is_seconds_or_a_timedelta(timeout: Any, seconds: float | None) -> None:
    assert check_timeout(timeout) == seconds


@pytest.mark.parametrize("timeout", ["60", "0:01:00", True, 0, -1, float("nan"), datetime.timedelta(0), [5]])
def test_a_timeout_that_cannot_work_is_refused(timeout: Any) -> None:
    with pytest.raises(CoreError, match=r"(?s)timeout is .*Set it to a number from"):
        check_timeout(timeout)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
))  # fmt: skip
def test_any_payload_is_json_or_a_fault(payload: Any) -> None:
    try:
        encoded = encode_payload(payload, "POST")
    except CoreError:
        return
    assert encoded is None or json.loads(encoded) is not object
