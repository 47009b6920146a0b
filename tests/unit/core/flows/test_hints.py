"""The hint that follows each refusal of a flow's host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.addresses import parse_flow
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.flows.hints import FLOW_FAILED, flow_hint
from tests.unit.core.flows.test_invocation import ADDRESS, HTML, RAN, Talk, build_invocation, http_response

OFF, ALIAS, CLIENT_TOKEN, API = "says that it is off", "flow's alias", "'Secure with OAuth 2.0'", "Okta's API responded"


def hint_of(status: int, body: Any, **options: Any) -> str:
    """Return the hint of an invocation that is refused, with a new token, too."""
    fault = Talk(*[http_response(status, body, **options)] * (2 if status == 401 else 1)).fault
    assert fault is not None
    return fault.hint


@pytest.mark.parametrize(
    ("status", "body", "advice", "not_advised"),
    [
        (404, {"message": "The flow is not active"}, OFF, ALIAS),
        (403, {"_error": True, "kind": "Not Active"}, OFF, "Secure"),
        (403, {"kind": "Not Active", "message": "No."}, OFF, "Secure"),
        (400, {"error": {"message": "Flow not active"}}, OFF, ALIAS),
        (404, {"message": "This flow has been turned off."}, OFF, ALIAS),
        (404, {"message": "The flow was not found"}, ALIAS, OFF),
        (400, {"error": "No such flow"}, ALIAS, OFF),
        (409, b"Flow does not exist", ALIAS, OFF),
        (400, {"kind": "Invalid Flow"}, "must be API Endpoint", ALIAS),
        (401, {"message": "The client token is missing"}, CLIENT_TOKEN, "custom domain"),
        (403, {"message": "Missing x-api-client-token"}, CLIENT_TOKEN, "Okta API Scopes"),
        (403, b"clientToken is required", CLIENT_TOKEN, "Okta API Scopes"),
        (403, {"message": "This flow is not secured with OAuth 2.0"}, CLIENT_TOKEN, "Okta API Scopes"),
        (403, {"errorCode": "E0000006", "errorSummary": "Access denied"}, API, "alias"),
        (403, {"errorCode": "E0000006"}, "System Log", "alias"),
        (401, {"errorCode": "E0000015"}, "lacks a feature", "custom domain"),
        (405, {"errorCode": "E0000022"}, API, "proxy"),
        (404, {"errorCode": "E0000007", "errorSummary": "Not found: Resource not found: flo"}, API, "alias"),
    ],
)
def test_the_words_of_a_refusal_lead_to_its_cause(status: int, body: Any, advice: str, not_advised: str) -> None:
    hint = hint_of(status, body)

    assert advice in hint
    assert not_advised not in hint


@pytest.mark.parametrize(("status", "code"), [(415, "E0000021"), (405, "E0000022")])
def test_a_request_that_okta_s_api_does_not_take_went_to_the_wrong_host(status: int, code: str) -> None:
    (line,) = hint_of(status, {"errorCode": code}).splitlines()

    assert API in line
    assert line.endswith(" such as acme.workflows.okta.com.")


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (401, ["Host", "exactly one custom domain", "default domain", "Secure with OAuth 2.0"]),
        (403, ["Secure with OAuth 2.0", "okta.workflows.invoke.manage"]),
        (404, ["alias", "workflows_host", "the flow is on", "NOT_FOUND"]),
        (405, ["invoke URL", "method"]),
        (413, ["payload"]),
        (415, ["JSON"]),
    ],
)
@pytest.mark.parametrize("body", [b"", {"message": "No."}, {"message": "Not Found"}, [1], b"\xff"])
def test_each_condition_has_a_line(status: int, lines: list[str], body: Any) -> None:
    found = hint_of(status, body).splitlines()

    assert len(found) == len(lines)
    for line, words in zip(found, lines, strict=True):
        assert words in line


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"message": "The user was not found"}),
        (400, {"message": "The flow needs an email address"}),
        (409, {"message": "The account is disabled"}),
        (500, {"message": "The flow is not active"}),
        (422, {"error": "unknown"}),
    ],
)
def test_a_flow_s_own_message_leads_to_its_execution_history(status: int, body: Any) -> None:
    assert hint_of(status, body) == FLOW_FAILED


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_so_does_a_flow_that_ran(status: int) -> None:
    assert hint_of(status, {"message": "The flow is not active"}, headers=RAN) == FLOW_FAILED


@pytest.mark.parametrize("status", [400, 402, 406, 418, 451])
def test_a_page_with_another_status_is_a_firewall_s(status: int) -> None:
    assert "proxy or firewall" in hint_of(status, b"<html><title>Blocked</title>", headers=HTML)


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("Thu, 01 Jan 1970 00:01:01 GMT", "61 s behind the org's"),
        ("Thu, 01 Jan 1970 00:01:00 GMT", ""),
        ("Wed, 31 Dec 1969 23:58:00 GMT", "120 s ahead of the org's"),
        ("yesterday", ""),
    ],
)
def test_a_401_names_a_clock_that_is_off(date: str, said: str) -> None:
    hint = hint_of(401, b"", headers={"Date": date})

    assert said in hint
    assert ("NTP" in hint) is bool(said)
    assert "custom domain" in hint


@pytest.mark.parametrize("status", [400, 403, 404])
def test_so_does_each_refusal_that_a_clock_can_cause(status: int) -> None:
    clock_is_off = {"Date": "Thu, 01 Jan 1970 01:00:00 GMT"}

    hint = hint_of(status, b"", headers=clock_is_off)

    assert hint.startswith(hint_of(status, b""))
    assert "3600 s behind the org's" in hint


def test_no_clock_is_named_where_it_cannot_be_the_cause() -> None:
    clock_is_off = {"Date": "Thu, 01 Jan 1970 01:00:00 GMT"}

    for status in (405, 413, 422, 500):
        assert hint_of(status, b"", headers=clock_is_off) == hint_of(status, b"")
    assert hint_of(404, b"", headers={**RAN, **clock_is_off}) == FLOW_FAILED


@given(
    st.integers(100, 599),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)
                 | st.dictionaries(st.sampled_from(["message", "error", "errorCode", "kind"]), inner)),
)  # fmt: skip
def test_any_response_has_a_hint_or_none(status: int, body: Any) -> None:
    hint = flow_hint(status, body)

    assert all(line.endswith(".") for line in hint.splitlines())


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"headers": {"x-api-client-token": "a"}}, "API Endpoint card, choose 'Secure with OAuth 2.0'"),
        ({"headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "HttpOperator"),
        ({"payload": "<user>ada</user>"}, "HttpOperator"),
        ({"payload": "email=ada%40example.com"}, "member of a JSON object"),
    ],
)
def test_what_cannot_be_sent_says_how_else_to_invoke_the_flow(options: dict[str, Any], advice: str) -> None:
    with pytest.raises(CoreError) as caught:
        build_invocation(**options)

    assert advice in caught.value.hint


def test_an_invoke_url_with_a_client_token_leads_to_oauth() -> None:
    url = "https://acme.workflows.okta.com/api/flo/a/invoke?clientToken=t0ken"
    with pytest.raises(CoreError, match="cannot be invoked here: in its API Endpoint card") as caught:
        parse_flow(url, "hello", ADDRESS.origin)

    assert "t0ken" not in str(caught.value)


def test_an_error_code_that_is_no_string_is_none_of_oktas() -> None:
    assert hint_of(403, {"errorCode": 5}) == hint_of(403, {})
