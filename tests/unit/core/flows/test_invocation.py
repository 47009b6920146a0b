"""The conversation with a flow, driven by hand: each row of what may happen, and what is done."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.addresses import FlowAddress, Origin
from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.invocation import Invocation, invoke_flow
from airflow_okta_workflows.core.http.types import FailureKind, Headers, HttpRequest, HttpResponse, TransportFailure
from airflow_okta_workflows.core.oauth.access_token import AccessToken
from airflow_okta_workflows.core.oauth.flow_auth import BearerAuth, authorized
from airflow_okta_workflows.core.protocol import (
    AcquireRateLimit,
    Checkpoint,
    Conversation,
    InvocationState,
    Log,
    Send,
    StopRequested,
    Throttle,
    Wait,
)
from airflow_okta_workflows.core.runtime import Runtime

ADDRESS = FlowAddress("onboard", "abc", Origin("https", "acme.workflows.okta.com", 443))
NOT_SENT = TransportFailure(FailureKind.NOT_SENT, "no connection")
UNKNOWN = TransportFailure(FailureKind.OUTCOME_UNKNOWN, "the connection was reset")
STOP = StopRequested()


def http_response(
    status: int = 200, body: Any = None, headers: dict[str, str] | None = None, unreadable: str = ""
) -> HttpResponse:
    data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    named = Headers({"Content-Type": "application/json", **(headers or {})})
    return HttpResponse(status, named, b"" if unreadable else data, unreadable=unreadable)


def begun(
    status: int, headers: dict[str, str] | None = None, kind: FailureKind = FailureKind.OUTCOME_UNKNOWN
) -> TransportFailure:
    """A response that was cut off after its head."""
    why = "the response was cut off"
    return TransportFailure(kind, why, response=http_response(status, headers=headers, unreadable=why))


HTML = {"Content-Type": "text/html"}
GATEWAY = http_response(503, b"<html>", HTML)
RAN = {"X-Flo-Instance": "e1"}
OKTAS_ERROR = {"_error": True, "message": "no such user", "execution": "e1", "source": {"execution": "e1"}}


def build_invocation(payload: Any = {"a": 1}, **options: Any) -> Invocation:  # noqa: B006  # it is only read
    defaults = {"method": "POST", "query": None, "headers": None, "idempotency_key": "key-1", "idempotent": False}
    return Invocation.build(ADDRESS, payload, **{**defaults, "rate_limit_wait": 120.0, "timeout": None, **options})


class Talk:
    """Play the part of the org and the flow from a list of events."""

    def __init__(
        self, *events: HttpResponse | TransportFailure | StopRequested, idempotent: bool = False, **options: Any
    ) -> None:
        call = build_invocation(idempotent=idempotent, **options)
        self.sent: list[Any] = []
        self.refused: list[str | None] = []
        self.states: list[InvocationState] = []
        self.logged: list[str] = []
        self.waits: list[Wait] = []
        self.throttled: list[float] = []
        self.response: Any = None
        self.fault: CoreError | None = None
        conversation = invoke_flow(call, BearerAuth(self.obtain_token), Runtime(clock=lambda: 0.0, random=lambda: 0.5))
        coming = iter(events)
        event: Any = None
        try:
            while True:
                match conversation.send(event):
                    case Send(request):
                        self.sent.append(request)
                        event = next(coming)
                    case AcquireRateLimit():
                        # At such a step a driver stops a conversation.
                        stopped = STOP in events[len(self.sent) : len(self.sent) + 1]
                        event = conversation.throw(STOP) if stopped else None
                    case Wait() as wait:
                        assert "onboard" in wait.reason
                        assert "None" not in wait.reason
                        self.waits.append(wait)
                        event = None
                    case Throttle(seconds):
                        self.throttled.append(seconds)
                        event = None
                    case Log(text):
                        self.logged.append(text)
                        event = None
                    case Checkpoint(state):
                        self.states.append(state)
                        event = None
        except StopIteration as end:
            self.response = end.value
        except CoreError as fault:
            self.fault = fault
        if self.fault:
            assert "t0ken" not in str(self.fault)
            assert self.fault.data["flow"] == "onboard"
            assert self.fault.data["idempotency_key"] == "key-1"

    def obtain_token(self, rejected_token: str | None) -> Conversation[AccessToken]:
        yield from ()
        self.refused.append(rejected_token)
        return AccessToken(f"t0ken-{len(self.refused)}", 3600.0)

    @property
    def waited(self) -> list[float]:
        return [wait.seconds for wait in self.waits]

    @property
    def kind(self) -> ErrorKind | None:
        return self.fault.kind if self.fault else None


@pytest.mark.parametrize(
    ("events", "idempotent", "kind", "sends"),
    [
        ([http_response()], False, None, 1),
        ([http_response(204, b"")], False, None, 1),
        # not sent: again, whatever the flow
        ([NOT_SENT, http_response()], False, None, 2),
        ([NOT_SENT] * 3, False, ErrorKind.NOT_SENT, 3),
        ([TransportFailure(FailureKind.UNTRUSTED, "bad certificate")], False, ErrorKind.NOT_SENT, 1),
        # refused before running
        ([http_response(401), http_response()], False, None, 2),
        ([http_response(401), http_response(401)], False, ErrorKind.REFUSED, 2),
        ([http_response(403)], False, ErrorKind.REFUSED, 1),
        ([http_response(404)], False, ErrorKind.REFUSED, 1),
        ([http_response(429), http_response()], False, None, 2),
        ([http_response(429), http_response(401), http_response(429), http_response()], False, None, 4),
        # a response is final
        ([http_response(400)], True, ErrorKind.FAILED, 1),
        ([http_response(500)], True, ErrorKind.FAILED, 1),
        ([http_response(500, b"oops", HTML)], True, ErrorKind.FAILED, 1),
        ([http_response(500, b"<html>", {**HTML, **RAN})], True, ErrorKind.FAILED, 1),
        ([http_response(400, b"<html>", HTML)], True, ErrorKind.FAILED, 1),
        ([http_response(501)], True, ErrorKind.FAILED, 1),
        ([http_response(525)], True, ErrorKind.FAILED, 1),
        ([http_response(302, headers={"Location": "https://evil.example"})], True, ErrorKind.BAD_RESPONSE, 1),
        ([http_response(302, headers=RAN)], True, ErrorKind.BAD_RESPONSE, 1),
        ([http_response(300)], True, ErrorKind.BAD_RESPONSE, 1),
        ([http_response(399, b"<html>", HTML)], True, ErrorKind.BAD_RESPONSE, 1),
        ([http_response(299)], True, None, 1),
        ([http_response(499, b"<html>", HTML)], True, ErrorKind.FAILED, 1),
        ([http_response(unreadable="too large")], True, ErrorKind.BAD_RESPONSE, 1),
        ([http_response(204, unreadable="broken", headers=RAN)], True, ErrorKind.BAD_RESPONSE, 1),
        ([http_response(400, unreadable="broken")], True, ErrorKind.FAILED, 1),
        # so is one with an execution id, whatever its status
        *(
            ([http_response(status, headers=RAN)], True, ErrorKind.FAILED, 1)
            for status in (401, 403, 404, 408, 429, 502, 503, 504, 520, 524)
        ),
        ([http_response(404, {"execution_id": "e1"})], True, ErrorKind.FAILED, 1),
        ([http_response(504, {"context": {"execution_id": "e1"}})], True, ErrorKind.FAILED, 1),
        ([http_response(429, OKTAS_ERROR)], True, ErrorKind.FAILED, 1),
        ([http_response(200, b"<html>", {**HTML, **RAN})], True, None, 1),
        ([http_response(429, {**OKTAS_ERROR, "limit": 2**70})], True, ErrorKind.FAILED, 1),
        # also if the rest of it never arrived
        ([begun(200, RAN)], True, ErrorKind.BAD_RESPONSE, 1),
        ([begun(200, RAN)], False, ErrorKind.BAD_RESPONSE, 1),
        *(([begun(status, RAN)], True, ErrorKind.FAILED, 1) for status in (400, 401, 429, 500, 503)),
        ([begun(407, RAN, kind=FailureKind.NOT_SENT)], False, ErrorKind.FAILED, 1),
        ([begun(200), http_response()], True, None, 2),
        ([begun(200)], False, ErrorKind.OUTCOME_UNKNOWN, 1),
        ([begun(407, kind=FailureKind.NOT_SENT), http_response()], False, None, 2),
        # a body that cannot be read may name the execution
        *(
            ([http_response(status, unreadable="broken")], False, ErrorKind.OUTCOME_UNKNOWN, 1)
            for status in (401, 403, 404, 429, 500, 501, 525)
        ),
        ([http_response(429, unreadable="broken"), http_response()], True, None, 2),
        ([http_response(429, {"limit": 2**70})], False, ErrorKind.OUTCOME_UNKNOWN, 1),
        # sent, fate unknown
        ([UNKNOWN], False, ErrorKind.OUTCOME_UNKNOWN, 1),
        ([GATEWAY], False, ErrorKind.OUTCOME_UNKNOWN, 1),
        *(
            ([http_response(status, {"message": "Endpoint request timed out"})], False, ErrorKind.OUTCOME_UNKNOWN, 1)
            for status in (408, 502, 503, 504, 520, 521, 522, 523, 524)
        ),
        (
            [http_response(504, b"upstream request timeout", {"Content-Type": "text/plain"})],
            False,
            ErrorKind.OUTCOME_UNKNOWN,
            1,
        ),
        ([http_response(503, unreadable="broken")], False, ErrorKind.OUTCOME_UNKNOWN, 1),
        ([http_response(504, headers={"X-Execution-Time-Ms": "12"})], False, ErrorKind.OUTCOME_UNKNOWN, 1),
        ([http_response(500, b"<html>", HTML)], False, ErrorKind.OUTCOME_UNKNOWN, 1),
        ([http_response(200, b"<!DOCTYPE html><title>Log in</title>", HTML)], False, ErrorKind.OUTCOME_UNKNOWN, 1),
        ([http_response(200, b"<html>", HTML), http_response()], True, None, 2),
        ([NOT_SENT, UNKNOWN], False, ErrorKind.OUTCOME_UNKNOWN, 2),
        ([UNKNOWN, http_response()], True, None, 2),
        ([GATEWAY, UNKNOWN, http_response()], True, None, 3),
        ([UNKNOWN] * 3, True, ErrorKind.NO_RESPONSE, 3),
        # what a later attempt meets says nothing of the earlier one
        ([UNKNOWN, NOT_SENT, NOT_SENT], True, ErrorKind.NO_RESPONSE, 3),
        ([UNKNOWN, http_response(403)], True, ErrorKind.NO_RESPONSE, 2),
        ([UNKNOWN, http_response(429, headers={"Retry-After": "900"})], True, ErrorKind.NO_RESPONSE, 2),
        ([UNKNOWN, http_response(500)], True, ErrorKind.FAILED, 2),
    ],
)
def test_each_thing_that_may_happen(events: list[Any], idempotent: bool, kind: ErrorKind | None, sends: int) -> None:
    talk = Talk(*events, idempotent=idempotent)

    assert talk.kind is kind
    assert len(talk.sent) == sends
    assert {request.headers["Idempotency-Key"] for request in talk.sent} == {"key-1"}
    assert (talk.response is None) is (kind is not None)
    if talk.fault:
        assert "None" not in str(talk.fault)
        assert talk.fault.hint or kind is ErrorKind.FAILED
    if kind in (ErrorKind.REFUSED, ErrorKind.RATE_LIMITED, ErrorKind.FAILED, ErrorKind.BAD_RESPONSE):
        assert talk.fault
        last: Any = events[-1].response if isinstance(events[-1], TransportFailure) else events[-1]
        assert talk.fault.data["response"].status_code == last.status


def test_a_stage_is_told_before_each_step() -> None:
    sending, not_run = InvocationState.SENDING, InvocationState.NOT_RUN

    assert Talk(http_response()).states == [sending]
    assert Talk(http_response(401), http_response(429), NOT_SENT, http_response()).states == [sending, not_run] * 3 + [
        sending
    ]
    assert Talk(UNKNOWN, NOT_SENT, http_response(401), http_response(), idempotent=True).states == [sending] * 4


def test_a_refused_token_is_named_and_the_new_one_is_sent() -> None:
    talk = Talk(http_response(401), http_response())

    assert talk.refused == [None, "t0ken-1"]
    assert "refused before running: 401" in talk.logged[0]
    assert [request.headers["Authorization"] for request in talk.sent] == ["Bearer t0ken-1", "Bearer t0ken-2"]


def test_a_second_401_explains_the_domain_rule() -> None:
    fault = Talk(http_response(401), http_response(401)).fault

    assert fault is not None
    assert "custom domain" in fault.hint
    assert fault.data["response"].status_code == 401


def test_429_waits_as_told_and_then_fails_at_once() -> None:
    slow = http_response(429, headers={"Retry-After": "50"})
    talk = Talk(slow, slow, slow)

    assert talk.waited == [50.25, 50.25]
    assert talk.kind is ErrorKind.RATE_LIMITED
    assert talk.fault is not None
    assert talk.fault.data["retry_after"] == 50.0
    assert talk.fault.data["response"].status_code == 429
    assert "10 invocations per second" in talk.fault.hint


def test_only_a_429_asks_others_to_hold_back() -> None:
    talk = Talk(http_response(429), NOT_SENT, UNKNOWN, http_response(), idempotent=True)

    assert talk.throttled == talk.waited[:1]
    assert [wait.rate_limited for wait in talk.waits] == [True, False, False]


@pytest.mark.parametrize(
    ("headers", "seconds"), [({"Retry-After": "500"}, 500.0), ({"Retry-After": "0"}, 1.0), ({}, 1.0)]
)
def test_a_429_that_fails_the_invocation_asks_others_to_hold_back(headers: dict[str, str], seconds: float) -> None:
    talk = Talk(http_response(429, headers=headers), rate_limit_wait=0.1)

    assert talk.kind is ErrorKind.RATE_LIMITED
    assert talk.waited == []
    assert talk.throttled == [seconds]


def test_a_429_of_a_flow_that_ran_is_its_own_response_and_holds_nobody_back() -> None:
    assert Talk(http_response(429, headers=RAN)).throttled == []


def test_a_429_without_a_date_is_compared_with_the_local_clock() -> None:
    assert Talk(http_response(429, headers={"X-Rate-Limit-Reset": "30"}), http_response()).waited == [30.25]


def test_an_outcome_that_is_unknown_stays_so_without_the_delay_that_a_later_429_asked_for() -> None:
    fault = Talk(UNKNOWN, http_response(429, headers={"Retry-After": "900"}), idempotent=True).fault

    assert fault is not None
    assert "retry_after" not in fault.data
    assert "its outcome is unknown; a later attempt returned 429" in fault.message


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([http_response(429)], ErrorKind.NOT_SENT),
        ([NOT_SENT, http_response(401)], ErrorKind.NOT_SENT),
        ([UNKNOWN], ErrorKind.NO_RESPONSE),
        ([UNKNOWN, http_response(429)], ErrorKind.NO_RESPONSE),
    ],
)
def test_a_stop_says_whether_the_flow_may_have_run(events: list[Any], kind: ErrorKind) -> None:
    talk = Talk(*events, STOP, idempotent=True)

    assert talk.kind is kind
    assert len(talk.sent) == len(events)
    assert talk.fault is not None
    assert "the task was stopped" in talk.fault.message
    assert talk.fault.hint.startswith("OKW-1406: " if kind is ErrorKind.NO_RESPONSE else "OKW-1693: ")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (GATEWAY, "a proxy or a login returned 503 and an HTML page"),
        (
            http_response(429, unreadable="its compressed body is broken"),
            "it returned 429, but its compressed body is broken",
        ),
        (http_response(503), "a gateway returned 503 instead of the flow"),
        (UNKNOWN, "the connection was reset"),
    ],
)
def test_an_unknown_outcome_says_what_was_seen(event: Any, said: str) -> None:
    fault = Talk(event).fault

    assert fault is not None
    assert f"its outcome is unknown: {said}" in fault.message


@pytest.mark.parametrize(("status", "setting"), [(401, "Host"), (403, "scope"), (404, "alias")])
def test_each_refusal_of_a_flow_says_what_to_change(status: int, setting: str) -> None:
    fault = Talk(http_response(401), http_response(status)).fault

    assert fault is not None
    assert setting in fault.hint


def test_what_was_not_sent_or_is_unknown_is_sent_again_after_a_backoff() -> None:
    talk = Talk(NOT_SENT, UNKNOWN, http_response(), idempotent=True)

    assert talk.waited == [0.75, 1.5]
    assert [f"Attempt {n} of 3; next in {s:.1f} s" in talk.waits[n - 1].reason for n, s in ((1, 0.75), (2, 1.5))]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([UNKNOWN] * 3, "was invoked, and its outcome is unknown after 3 attempts: the connection was reset."),
        ([NOT_SENT, UNKNOWN, UNKNOWN], "was invoked, and its outcome is unknown after 3 attempts: the connection was"),
        ([UNKNOWN, NOT_SENT, NOT_SENT], "its outcome is unknown after 3 attempts: no connection."),
        ([NOT_SENT] * 3, "could not be invoked in 3 attempts: no connection."),
    ],
)
def test_the_last_of_all_attempts_says_what_happened_to_it(events: list[Any], said: str) -> None:
    fault = Talk(*events, idempotent=True).fault

    assert fault is not None
    assert said in fault.message


def test_429_without_headers_backs_off() -> None:
    assert Talk(http_response(429), http_response(429), http_response(429), http_response()).waited == [0.75, 1.5, 3.0]


def test_an_unreadable_response_says_whether_the_flow_ran() -> None:
    ran = Talk(http_response(unreadable="its compressed body is cut off", headers=RAN)).fault
    unknown = Talk(http_response(unreadable="its compressed body is cut off")).fault

    assert ran is not None
    assert unknown is not None
    assert "returned 200 (execution e1), but its compressed body is cut off" in str(ran)
    assert unknown.message == "Flow 'onboard' returned 200, but its compressed body is cut off."
    failed = Talk(http_response(500, unreadable="its compressed body is cut off", headers=RAN)).fault
    assert failed is not None
    assert failed.message == "Flow 'onboard' returned 500 (execution e1), but its compressed body is cut off."
    assert ran.data["response"].unreadable == "its compressed body is cut off"


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (405, "invoke URL"),
        (407, "http_proxy"),
        (413, "too large"),
        (414, "query"),
        (415, "JSON"),
        (500, "execution history"),
    ],
)
def test_a_status_that_no_flow_gives_says_what_to_change(status: int, hint: str) -> None:
    fault = Talk(http_response(status)).fault

    assert fault is not None
    assert hint in fault.hint
    ran = Talk(http_response(status, headers=RAN)).fault
    assert ran is not None
    assert "execution history" in ran.hint, "the flow gave it all the same"


def test_a_page_that_refuses_is_a_firewalls() -> None:
    fault = Talk(http_response(403, b"<html><title>Blocked</title>", HTML)).fault

    assert fault is not None
    assert fault.kind is ErrorKind.REFUSED
    assert "proxy or firewall" in fault.hint


@pytest.mark.parametrize("kind", [FailureKind.NOT_SENT, FailureKind.UNTRUSTED])
def test_a_loss_that_knows_what_to_change_says_so(kind: FailureKind) -> None:
    fault = Talk(*[TransportFailure(kind, "the proxy returned 407 to CONNECT", "Ask the proxy.")] * 3).fault

    assert fault is not None
    assert fault.hint == "Ask the proxy."


def test_a_failure_carries_the_response_and_what_the_flow_said() -> None:
    fault = Talk(http_response(500, {"message": "no such group", "ssn": "123"}, RAN)).fault

    assert fault is not None
    assert "'no such group'" in str(fault)
    assert "e1" in str(fault)
    assert "123" not in str(fault)
    assert fault.data["response"].body["ssn"] == "123"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (http_response(400), "returned 400."),
        (http_response(400, {"message": "No."}), "returned 400.The flow says: 'No.'"),
        (http_response(400, headers=RAN), "returned 400 (execution e1)."),
        (http_response(400, {"message": "No."}, RAN), "returned 400 (execution e1).The flow says: 'No.'"),
    ],
)
def test_a_failure_says_what_there_is_to_say(event: HttpResponse, said: str) -> None:
    fault = Talk(event).fault

    assert fault is not None
    first, change, more, *rest = str(fault).splitlines()
    assert change == (
        "What to change (OKW-1582): Look it up in the flow's execution history, and correct the flow or the"
    )
    assert more == "  payload. A retry runs the flow again."
    assert rest[-2:] == ["Host: acme.workflows.okta.com", "Idempotency key: key-1"]
    assert "".join([first, *rest[:-2]]) == f"Flow 'onboard' {said}"


def test_the_request_has_the_callers_headers_and_ours() -> None:
    talk = Talk(http_response(), query={"a": "b"}, headers={"X-Mine": "1", "accept": "text/csv", "User-Agent": "me"})

    request = talk.sent[0]
    assert request.url == "https://acme.workflows.okta.com/api/flo/abc/invoke?a=b"
    assert request.body == b'{"a":1}'
    assert dict(request.headers) == {
        "Content-Type": "application/json",
        "Idempotency-Key": "key-1",
        "X-Mine": "1",
        "accept": "text/csv",
        "User-Agent": "me",
        "Authorization": "Bearer t0ken-1",
    }
    assert "t0ken" not in repr(request)


def test_an_invocation_of_a_batch_has_its_own_payload_and_key() -> None:
    first = build_invocation(headers={"X-Mine": "1"}, query={"a": "b"}, timeout=5.0)
    second = first.with_payload(b'{"b":2}', "key-2")

    assert second.idempotency_key == "key-2"
    assert second.http_request == HttpRequest(
        method="POST",
        url="https://acme.workflows.okta.com/api/flo/abc/invoke?a=b",
        headers={**first.headers, "Idempotency-Key": "key-2"},
        body=b'{"b":2}',
        read_timeout=5.0,
    )
    assert first.http_request.headers["Idempotency-Key"] == "key-1"


def test_an_invocation_takes_what_it_is_given() -> None:
    call = build_invocation(None, method="get", idempotent=True, rate_limit_wait=7.0, timeout=5.0)

    assert (call.address, call.idempotency_key, call.idempotent) == (ADDRESS, "key-1", True)
    assert (call.rate_limit_wait, call.read_timeout) == (7.0, 5.0)
    request = call.http_request
    assert (request.method, request.url, request.body, request.read_timeout) == ("GET", ADDRESS.url, None, 5.0)
    assert dict(request.headers) == {
        "Accept": "application/json, */*;q=0.5",
        "Idempotency-Key": "key-1",
    }


def test_an_invocation_is_a_post_that_is_not_idempotent_unless_it_is_said() -> None:
    call = Invocation.build(ADDRESS, None, idempotency_key="key-1", rate_limit_wait=1.0)

    assert (call.http_request.method, call.idempotent, call.read_timeout) == ("POST", False, None)


def test_an_authorization_obtains_one_token_for_all_its_requests() -> None:
    asked: list[str | None] = []

    def obtain_token(rejected_token: str | None) -> Conversation[AccessToken]:
        yield from ()
        asked.append(rejected_token)
        return AccessToken(f"t0ken-{len(asked)}", 3600.0)

    def authorized(**options: bool) -> str:
        with pytest.raises(StopIteration) as end:
            next(auth.authorize(HttpRequest("GET", ADDRESS.url, {}), **options))
        return str(end.value.value.headers["Authorization"])

    auth = BearerAuth(obtain_token)
    assert not auth.secrets
    assert [authorized(), authorized(), authorized(rejected=True)] == ["Bearer t0ken-1"] * 2 + ["Bearer t0ken-2"]
    assert asked == [None, "t0ken-1"]
    assert auth.secrets == ("t0ken-2",)


@pytest.mark.parametrize(
    ("date", "named"), [("Thu, 01 Jan 1970 00:10:00 GMT", True), ("Thu, 01 Jan 1970 00:00:01 GMT", False)]
)
def test_a_refusal_names_a_clock_that_is_off(date: str, named: bool) -> None:
    refused = http_response(401, headers={"Date": date})
    fault = Talk(refused, refused).fault

    assert fault is not None
    assert ("clock" in fault.hint) is named


def test_a_page_that_refuses_with_another_status_is_a_firewalls_too() -> None:
    fault = Talk(http_response(418, b"<html><title>No</title>", HTML)).fault

    assert fault is not None
    assert "proxy or firewall" in fault.hint


def test_what_was_not_sent_tells_of_no_flow_that_said_anything() -> None:
    fault = Talk(*[NOT_SENT] * 3).fault

    assert fault is not None
    assert "The flow says" not in str(fault)


def test_a_payload_goes_with_post_only() -> None:
    with pytest.raises(CoreError):
        build_invocation({"a": 1}, method="GET")


@pytest.mark.parametrize("key", ["a", "x" * 255, "a b", "~"])
def test_an_invocation_key_may_have_up_to_255_characters(key: str) -> None:
    assert build_invocation(idempotency_key=key).headers["Idempotency-Key"] == key


@pytest.mark.parametrize("key", ["", "a\nb", "ä", "x" * 256, " a", "a ", " ", "a\x7f", None, b"a", 5])
def test_an_invocation_key_must_fit_into_a_header(key: Any) -> None:
    with pytest.raises(CoreError, match="idempotency key") as caught:
        build_invocation(None, idempotency_key=key)

    assert "Use a UUID" in caught.value.hint


@pytest.mark.parametrize("timeout", [0, -1, "5", float("nan"), 1e9])
def test_a_timeout_is_seconds(timeout: Any) -> None:
    with pytest.raises(CoreError, match="timeout is"):
        Talk(http_response(), timeout=timeout)


EVENTS = st.one_of(
    st.builds(TransportFailure, st.sampled_from(FailureKind), st.just("lost")),
    st.builds(
        lambda status, body, headers, why: HttpResponse(status, Headers(headers), body, unreadable=why),
        st.integers(200, 599),
        st.binary() | st.sampled_from([b'{"execution_id": "e"}', b'{"message": "m"}', b"<html>", b"[1e999]"]),
        st.dictionaries(
            st.sampled_from(["Content-Type", "X-Execution", "X-Flo-Instance", "Retry-After", "Location"]), st.text()
        ),
        st.sampled_from(["", "broken"]),
    ),
)


@given(st.lists(EVENTS, max_size=8), st.booleans())
def test_a_flow_that_may_have_run_is_never_sent_again_unasked(events: list[Any], idempotent: bool) -> None:
    talk = Talk(*events, http_response(), idempotent=idempotent)

    assert (talk.response is None) is not (talk.fault is None)
    if idempotent:
        return
    for event in events[: len(talk.sent) - 1]:
        refused = isinstance(event, HttpResponse) and event.status in (401, 429)
        assert refused or (isinstance(event, TransportFailure) and event.kind is FailureKind.NOT_SENT)


def test_another_payload_changes_the_payload_the_key_and_the_name_alone() -> None:
    call = build_invocation(
        idempotent=True, timeout=7.0, query={"q": "1"}, headers={"X-Mine": "1"}, rate_limit_wait=5.0
    )
    headers = {**call.headers, "Idempotency-Key": "key-2"}

    other = replace(call, body=b"[]", idempotency_key="key-2", headers=headers)
    assert call.with_payload(b"[]", "key-2") == other
    assert call.with_payload(b"[]", "key-2", "Item 3") == replace(other, item="Item 3")


def test_further_headers_are_added_unless_one_of_them_is_there() -> None:
    call = build_invocation(headers={"TraceParent": "mine"})

    assert call.with_headers({"x-more": "1"}) == replace(call, headers={**call.headers, "x-more": "1"})
    assert call.with_headers({"traceparent": "ours", "tracestate": "ours"}) is call


def test_a_request_with_a_token_is_otherwise_the_same() -> None:
    request = HttpRequest("GET", "https://acme.workflows.okta.com/x", {"A": "1"}, b"{}", 7.0)

    sent = authorized(request, "t0ken")
    assert (sent.method, sent.url, sent.body, sent.read_timeout) == ("GET", request.url, b"{}", 7.0)
    assert sent.headers == {"A": "1", "Authorization": "Bearer t0ken"}


def test_a_300_is_a_redirect() -> None:
    fault = Talk(http_response(300)).fault

    assert fault
    assert "redirect" in str(fault)
