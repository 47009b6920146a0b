"""Invocations through the hook, sync and async alike, against the local org over real HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.emulator import (
    Answer,
    Close,
    HtmlError,
    Latency,
    LocalOrg,
    Pause,
    Reset,
    Return,
    ReturnError,
    ReturnRaw,
    TooManyRequests,
    Truncate,
)
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaFlowRateLimitedError,
    OktaFlowRefusedError,
    OktaTokenError,
    OktaTokenRefusedError,
)
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

Invoke = Callable[..., FlowResponse]
Connect = Callable[..., None]


def test_a_flow_is_invoked_and_its_response_returned(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)

    response = invoke("echo", {"email": "zoë@example.com"}, query={"q": [1, True]}, idempotency_key="key-1")

    assert response.status_code == 200
    assert response.body == {"body": {"email": "zoë@example.com"}, "query": {"q": "1"}, "key": "key-1"}
    assert response.execution_id == org.flows["echo"].runs[0].execution_id
    assert response.headers["content-type"].startswith("application/json")
    assert response.elapsed > 0
    assert org.tokens_granted == 1


def test_get_carries_its_parameters_in_the_query(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)

    assert invoke("echo", method="get", query={"a": "b c"}).body["query"] == {"a": "b c"}
    assert org.requests("echo")[0].method == "GET"


def test_each_invocation_has_a_key_of_its_own(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)

    assert invoke("echo").body["key"] != invoke("echo").body["key"]


@pytest.mark.parametrize(
    ("card", "body"),
    [
        (Return({"a": 1}), {"a": 1}),
        (ReturnRaw(200, [1, 2]), [1, 2]),
        (ReturnRaw(200, "<a/>", {"Content-Type": "text/xml"}), "<a/>"),
        (ReturnRaw(200), None),
        (Close(200, {"status": "RUNNING"}), {"status": "RUNNING"}),
        (None, None),
    ],
)
def test_each_card_is_understood(org: LocalOrg, connect: Connect, invoke: Invoke, card: Any, body: Any) -> None:
    org.flow("card")(lambda request: card)
    connect(org)

    assert invoke("card").body == body


def test_a_paused_flow_tells_its_execution(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    org.execution_header = None
    org.flow("pause")(lambda request: Pause({"question": "sure?"}))
    connect(org)

    response = invoke("pause")
    assert response.execution_id == response.body["execution_id"] == org.flows["pause"].runs[0].execution_id


@pytest.mark.parametrize(
    "card", [ReturnError(409, "exists already"), ReturnRaw(599, "no"), ReturnRaw(404, {"message": "x"})]
)
def test_a_failed_flow_is_final(org: LocalOrg, connect: Connect, invoke: Invoke, card: Any) -> None:
    org.flow("fail")(lambda request: card)
    connect(org)

    with pytest.raises(OktaFlowFailedError) as caught:
        invoke("fail", idempotency_key="k", idempotent=True)

    assert caught.value.response is not None
    assert caught.value.response.status_code == card.status
    assert (caught.value.flow, caught.value.idempotency_key) == ("fail", "k")
    assert len(org.flows["fail"].runs) == 1


def test_a_response_that_takes_too_long_has_an_unknown_outcome(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)
    org.inject(Latency(30, after_run=True), flow="echo")

    with pytest.raises(OktaFlowOutcomeUnknownError, match="took too long"):
        invoke("echo", timeout=0.2)

    assert len(org.flows["echo"].runs) == 1


def test_a_flow_that_takes_longer_than_okta_allows_is_cut_off(connect: Connect, invoke: Invoke) -> None:
    held = threading.Event()
    with LocalOrg(time_limit=0.2) as org:
        org.flow("slow")(lambda request: held.wait(30))
        connect(org)
        with pytest.raises(OktaFlowOutcomeUnknownError):
            invoke("slow")
        held.set()

    assert len(org.flows["slow"].runs) == 1


def test_waits_on_429_follow_the_headers(org: LocalOrg, connect: Connect, invoke: Invoke, world: Any) -> None:
    connect(org)
    invoke("echo")
    org.clock_skew = 500.0
    org.inject(TooManyRequests(retry_after=7), flow="echo")

    invoke("echo")
    assert world.slept == [7.25]

    org.inject(TooManyRequests(reset_in=9), flow="echo")
    invoke("echo")
    assert world.slept[1] == pytest.approx(9.25, abs=1.0), "by the org's clock, not by ours"


def test_the_orgs_own_rate_limit_is_kept(connect: Connect, invoke: Invoke) -> None:
    now = [time.time()]
    with LocalOrg(rate_limit=2, clock=lambda: now[0]) as org:
        org.flow("echo")(lambda request: {})
        connect(org, rate_limit_wait=0)
        invoke("echo")
        invoke("echo")
        with pytest.raises(OktaFlowRateLimitedError) as caught:
            invoke("echo")
        assert caught.value.retry_after == 1.0
        now[0] += 1.1
        invoke("echo")

    assert len(org.flows["echo"].runs) == 3
    assert len(org.requests("echo")) == 4


@pytest.mark.parametrize("spoil", [LocalOrg.expire_tokens, LocalOrg.revoke_tokens])
def test_a_token_that_is_no_longer_good_is_renewed_once(
    org: LocalOrg, connect: Connect, invoke: Invoke, spoil: Any
) -> None:
    connect(org)
    invoke("echo")
    spoil(org)

    invoke("echo")
    invoke("echo")

    assert org.tokens_granted == 2
    assert [request.status for request in org.requests("echo")] == [200, 401, 200, 200]
    assert len(org.flows["echo"].runs) == 3


def test_the_custom_domain_rule_explains_the_bare_401(connect: Connect, invoke: Invoke) -> None:
    with LocalOrg(custom_domains=("localhost",)) as org:
        org.flow("echo")(lambda request: {})
        connect(org, domain=org.url)
        with pytest.raises(OktaFlowRefusedError, match="custom domain"):
            invoke("echo")

        assert len(org.flows["echo"].runs) == 0
        assert org.tokens_granted == 2


def test_the_custom_domain_is_the_right_one_then(connect: Connect, invoke: Invoke) -> None:
    with LocalOrg(custom_domains=("localhost",)) as org:
        org.flow("echo")(lambda request: {"ok": True})
        connect(org)

        assert invoke("echo").body == {"ok": True}


@pytest.mark.parametrize(
    ("change", "status", "hint"),
    [
        ({"active": False}, 404, "the flow is on"),
        ({"security": "client_token"}, 403, "Secure with OAuth 2.0"),
    ],
)
def test_a_flow_that_refuses_says_what_to_change(
    org: LocalOrg, connect: Connect, invoke: Invoke, change: dict[str, Any], status: int, hint: str
) -> None:
    connect(org)
    vars(org.flows["echo"]).update(change)

    with pytest.raises(OktaFlowRefusedError) as caught:
        invoke("echo")

    assert hint in caught.value.hint
    assert caught.value.response is not None
    assert caught.value.response.status_code == status
    assert org.flows["echo"].runs == []


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (("ecko",), {}, "It knows: echo"),
        (("https://evil.example/api/flo/x/invoke",), {}, "may not receive the org's token"),
        (("echo", {"x-okta-workflows-a": 1}), {}, "reserved"),
        (("echo", "no json"), {}, "not JSON"),
        (("echo", object()), {}, "payload is of type object"),
        (("echo", {}), {"method": "GET"}, "GET takes no payload"),
        (("echo",), {"method": "DELETE"}, "method"),
        (("echo",), {"headers": {"Authorization": "Bearer mine"}}, "cannot be set"),
        (("echo",), {"query": {"X-Okta-Workflows": 1}}, "reserved"),
        (("echo",), {"idempotency_key": "a\nb"}, "idempotency key"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_a_token_is_asked_for(
    org: LocalOrg, connect: Connect, invoke: Invoke, arguments: Any, options: Any, sentence: str
) -> None:
    connect(org)

    with pytest.raises(OktaConfigurationError, match=sentence):
        invoke(*arguments, **options)

    assert org.token_requests == []
    assert org.log == []


@pytest.mark.parametrize(
    ("fault", "times"),
    [(HtmlError(503), 2), (Reset(), 2), (TooManyRequests(retry_after=5), 2), (Answer(500), 1), (Truncate(), 2)],
)
def test_a_token_is_asked_for_again_where_that_helps(
    org: LocalOrg, connect: Connect, invoke: Invoke, fault: Any, times: int
) -> None:
    connect(org)
    org.inject(fault, times=times)

    invoke("echo")

    assert len(org.token_requests) == times + 1
    assert len(org.app.used_ids) >= 1
    assert len(org.flows["echo"].runs) == 1


def test_a_token_that_cannot_be_had_stops_the_invocation(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)
    org.inject(HtmlError(503), times=3)

    with pytest.raises(OktaTokenError) as caught:
        invoke("echo")

    assert caught.value.status_code == 503
    assert org.log == []


def test_a_refused_token_request_is_made_once(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)
    org.app.proof_of_possession = True

    with pytest.raises(OktaTokenRefusedError) as caught:
        invoke("echo")

    assert caught.value.error == "invalid_dpop_proof"
    assert caught.value.error_description == "The DPoP proof JWT header is missing."
    assert "Proof of possession" in caught.value.hint
    assert len(org.token_requests) == 1


def test_a_flow_that_echoes_its_token_does_not_bring_it_back(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)
    token = OktaWorkflowsHook().get_access_token().value
    org.flow("leak")(lambda request: ReturnRaw(500, {"message": f"bad token {token}"}))
    connect(org)

    with pytest.raises(OktaFlowFailedError) as caught:
        invoke("leak")

    assert token not in str(caught.value)
    assert token not in str(vars(caught.value.response))
    assert "bad token ***" in str(caught.value)


def test_a_token_is_shared_by_both_ways_and_asked_for_once(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    hook = OktaWorkflowsHook()

    async def both() -> tuple[str, ...]:
        tokens = await asyncio.gather(*(hook.aget_access_token() for _ in range(20)))
        return tuple(token.value for token in tokens)

    values = {*asyncio.run(both()), hook.get_access_token().value, OktaWorkflowsHook().get_access_token().value}

    assert len(values) == 1
    assert len(org.token_requests) == 1


def test_many_threads_ask_for_one_token(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.inject(Latency(0.2))
    hook = OktaWorkflowsHook()
    threads = [threading.Thread(target=hook.invoke, args=("echo",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hook.close()

    assert len(org.token_requests) == 1
    assert len(org.flows["echo"].runs) == 16
