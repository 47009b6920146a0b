from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.flows.response import (
    FlowResponse,
    is_foreign_page,
    parse_response,
    reported_response,
)
from airflow_okta_workflows.core.http.messages import error_message
from airflow_okta_workflows.core.http.types import Headers, HttpResponse

JSON = {"Content-Type": "application/json"}


def read(body: bytes | str, headers: dict[str, str] | None = None, secrets: tuple[str, ...] = ()) -> FlowResponse:
    data = body.encode() if isinstance(body, str) else body
    return parse_response(HttpResponse(200, Headers(headers or {}), data, 0.5), secrets)


@pytest.mark.parametrize(
    ("body", "headers", "value"),
    [
        (b"", JSON, None),
        (b"  \n", {}, None),
        (b'{"a": 1}', JSON, {"a": 1}),
        (b'{"a": 1}', {"Content-Type": "application/problem+json; charset=utf-8"}, {"a": 1}),
        (b"[1, 2]", {}, [1, 2]),
        (b'{"a": 1}', {}, {"a": 1}),
        (b"{a: 1}", {}, "{a: 1}"),
        (b"5", {}, "5"),
        (b"5", JSON, 5),
        (b'{"a": 1}', {"Content-Type": "text/plain"}, {"a": 1}),
        (b' [{"a": 1}]\n', {"Content-Type": "text/html; charset=utf-8"}, [{"a": 1}]),
        (b'{"a": 1}', {"Content-Type": "application/octet-stream"}, {"a": 1}),
        (b"5", {"Content-Type": "text/plain"}, "5"),
        (b'{"a": 1} and more', {"Content-Type": "text/plain"}, '{"a": 1} and more'),
        (b"{{ a }}", {"Content-Type": "text/html"}, "{{ a }}"),
        (b"5", {"Content-Type": "application/problem+json"}, 5),
        (b"XX", {}, "XX"),
        (b"<a/>", {"Content-Type": "application/xml"}, "<a/>"),
        (b"not json", JSON, "not json"),
        (b'{"a": NaN}', {}, '{"a": NaN}'),
        (b"[" * 100_000, {}, "[" * 100_000),
        (b'{"a": [1,', {"Content-Type": "text/plain"}, '{"a": [1,'),
        ("ä".encode("latin-1"), {"Content-Type": "text/plain; charset=latin-1"}, "ä"),
        ("ä€".encode("cp1252"), {"Content-Type": 'text/plain; charset = "Windows-1252"'}, "ä€"),
        ('{"a": "ä"}'.encode("utf-16"), {"Content-Type": "application/json;charset=UTF-16"}, {"a": "ä"}),
        (b"\xff", {"Content-Type": "text/plain"}, "\ufffd"),
        ("\ufeff{}".encode(), JSON, {}),
        (b'{"a": "\\ud800", "b\\u0000": ["\\ud83d\\ude00"]}', JSON, {"a": "\ufffd", "b\ufffd": ["\U0001f600"]}),
        (b"a\x00b", {}, "a\ufffdb"),
    ],
)
def test_a_body_is_json_text_or_nothing(body: bytes, headers: dict[str, str], value: Any) -> None:
    assert read(body, headers).body == value


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        (b"{}", {"Content-Type": "text/plain; charset=punycode"}, "charset 'punycode'"),
        (b"{}", {"Content-Type": "text/plain; charset=<b>"}, "charset that its header names"),
        (b"a", {"Content-Type": "text/plain; charset=iso-8859-12"}, "charset 'iso-8859-12'"),
        (b'{"a": [1e999]}', JSON, "a number that is too large"),
        (b"[-1e999]", {"Content-Type": "text/plain"}, "a number that is too large"),
        (b'{"a": 18446744073709551616}', JSON, "more than 64 bits"),
        (b'{"a": ' + b"9" * 4000 + b"}", JSON, "more than 64 bits"),
        (b"1" * 5000, JSON, "more than 64 bits"),
        (b"[" * 200 + b"]" * 200, JSON, "more than 100 levels"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, JSON, "more than 100 levels"),
        (b'{"a": [1,', JSON, "its JSON is cut off or broken"),
        (b' [{"a": 1}, {"a', {"Content-Type": "application/problem+json"}, "its JSON is cut off or broken"),
        (b'{"a": NaN}', JSON, "its JSON is cut off or broken"),
        (b"[" * 100_000, JSON, "its JSON is cut off or broken"),
    ],
)
def test_what_cannot_be_read_or_stored_says_why(body: bytes, headers: dict[str, str], why: str) -> None:
    response = read(body, {**headers, "X-Flo-Instance": "e1"})

    assert why in response.unreadable
    assert response.body is None
    assert response.execution_id == "e1"


OKTAS_ERROR = '{"_error": true, "flo": 1, "execution": "e1", "statusCode": 429'


@pytest.mark.parametrize(
    ("body", "content_type", "execution_id"),
    [
        (OKTAS_ERROR + ', "limit": 1e999}', "application/json", "e1"),
        (OKTAS_ERROR + ', "id": 123456789012345678901234567890}', "application/json", "e1"),
        (OKTAS_ERROR + "}", "application/json; charset=windows-31j", "e1"),
        (OKTAS_ERROR + ', "message": "cut o', "application/json", "e1"),
        ('{"limit": 1e999, "execution_id": "e2"}', "text/plain", "e2"),
        ('{"limit": 1e999, "execution_id": 5}', "text/plain", None),
        ('{"limit": 1e999, "context": {"execution_id": "e3"}}', "text/plain", "e3"),
        ('{"context": {"execution_id": "e3"}, "message": "cut o', "application/json", "e3"),
        ('{"_error": true, "execution": ' + "1" * 40 + "}", "application/json", "1" * 40),
        ('{"_error": true, "execution": 247234, "execution": 5, "x', "application/json", "247234"),
        ('{"_error": true, "execution": "e', "application/json", None),
        ('{"_error": true, "execution": 24', "application/json", None),
        ('{"execution": "e1", "x": [', "application/json", None),
        ('{"_error": false, "execution": "e1", "x": [', "application/json", None),
        ('{"execution_id": "two words", "x": [', "application/json", None),
        ('{"execution_id": "eyJ.t0ken.x", "x": [', "application/json", None),
        ('{"execution_id": "eyJ.t0ken.x", "x": 1e999}', "application/json", None),
        ('{"limit": 1e999}', "application/json", None),
        ("[1e999]", "application/json", None),
        ("noise", "text/plain; charset=punycode", None),
    ],
)
def test_the_execution_id_is_found_in_a_body_that_cannot_be_used(
    body: str, content_type: str, execution_id: str | None
) -> None:
    response = read(body, {"Content-Type": content_type}, ("eyJ.t0ken.x",))

    assert response.unreadable
    assert response.execution_id == execution_id


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0, 1.5e308, -0.25])
def test_numbers_that_can_be_stored_are_taken(number: float) -> None:
    assert read(json.dumps({"n": number}), JSON).body == {"n": number}


def test_a_body_of_many_lists_is_not_a_deep_one() -> None:
    body: list[Any] = [[{}, [1]]] * 200

    assert read(json.dumps(body), JSON).body == body


UUID = "65f1ef67-97c4-46d6-9fad-a7f537dc6954"


@pytest.mark.parametrize(
    ("headers", "body", "execution_id"),
    [
        ({"X-Flow-Execution": "e1"}, {}, "e1"),
        ({"okta-execution-id": " e1 "}, {"execution_id": "e2"}, "e1"),
        ({"x-execution-id": "e1", "X-Flo-Instance": "e0"}, {"execution_id": "e2"}, "e0"),
        ({"X-Flo-Instance": UUID}, {}, UUID),
        ({"X-Flo-Instance": "e1, e1"}, {}, "e1"),
        ({"X-Execution-Ref": UUID}, {}, UUID),
        ({"X-Execution-Trace": UUID}, {}, UUID),
        ({}, {"execution_id": "e2"}, "e2"),
        ({}, {"context": {"execution_id": "e3"}}, "e3"),
        ({}, {"_error": True, "execution": "e4", "source": {"execution": "e5"}}, "e4"),
        ({"X-Flo-Instance": "e0"}, {"_error": True, "execution": "e4"}, "e0"),
        ({"X-Execution-Trace": f"{UUID}, {UUID}"}, {}, UUID),
        ({}, {"_error": True, "execution": 247234, "flo": 5}, "247234"),
        ({}, {"_error": True, "source": {"execution": "e5"}}, "e5"),
        ({}, {"_error": True, "execution": True, "source": []}, None),
        ({}, {"execution": "e4"}, None),
        ({}, {"execution_id": 5}, None),
        ({}, {"execution_id": "x" * 500}, None),
        ({}, {"execution_id": "e1\n2026-01-01 INFO all is well"}, None),
        ({"X-Execution-Id": ""}, {"context": "none"}, None),
        ({"X-Execution-Id": "<b>1</b>"}, {}, None),
        ({"X-Execution-Id": "12"}, {}, None),
        ({"X-Execution-Id": "none"}, {}, None),
        ({"X-Execution": "12 ms"}, {}, None),
        ({"X-Execution": "0.034s"}, {}, None),
        ({"X-Execution-Time-Ms": "12"}, {}, None),
        ({"X-Execution-Time": "2026-10-20T10:11:12Z"}, {}, None),
        ({"X-Execution-Region": "us-east-1"}, {}, None),
        ({"X-Execution": "2026-11-27"}, {}, None),
        ({"X-Execution": "2026-11-27T10:11:12Z"}, {}, None),
        ({"X-Execution": "v1"}, {}, None),
        ({"X-Execution": "1234567us"}, {}, None),
        ({"X-Execution": "1234567 \u00b5s"}, {}, None),
        ({"X-Execution": "1234567.5ms"}, {}, None),
        ({"X-Execution": "1234567"}, {}, "1234567"),
        ({"X-Execution-Environment": UUID}, {}, None),
        ({"X-Execution-Role-Id": UUID}, {}, None),
        ({"X-Execution-Uuid": UUID}, {}, UUID),
        ({}, [1], None),
        ({}, {"execution_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        ({}, {"execution_id": "x\n[2026-01-01 00:00:00] INFO - Marking task as SUCCESS"}, None),
        ({}, {"execution_id": "x\x1b[2J"}, None),
        ({}, {"execution_id": "x\u2028y"}, None),
        ({}, {"execution_id": "two words"}, None),
        ({}, {"context": {"execution_id": "x\r\ny"}}, None),
        ({"X-Execution-Id": "-"}, {"execution_id": "e2"}, "e2"),
    ],
)
def test_the_execution_id_is_found_where_it_may_be(
    headers: dict[str, str], body: Any, execution_id: str | None
) -> None:
    assert read(json.dumps(body), {**JSON, **headers}).execution_id == execution_id


ANY_LABEL = ["application/json", "text/plain", "application/octet-stream", "application/xml"]


@pytest.mark.parametrize(
    ("body", "headers", "foreign"),
    [
        (b"<html>", {"Content-Type": "text/html"}, True),
        (b"\xef\xbb\xbf\n<!-- a --><p>Log in", {"Content-Type": "Text/HTML; charset=utf-8"}, True),
        (b"<!doctype HTML><title>a</title>", {}, True),
        (b"<a/>", {}, False),
        (b"<a/>", {"Content-Type": "application/xml"}, False),
        (b"<p>Log in", {"Content-Type": "application/xhtml+xml"}, True),
        (b"Log in", {"Content-Type": "text/html"}, False),
        (b'{"a": "<html>"}', {"Content-Type": "text/html"}, False),
        (b"", {"Content-Type": "text/html"}, False),
        (b"<html>", {"Content-Type": "text/html", "X-Flo-Instance": "e1"}, False),
        (b"<!doctype html>", {"Content-Type": "text/html", "X-Flo-Instance": "e1"}, False),
        *((b"\n<!DOCTYPE html><html>", {"Content-Type": label}, True) for label in ANY_LABEL),
        (b"<!-- sso -->\n<!-- b --> <html lang=en>", {}, True),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">', {}, True),
        (b"<head><title>500</title>", {}, True),
        (b"<BODY bgcolor=white>", {"Content-Type": "text/plain"}, True),
        ("<!DOCTYPE html>".encode("utf-16"), {"Content-Type": "text/html"}, True),
        ("<!DOCTYPE html>".encode("utf-16-be"), {}, True),
        (b"<header><a/></header>", {"Content-Type": "application/xml"}, False),
        (b'<?xml version="1.0"?><!-- a --><orders/>', {"Content-Type": "application/xml"}, False),
        (b"<!-- never closed", {}, False),
        (b"<!---->" * 1400 + b"<!--", {}, False),
        (b'"<html>"', JSON, True),
        (b"A page: <html>", {}, False),
    ],
)
def test_a_page_without_an_execution_id_is_no_flows(body: bytes, headers: dict[str, str], foreign: bool) -> None:
    assert is_foreign_page(read(body, headers)) is foreign


def test_a_secret_that_is_echoed_does_not_come_back() -> None:
    response = read('{"headers": {"authorization": "Bearer t0ken"}}', {**JSON, "X-Echo": "t0ken"}, ("t0ken", ""))

    assert response.body == {"headers": {"authorization": "Bearer ***"}}
    assert response.headers["x-echo"] == "***"


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIwb2EifQ.c2lnbmF0dXJl/+=="


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"echo": f"Bearer {TOKEN}"}),
        json.dumps({"echo": f"Bearer {TOKEN}"}).replace("/", "\\/"),
        '{"echo": "Bearer \\u0065' + TOKEN[1:] + '"}',
        json.dumps({"echo": {TOKEN: 1}}),
        json.dumps({"echo": [json.dumps({"headers": TOKEN}).replace("e", "\\u0065")]}),
        json.dumps({"echo": f"https://acme.example/?token={quote(TOKEN, safe='')}"}),
        f"<p>Bearer {TOKEN}</p>",
        f"token={quote(TOKEN, safe='').lower().replace(TOKEN.lower(), TOKEN)}{quote(TOKEN, safe='')}",
        "not JSON [" + TOKEN,
    ],
)
@pytest.mark.parametrize("headers", [JSON, {}, {"Content-Type": "text/plain"}])
def test_a_token_does_not_come_back_in_whatever_form_it_is_echoed(body: str, headers: dict[str, str]) -> None:
    response = read(body, {**headers, "X-Echo": quote(TOKEN, safe=""), TOKEN: "x"}, (TOKEN,))

    assert "***" in str(response.body)
    for place in (response.body, dict(response.headers)):
        assert not [part for part in TOKEN.split(".") if part in json.dumps(place)]


def test_a_body_with_other_escapes_stays_as_it_is() -> None:
    body = {"text": "100 % \\u0065 %41 &amp; ä"}

    assert read(json.dumps(body), JSON, (TOKEN,)).body == body


def test_a_response_says_how_long_it_took() -> None:
    assert read("").elapsed == 0.5


def test_repr_shows_no_body() -> None:
    assert "ada@example.com" not in repr(read("ada@example.com", {"X-Mail": "ada@example.com"}))


def test_a_response_is_stored_as_json_and_read_back() -> None:
    response = FlowResponse(201, Headers({"X-A": "1"}), {"a": [1]}, "e1", 0.5)

    checkpoint = json.loads(json.dumps(response.to_json()))
    assert checkpoint == {"status_code": 201, "execution_id": "e1", "elapsed": 0.5, "body": {"a": [1]}}
    assert FlowResponse.from_json({**checkpoint, "later": 1}) == FlowResponse(201, Headers(), {"a": [1]}, "e1", 0.5)


@pytest.mark.parametrize("checkpoint", [{}, {"status_code": "200"}, {"status_code": None, "body": 1}])
def test_a_checkpoint_without_a_status_is_no_response(checkpoint: dict[str, Any]) -> None:
    assert FlowResponse.from_json(checkpoint) is None


@pytest.mark.parametrize(("checkpoint", "elapsed"), [({"elapsed": 2}, 2.0), ({"elapsed": "2"}, 0.0), ({}, 0.0)])
def test_a_checkpoint_that_does_not_say_how_long_it_took_is_read_all_the_same(checkpoint: Any, elapsed: float) -> None:
    response = FlowResponse.from_json({"status_code": 200, **checkpoint})

    assert response == FlowResponse(200, Headers(), None, None, elapsed)
    assert isinstance(response.elapsed, float)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": " no\nsuch   group "}, "no such group"),
        ({"error": {"message": "nested"}}, "nested"),
        ({"errorSummary": "x" * 400}, "x" * 299 + "…"),
        ({"message": "x" * 300}, "x" * 300),
        ({"message": "x" * 301}, "x" * 299 + "…"),
        ({"error_description": "why"}, "why"),
        ({"error": "why"}, "why"),
        ({"errorMessage": "why"}, "why"),
        ({"message": " ", "error": {"text": "x"}, "errorMessage": "why"}, "why"),
        ({"message": "x\x1b[2J\u2028\u202ey"}, "x [2J y"),
        ({"message": 5}, ""),
        ({"data": "private"}, ""),
        ("a text", ""),
        (None, ""),
    ],
)
def test_a_failed_flow_says_why_on_one_line(body: Any, message: str) -> None:
    assert error_message(body) == message


@given(st.binary(), st.dictionaries(st.sampled_from(["Content-Type", "X-Execution"]), st.text()), st.text())
def test_any_response_is_read(body: bytes, headers: dict[str, str], secret: str) -> None:
    response = read(body, headers, (secret,))

    json.dumps(response.body, allow_nan=False, ensure_ascii=False).encode()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
)


@given(JSON_VALUES)
def test_any_json_is_stored_or_says_why_not(value: Any) -> None:
    response = read(json.dumps(value), JSON)

    stored = json.dumps(response.body, allow_nan=False, ensure_ascii=False)
    assert "\x00" not in stored.encode().decode()


def test_headers_are_looked_up_without_case_and_joined() -> None:
    headers = Headers({"X-A": "1", "x-a": "2", "Y": "3"})

    assert headers["X-a"] == "1, 2"
    assert list(headers) == ["X-A", "Y"]
    assert len(headers) == 2
    assert "X-A" in repr(headers)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"_error": true, "execution": "e1", "limit": 1e999}'.encode("utf-16"), "application/json; charset=utf-16"),
        (b'{"_error": true, "execution": "e1", "name": "\xff"}', "application/json; charset=ebcdic"),
        (b'{"_error": true, "execution": "e1", "echo": "the-t0ken-of-all", "limit": 1e999}', "application/json"),
    ],
    ids=["in UTF-16", "in an unknown charset", "with a secret"],
)
def test_an_unreadable_body_still_names_its_execution(body: bytes, content_type: str) -> None:
    response = read(body, {"Content-Type": content_type}, ("the-t0ken-of-all",))

    assert response.unreadable
    assert response.execution_id == "e1"


def test_a_text_names_no_execution() -> None:
    assert read('log: "execution": "e1", done', {"Content-Type": "text/plain"}).execution_id is None


def test_the_response_that_a_person_reports_has_nothing_but_a_body() -> None:
    response = reported_response({"a": 1})

    assert (response.status_code, response.body, response.execution_id, response.elapsed) == (200, {"a": 1}, None, 0.0)
    assert dict(response.headers) == {}
