"""The conversation with the token endpoint, driven by hand: no network, no clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.http.types import FailureKind, Headers, HttpResponse, TransportFailure
from airflow_okta_workflows.core.keys.generation import generate_jwk
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import load_signing_key
from airflow_okta_workflows.core.oauth.client_assertion import sign_client_assertion
from airflow_okta_workflows.core.oauth.hints import clock_hint, token_hint
from airflow_okta_workflows.core.oauth.token_request import TokenRequest, request_token
from airflow_okta_workflows.core.protocol import Call, MaskSecrets, Send, Wait
from airflow_okta_workflows.core.runtime import Runtime

KEY = load_signing_key(parse_key_text(json.dumps(generate_jwk())))
URL = "https://acme.okta.com/oauth2/v1/token"
NOW = 1_800_000_000.0
DATE = {"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}
GRANTED = {"token_type": "Bearer", "expires_in": 3600, "access_token": "t0ken"}


def http_response(status: int, body: Any, headers: dict[str, str] | None = None) -> HttpResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, Headers({**DATE, **(headers or {})}), data)


class Talk:
    """Play the org's part from a list of events."""

    def __init__(self, *events: HttpResponse | TransportFailure, now: float = NOW, **options: Any) -> None:
        ids = iter(f"id-{number}" for number in range(100))
        options = {"assertion_lifetime": 300, "rate_limit_wait": 120.0, **options}
        request = TokenRequest(URL, "0oaabc", "okta.workflows.invoke.manage", lambda: KEY, **options)
        conversation = request_token(request, Runtime(clock=lambda: now, random=lambda: 0.5, new_id=lambda: next(ids)))
        self.sent: list[Any] = []
        self.waited: list[float] = []
        self.reasons: list[str] = []
        self.masked: list[str] = []
        self.masked_until: list[float] = []
        self.token: Any = None
        self.fault: CoreError | None = None
        coming = iter(events)
        event: Any = None
        try:
            while True:
                match conversation.send(event):
                    case Send(http_request):
                        self.sent.append(http_request)
                        event = next(coming)
                    case Wait(seconds, reason):
                        assert reason
                        self.reasons.append(reason)
                        self.waited.append(seconds)
                        event = None
                    case MaskSecrets(texts, until):
                        self.masked += texts
                        self.masked_until.append(until)
                        event = None
                    case Call() as step:
                        event = step.perform()
        except StopIteration as end:
            self.token = end.value
        except CoreError as fault:
            self.fault = fault

    def assertion(self, number: int = 0) -> str:
        return str(parse_qs(self.sent[number].body.decode())["client_assertion"][0])

    def refusal(self) -> CoreError:
        assert self.fault is not None
        assert self.assertion() not in str(self.fault)
        assert "None" not in str(self.fault)
        assert self.fault.hint
        return self.fault


def first_mask(conversation: Any) -> MaskSecrets:
    """Drive a conversation until it has sent its first request, and return what it masked before."""
    load = conversation.send(None)
    assert isinstance(load, Call)
    mask = conversation.send(load.perform())
    assert isinstance(mask, MaskSecrets)
    assert isinstance(conversation.send(None), Send)
    return mask


def test_without_a_key_nothing_is_sent() -> None:
    def load() -> Any:
        raise CoreError(ErrorKind.CONFIGURATION, "no key")

    conversation = request_token(
        TokenRequest(URL, "0oa", "s", load, 300, 0.0),
        Runtime(clock=lambda: NOW, random=lambda: 0.5, new_id=lambda: "x"),
    )
    step = conversation.send(None)
    assert isinstance(step, Call)
    fault = step.perform()
    assert isinstance(fault, CoreError)
    assert fault.__traceback__ is None, "its frames hold the key"
    with pytest.raises(CoreError, match="no key"):
        conversation.send(fault)


def test_the_request_is_what_okta_asks_for() -> None:
    talk = Talk(http_response(200, GRANTED))

    request = talk.sent[0]
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    claims = jwt.decode(form["client_assertion"], options={"verify_signature": False})
    assert (request.method, request.url) == ("POST", URL)
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    assert form["grant_type"] == "client_credentials"
    assert form["scope"] == "okta.workflows.invoke.manage"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert jwt.get_unverified_header(form["client_assertion"])["kid"] == KEY.kid
    assert claims == {
        "iss": "0oaabc",
        "sub": "0oaabc",
        "aud": URL,
        "iat": NOW - 30,
        "exp": NOW + 300,
        "jti": "id-0",
    }


def test_an_assertion_never_lasts_more_than_an_hour() -> None:
    assertion = sign_client_assertion(KEY, client_id="0oa", token_url=URL, now=NOW, lifetime=3600, jti="x")
    claims = jwt.decode(assertion, options={"verify_signature": False})

    assert claims["exp"] - claims["iat"] == 3600


def test_a_token_knows_what_was_granted() -> None:
    assert Talk(http_response(200, {**GRANTED, "scope": "okta.workflows.invoke.manage"})).token.scope == (
        "okta.workflows.invoke.manage"
    )
    assert Talk(http_response(200, GRANTED)).token.scope is None


def test_a_token_is_read_and_masked_before_anyone_sees_it() -> None:
    talk = Talk(http_response(200, GRANTED))

    assert (talk.token.value, talk.token.expires_at, talk.token.lifetime) == ("t0ken", NOW + 3600, 3600)
    assert talk.masked == [talk.assertion(), "t0ken"]
    assert talk.masked_until == [NOW + 300, NOW + 3600]


@pytest.mark.parametrize("status", [200, 403])
def test_a_body_that_cannot_be_read_says_why(status: int) -> None:
    cut_off = HttpResponse(status, Headers(DATE), b"", unreadable="its compressed body is cut off")
    fault = Talk(*[cut_off] * 3).refusal()

    assert fault.message == f"acme.okta.com returned {status} to the token request, but its compressed body is cut off."
    assert fault.detail == ""
    assert fault.data["error_description"] == "its compressed body is cut off"


@pytest.mark.parametrize("body", [b" {", b'{"access_token": "t0k', b'{"access_token": "t0ken", "expires_in": 1e999}'])
def test_half_a_json_object_is_no_refusal(body: bytes) -> None:
    assert Talk(http_response(200, body), http_response(200, GRANTED)).token.value == "t0ken"
    assert Talk(http_response(200, b" { }\n")).refusal().kind is ErrorKind.TOKEN_REFUSED


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        ("3600", 3600),
        (None, 3600),
        ("soon", 3600),
        (-5, 60),
        (0, 60),
        (1, 60),
        (True, 60),
        (10**9, 86_400),
        ("nan", 3600),
        ([1], 3600),
    ],
)
def test_a_lifetime_is_read_with_care(expires_in: Any, lifetime: float) -> None:
    assert Talk(http_response(200, {**GRANTED, "expires_in": expires_in})).token.lifetime == lifetime


@pytest.mark.parametrize(
    "again",
    [
        TransportFailure(FailureKind.NOT_SENT, "no connection"),
        TransportFailure(FailureKind.OUTCOME_UNKNOWN, "the connection was reset"),
        http_response(500, {"error": "server_error"}),
        http_response(503, b"<html>"),
        HttpResponse(200, Headers(DATE), b"", unreadable="its compressed body is cut off"),
        HttpResponse(401, Headers(DATE), b"", unreadable="its compressed body is cut off"),
        http_response(200, b'{"access_token": "t0k'),
        http_response(400, {"error": "temporarily_unavailable"}),
    ],
)
def test_what_may_pass_is_tried_three_times_with_a_new_assertion_each(again: Any) -> None:
    talk = Talk(again, again, http_response(200, GRANTED))

    assert talk.token.value == "t0ken"
    assert talk.waited == [0.75, 1.5]
    assert [f"Attempt {n} of 3; next in {s:.1f} s" in talk.reasons[n - 1] for n, s in ((1, 0.75), (2, 1.5))]
    assert "None" not in str(talk.reasons)
    assert len({talk.assertion(number) for number in range(3)}) == 3

    fault = Talk(again, again, again).refusal()
    assert fault.kind is ErrorKind.TOKEN
    assert "acme.okta.com" in fault.message
    assert fault.hint


@pytest.mark.parametrize(
    ("phase", "setting"), [(FailureKind.UNTRUSTED, "verify"), (FailureKind.NOT_SENT, "http_proxy")]
)
def test_an_org_that_cannot_be_reached_says_why_and_what_to_change(phase: FailureKind, setting: str) -> None:
    fault = Talk(*[TransportFailure(phase, "the reason")] * 3).refusal()

    assert fault.kind is ErrorKind.TOKEN
    assert fault.message == "No token from acme.okta.com: the reason."
    assert setting in fault.hint


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_there_are_no_more_attempts_than_were_asked_for(attempts: int) -> None:
    talk = Talk(*[TransportFailure(FailureKind.NOT_SENT, "no connection")] * attempts, attempts=attempts)

    assert talk.refusal().kind is ErrorKind.TOKEN
    assert len(talk.sent) == attempts


def test_an_untrusted_host_is_not_tried_again() -> None:
    talk = Talk(TransportFailure(FailureKind.UNTRUSTED, "the host's certificate is not trusted"))

    assert len(talk.sent) == 1
    assert "verify" in talk.refusal().hint


def test_429_waits_as_told_within_the_budget() -> None:
    slow = http_response(429, {"errorCode": "E0000047"}, {"Retry-After": "50"})

    talk = Talk(slow, slow, http_response(200, GRANTED))
    assert talk.token
    assert talk.waited == [50.25, 50.25]
    assert all("returned 429" in reason for reason in talk.reasons)

    talk = Talk(slow, slow, slow)
    assert talk.refusal().kind is ErrorKind.TOKEN
    assert "for longer than rate_limit_wait (120 s)" in talk.refusal().message
    assert "rate_limit_wait" in talk.refusal().hint
    assert talk.refusal().data["status_code"] == 429
    assert talk.refusal().data["error"] == "E0000047"


def test_a_429_without_a_date_is_compared_with_the_local_clock() -> None:
    slow = HttpResponse(429, Headers({"X-Rate-Limit-Reset": str(int(NOW) + 30)}), b"")

    assert Talk(slow, http_response(200, GRANTED)).waited == [30.25]


REFUSALS = [
    (401, "invalid_client", "The client_assertion token is expired.", "clock"),
    (401, "invalid_client", "The client_assertion token has an expiration too far into the future.", "3600"),
    (401, "invalid_client", "The client_assertion token must be issued before the current time.", "ahead"),
    (401, "invalid_client", "The client_assertion token has already been used.", "proxy"),
    (401, "invalid_client", "The client_assertion signature is invalid.", "Public Keys"),
    (401, "invalid_client", "The client_assertion JWT kid is invalid.", "key_id"),
    (401, "invalid_client", "The audience claim for client_assertion must be the endpoint invoked for the request.", "domain"),
    (401, "invalid_client", "The issuer claim for client_assertion is not a valid client_id.", "0oa"),
    (401, "invalid_client", "The parsing of the client_assertion failed.", "Client ID"),
    (401, "invalid_client", "The client_assertion JWT signature algorithm is invalid.", "algorithm"),
    (401, "invalid_client", "Invalid value for 'client_id' parameter.", "ACTIVE"),
    (401, "invalid_client", "Client authentication failed. Either the client or the client credentials are invalid.", "ACTIVE"),
    (401, "invalid_client", "Client Credentials requests to the Org Authorization Server must use the private_key_jwt token_endpoint_auth_method.", "Public key / Private key"),
    (400, "invalid_scope", "One or more scopes are not configured for the authorization server resource.", "scope"),
    (400, "consent_required", "You are not allowed any of the requested scopes.", "Okta API Scopes"),
    (400, "invalid_dpop_proof", "The DPoP proof JWT header is missing.", "Proof of possession"),
    (400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof.", "Proof of possession"),
    (400, "invalid_request", "The client_assertion_type is invalid.", "proxy"),
    (400, "unauthorized_client", "anything", "Client Credentials"),
    (400, "unsupported_grant_type", "anything", "the org itself"),
    (403, "access_denied", "The request is made from outside the client's permitted network zones.", "network zone"),
    (403, "access_denied", "anything", "policy"),
    (400, "invalid_request", "anything", "domain"),
    (401, "invalid_client", "anything", "Client ID"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "error", "description", "advice"), REFUSALS)
def test_each_refusal_says_what_to_change(status: int, error: str, description: str, advice: str) -> None:
    talk = Talk(http_response(status, {"error": error, "error_description": description}))

    fault = talk.refusal()
    assert fault.kind is ErrorKind.TOKEN_REFUSED
    assert len(talk.sent) == 1
    assert description in str(fault)
    assert advice in fault.hint
    assert fault.hint.endswith(".")
    assert fault.data == {"status_code": status, "error": error, "error_description": description}


def test_each_refusal_has_a_fix_of_its_own() -> None:
    fixes: dict[str, set[str]] = {}
    for _, error, description, _ in REFUSALS:
        fixes.setdefault(token_hint(error, description, None), set()).add(error)

    shared = [errors for errors in fixes.values() if len(errors) > 1]
    assert shared == [{"invalid_dpop_proof", "use_dpop_nonce"}]
    assert len(fixes) == len(REFUSALS) - 1


@pytest.mark.parametrize("body", [b"", b"<html>Forbidden</html>", b"[1]", b'"text"', b"\xff\xfe"])
@pytest.mark.parametrize("status", [403, 404, 200])
def test_what_is_no_token_endpoint_is_told_apart(status: int, body: bytes) -> None:
    assert "domain" in Talk(http_response(status, body)).refusal().hint


@pytest.mark.parametrize("status", [300, 302, 399])
def test_a_redirect_is_not_followed(status: int) -> None:
    talk = Talk(http_response(status, b"", {"Location": "https://evil.example"}))

    fault = talk.refusal()
    assert fault.kind is ErrorKind.TOKEN_REFUSED
    assert "redirect" in fault.message
    assert "Okta domain" in fault.hint
    assert fault.data["status_code"] == status
    assert len(talk.sent) == 1


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": "invalid_client", "error_description": "No."}, ": invalid_client.\nThe org says: No."),
        (403, {"errorCode": "E0000006", "errorSummary": "Denied."}, ": E0000006.\nThe org says: Denied."),
        (403, {"error": "access_denied"}, ": access_denied."),
        (404, {"message": "Gone."}, ".\nThe org says: Gone."),
        (400, {"error": "e", "error_description": "why", "message": "x"}, ": e.\nThe org says: why"),
        (400, {"error": 5, "error_description": ["x"]}, "."),
        (401, b'{"error": "invalid_client", "message": "\xff"}', ": invalid_client.\nThe org says: \ufffd"),
        (500, {}, "."),
    ],
)
def test_a_refusal_quotes_what_the_endpoint_said(status: int, body: Any, said: str) -> None:
    fault = Talk(*[http_response(status, body)] * 3).refusal()
    assert "\n".join(filter(None, (fault.message, fault.detail))) == (
        f"acme.okta.com returned {status} to the token request{said}"
    )


def test_a_dpop_token_is_of_no_use() -> None:
    talk = Talk(http_response(200, {**GRANTED, "token_type": "DPoP"}))

    fault = talk.refusal()
    assert fault.kind is ErrorKind.TOKEN_REFUSED
    assert "needs a proof of possession" in fault.message
    assert "Proof of possession" in fault.hint


def test_the_clocks_are_compared_where_it_helps() -> None:
    refused = http_response(401, {"error_description": "The client_assertion token is expired."})

    assert "clock" in Talk(refused, now=NOW).refusal().hint
    assert "412 s behind" in Talk(refused, now=NOW - 412).refusal().hint
    assert "60 s ahead of" in Talk(refused, now=NOW + 60).refusal().hint


@pytest.mark.parametrize(
    ("ahead", "said"), [(412.0, "412 s ahead of"), (1.0, "1 s ahead of"), (0.6, "1 s ahead of"), (-60.0, "60 s behind")]
)
def test_a_clock_that_is_off_is_told_by_how_much(ahead: float, said: str) -> None:
    assert clock_hint(ahead).endswith(f"Set this machine's clock (NTP), since it is {said} the org's.")


def test_an_assertion_that_is_echoed_does_not_come_back() -> None:
    conversation = request_token(
        TokenRequest(URL, "0oa", "s", lambda: KEY, 300, 0.0),
        Runtime(clock=lambda: NOW, random=lambda: 0.5, new_id=lambda: "x"),
    )
    mask = first_mask(conversation)
    echo = {"error": "invalid_client", "error_description": f"bad assertion {mask.texts[0]}"}
    with pytest.raises(CoreError) as caught:
        conversation.send(http_response(401, echo))

    assert "bad assertion ***" in str(caught.value)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "one character escaped": lambda text: "\\u0065" + text[1:],
    "in a URL": lambda text: "".join(f"%{ord(char):02x}" for char in text),
    "in JSON in it": lambda text: json.dumps({"a": text})[1:-1].replace('"', '\\"').replace("e", "\\\\u0065"),
}


@pytest.mark.parametrize("member", ["error", "error_description", "errorCode", "errorSummary", "message"])
@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("before", [0, 250, 299])
def test_an_echoed_assertion_is_nowhere_in_the_fault(member: str, encode: Callable[[str], str], before: int) -> None:
    conversation = request_token(
        TokenRequest(URL, "0oa", "s", lambda: KEY, 300, 0.0),
        Runtime(clock=lambda: NOW, random=lambda: 0.5, new_id=lambda: "x"),
    )
    mask = first_mask(conversation)
    assertion = mask.texts[0]
    body = f'{{"{member}": "{"x" * before} {encode(assertion)} and more"}}'
    json.loads(body)
    with pytest.raises(CoreError) as caught:
        conversation.send(http_response(401, body.encode()))

    told = str(caught.value) + str(caught.value.data)
    assert not [at for at in range(len(assertion) - 16) if assertion[at : at + 16] in told]


def test_a_token_that_is_of_no_use_is_not_told_either() -> None:
    talk = Talk(http_response(200, {**GRANTED, "access_token": "t0ken-t0ken-t0ken", "token_type": "DPoP",
                             "error_description": "no proof for t0ken-t0ken-t0ken"}))  # fmt: skip

    assert "t0ken" not in str(talk.refusal().data)


@pytest.mark.parametrize(("length", "told"), [(15, True), (16, False)])
def test_what_is_too_short_for_a_token_is_no_secret(length: int, told: bool) -> None:
    value = "ab" * 8
    fault = Talk(http_response(401, {"access_token": value[:length], "error": f"not {value[:length]}"})).refusal()

    assert (value[:length] in str(fault)) is told


@pytest.mark.parametrize("words", ["x\n[2026-01-01] INFO - Marking task as SUCCESS", "x\x1b[2J", "x\u2028y", "x\ry"])
def test_what_the_token_endpoint_says_stays_on_one_line(words: str) -> None:
    fault = Talk(http_response(401, {"error": words, "error_description": words})).refusal()
    waited = Talk(*[http_response(503, {"error": words, "error_description": words})] * 3).refusal()

    for error in (fault, waited):
        for text in (error.message, error.hint, error.detail, *error.data.values()):
            assert str(text).isprintable(), "no line break in it"
    assert str(Talk(http_response(200, {**GRANTED, "scope": words})).token.scope).isprintable()


@pytest.mark.parametrize("value", ["", "tök-tök-tök", "two\nlines", "null\x00", "del\x7f", 5, None, ["t"], {}])
def test_a_token_that_cannot_stand_in_a_header_is_none(value: Any) -> None:
    talk = Talk(http_response(200, {**GRANTED, "access_token": value}))

    fault = talk.refusal()
    assert talk.token is None
    assert fault.kind is ErrorKind.TOKEN_REFUSED
    assert "without a usable token" in fault.message
    assert "Okta domain" in fault.hint


def test_a_token_of_no_lifetime_is_good_for_a_minute_from_when_it_came() -> None:
    times = iter([NOW, NOW, NOW + 65, NOW + 65])
    conversation = request_token(
        TokenRequest(URL, "0oa", "s", lambda: KEY, 300, 0.0),
        Runtime(clock=lambda: next(times), random=lambda: 0.5, new_id=lambda: "x"),
    )
    first_mask(conversation)
    mask = conversation.send(http_response(200, {**GRANTED, "expires_in": 0}))

    assert isinstance(mask, MaskSecrets)
    assert mask.until == NOW + 125


@given(
    st.integers(200, 599),
    st.one_of(st.binary(), st.dictionaries(st.sampled_from([*list(GRANTED), "error", "error_description"]),
              st.none() | st.integers() | st.text() | st.floats() | st.lists(st.text()))),
    st.dictionaries(st.sampled_from(["Date", "Retry-After", "X-Rate-Limit-Reset"]), st.text()),
)  # fmt: skip
def test_any_response_is_a_token_or_a_fault(status: int, body: Any, headers: dict[str, str]) -> None:
    talk = Talk(*[http_response(status, body, headers)] * 200)

    assert (talk.token is None) is not (talk.fault is None)
