"""The local org is a product: it holds its callers to Okta's rules, in Okta's words."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import ssl
import time
import uuid
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
import requests
import trustme

from airflow_okta_workflows.core.keys.generation import KeyType, generate_jwk, public_jwk
from airflow_okta_workflows.core.oauth.client_assertion import ASSERTION_TYPE
from airflow_okta_workflows.emulator import (
    Answer,
    FlowRequest,
    Latency,
    LocalOrg,
    Reset,
    Return,
    ReturnRaw,
    StatusTable,
    TooManyRequests,
    Truncate,
)
from airflow_okta_workflows.emulator.sample_flows import sample_flows
from airflow_okta_workflows.exceptions import OktaFlowFailedError, OktaFlowOutcomeUnknownError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.airflow_features import connection_class


def key_of(jwk: dict[str, Any]) -> Any:
    algorithm = jwt.algorithms.ECAlgorithm if jwk["kty"] == "EC" else jwt.algorithms.RSAAlgorithm
    return algorithm.from_jwk(jwk)


def assertion(
    org: LocalOrg, *, jwk: dict[str, Any] | None = None, headers: Any = None, algorithm: str = "ES256", **claims: Any
) -> str:
    jwk = jwk or org.private_jwk
    now = int(time.time())
    full = {
        "iss": org.app.client_id,
        "sub": org.app.client_id,
        "aud": f"{org.url}/oauth2/v1/token",
        "iat": now - 30,
        "exp": now + 300,
        "jti": str(uuid.uuid4()),
        **claims,
    }
    kept = {
        name: now + value.total_seconds() if isinstance(value, timedelta) else value
        for name, value in full.items()
        if value is not None
    }
    return jwt.encode(
        kept, key_of(jwk), algorithm=algorithm, headers=headers if headers is not None else {"kid": jwk["kid"]}
    )


def form_of(signed: str | None) -> dict[str, Any]:
    return {
        "grant_type": "client_credentials",
        "scope": "okta.workflows.invoke.manage",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed,
    }


def ask(org: LocalOrg, signed: str | None, **form: Any) -> tuple[int, dict[str, Any]]:
    response = requests.post(f"{org.url}/oauth2/v1/token", data={**form_of(signed), **form}, timeout=5)
    return response.status_code, response.json()


def test_a_right_request_is_granted(org: LocalOrg) -> None:
    status, body = ask(org, assertion(org))

    assert status == 200
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 3600, "okta.workflows.invoke.manage")
    assert jwt.decode(body["access_token"], options={"verify_signature": False})["iss"] == org.url


OTHER = generate_jwk()
REFUSED: list[tuple[dict[str, Any], dict[str, Any], int, str, str]] = [
    ({"exp": timedelta(seconds=-1)}, {}, 401, "invalid_client", "The client_assertion token is expired."),
    ({"exp": None}, {}, 401, "invalid_client", "The client_assertion token is expired."),
    ({"exp": timedelta(hours=2.5)}, {}, 401, "invalid_client", "The client_assertion token has an expiration too far into the future."),
    ({"exp": float("nan")}, {}, 401, "invalid_client", "The client_assertion token is expired."),
    ({"exp": True}, {}, 401, "invalid_client", "The client_assertion token is expired."),
    ({"iat": timedelta(minutes=15)}, {}, 401, "invalid_client", "The client_assertion token must be issued before the current time."),
    ({"iat": float("nan")}, {}, 401, "invalid_client", "The client_assertion token must be issued before the current time."),
    ({"iat": "yesterday"}, {}, 401, "invalid_client", "The client_assertion token must be issued before the current time."),
    ({"nbf": timedelta(minutes=15)}, {}, 401, "invalid_client", "The client_assertion token must be issued before the current time."),
    ({"nbf": "yesterday"}, {}, 401, "invalid_client", "The client_assertion token must be issued before the current time."),
    ({"aud": "https://acme.okta.com"}, {}, 401, "invalid_client", "The audience claim for client_assertion must be the endpoint invoked for the request."),
    ({"iss": "someone", "sub": "someone"}, {}, 401, "invalid_client", "The issuer claim for client_assertion is not a valid client_id."),
    ({"sub": "0oaother"}, {}, 401, "invalid_client", "The issuer claim for client_assertion is not a valid client_id."),
    ({"iss": "0oaother", "sub": "0oaother"}, {}, 401, "invalid_client", "Invalid value for 'client_id' parameter."),
    ({}, {"client_id": "0oaother"}, 401, "invalid_client", "Invalid value for 'client_id' parameter."),
    ({"jti": 5}, {}, 401, "invalid_client", "The parsing of the client_assertion failed."),
    ({"jti": ["a"]}, {}, 401, "invalid_client", "The parsing of the client_assertion failed."),
    ({"headers": {"kid": "unknown"}}, {}, 401, "invalid_client", "The client_assertion JWT kid is invalid."),
    ({}, {"grant_type": "password"}, 400, "unsupported_grant_type", "The authorization grant type is not supported."),
    ({}, {"client_assertion_type": "x"}, 400, "invalid_request", "The client_assertion_type is invalid."),
    ({}, {"client_assertion": "x.y.z"}, 401, "invalid_client", "The parsing of the client_assertion failed."),
    ({}, {"client_assertion": None}, 401, "invalid_client", "Client Credentials requests to the Org Authorization Server must use the private_key_jwt token_endpoint_auth_method."),
    ({}, {"scope": "okta.nonsense"}, 400, "invalid_scope", "One or more scopes are not configured for the authorization server resource."),
    ({}, {"scope": "okta.users.read"}, 400, "consent_required", "You are not allowed any of the requested scopes."),
]  # fmt: skip


@pytest.mark.parametrize(("claims", "form", "status", "error", "description"), REFUSED)
def test_each_rule_is_kept_in_the_exact_words(
    org: LocalOrg, claims: dict[str, Any], form: dict[str, Any], status: int, error: str, description: str
) -> None:
    assert ask(org, assertion(org, **claims), **form) == (status, {"error": error, "error_description": description})
    assert (org.token_requests[-1].status, org.token_requests[-1].error) == (status, error)


def test_claims_at_the_edge_of_the_rules_are_granted(org: LocalOrg) -> None:
    assert ask(org, assertion(org, iat=None), client_id=org.app.client_id)[0] == 200
    assert ask(org, assertion(org, nbf=timedelta(seconds=-30)), client_id="")[0] == 200


def test_a_token_request_has_to_be_url_encoded(org: LocalOrg) -> None:
    fields = form_of(assertion(org))

    multipart = requests.post(f"{org.url}/oauth2/v1/token", files={name: (None, value) for name, value in fields.items()}, timeout=5)  # fmt: skip
    as_json = requests.post(f"{org.url}/oauth2/v1/token", json=fields, timeout=5)

    for response in (multipart, as_json):
        assert (response.status_code, response.json()) == (
            400,
            {"error": "invalid_request", "error_description": "The body must be application/x-www-form-urlencoded."},
        )
    assert requests.post(f"{org.url}/oauth2/v1/token", data=fields, timeout=5).status_code == 200, "nothing was used up"


def test_a_signature_by_another_key_is_refused(org: LocalOrg) -> None:
    forged = assertion(org, jwk=OTHER, headers={"kid": org.private_jwk["kid"]})

    assert ask(org, forged)[1]["error_description"] == "The client_assertion signature is invalid."


def test_an_algorithm_that_is_not_okta_s_is_refused(org: LocalOrg) -> None:
    hmac = jwt.encode({"iss": "0oa", "sub": "0oa"}, "x" * 32, algorithm="HS256")

    assert ask(org, hmac)[1]["error_description"] == "The client_assertion JWT signature algorithm is invalid."


def test_an_assertion_works_once_and_a_refusal_uses_it_up(org: LocalOrg) -> None:
    used = assertion(org)
    assert ask(org, used)[0] == 200
    assert ask(org, used)[1]["error_description"] == "The client_assertion token has already been used."

    spent = assertion(org)
    assert ask(org, spent, scope="okta.users.read")[0] == 400
    assert ask(org, spent)[1]["error_description"] == "The client_assertion token has already been used."

    without = assertion(org, jti=None)
    assert [ask(org, without)[0] for _ in range(2)] == [200, 200]


def test_kid_may_be_left_out_only_with_one_key(org: LocalOrg) -> None:
    assert ask(org, assertion(org, headers={}))[0] == 200

    second = org.add_key("rsa2048")

    assert ask(org, assertion(org, headers={}))[1]["error_description"] == "The client_assertion JWT kid is invalid."
    assert ask(org, assertion(org, jwk=second, algorithm="RS256"))[0] == 200


def test_what_the_console_can_set_is_honoured(org: LocalOrg) -> None:
    org.app.proof_of_possession = True
    assert ask(org, assertion(org))[1]["error_description"] == "The DPoP proof JWT header is missing."
    org.app.proof_of_possession = False
    org.app.inside_network_zone = False
    assert ask(org, assertion(org))[0] == 403
    org.app.inside_network_zone = True
    org.app.active = False
    assert ask(org, assertion(org))[1]["error_description"] == "Invalid value for 'client_id' parameter."


def test_a_skewed_clock_is_told_by_the_date_header(org: LocalOrg) -> None:
    org.clock_skew = 900

    assert ask(org, assertion(org))[1]["error_description"] == "The client_assertion token is expired."


def test_parameters_in_the_query_are_refused(org: LocalOrg) -> None:
    response = requests.post(f"{org.url}/oauth2/v1/token?grant_type=client_credentials", timeout=5)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_custom_authorization_servers_are_not_there(org: LocalOrg) -> None:
    assert requests.post(f"{org.url}/oauth2/default/v1/token", timeout=5).status_code == 404


def test_a_flow_sees_what_the_api_endpoint_card_gives(org: LocalOrg, connect: Any) -> None:
    seen: list[FlowRequest] = []

    @org.flow("look")
    def look(request: FlowRequest) -> Return:
        seen.append(request)
        return Return({})

    connect(org)
    with OktaWorkflowsHook().get_conn() as session:
        session.post(org.invoke_url("look"), data="not json", headers={"X-Mine": "1"}, params={"q": "1"})

    assert seen[0].body is None
    assert (seen[0].text, seen[0].query, seen[0].headers["x-mine"]) == ("not json", {"q": "1"}, "1")
    assert seen[0].headers["authorization"] == "Bearer", "the token is not kept"


def test_a_token_for_another_scope_runs_no_flow(org: LocalOrg) -> None:
    org.app.granted_scopes.add("okta.users.read")
    both = "okta.workflows.invoke.manage okta.users.read"
    statuses = []
    for scope in ("okta.users.read", both):
        token = ask(org, assertion(org), scope=scope)[1]["access_token"]
        response = requests.post(org.invoke_url("echo"), headers={"Authorization": f"Bearer {token}"}, timeout=5)
        statuses.append(response.status_code)
        if response.status_code == 401:
            assert response.json() == {"message": "Failed to authenticate request. Please check your headers"}

    assert statuses == [401, 200]
    assert len(org.flows["echo"].runs) == 1


def test_a_recorded_request_has_no_token(org: LocalOrg) -> None:
    org.flow("open", security="public")(lambda request: {})
    for authorization in ("S3CRET", "Bearer S3CRET"):
        requests.post(
            org.invoke_url("open"),
            params={"clientToken": "S3CRET", "q": "1"},
            headers={"x-api-client-token": "S3CRET", "Authorization": authorization},
            timeout=5,
        )

    assert "S3CRET" not in repr((org.log, org.flows))
    for seen, scheme in zip(org.flows["open"].runs, ("***", "Bearer"), strict=True):
        assert (seen.headers["x-api-client-token"], seen.headers["authorization"]) == ("***", scheme)
        assert seen.query == {"q": "1"}
    assert [one.headers["authorization"] for one in org.log] == ["***", "Bearer"]


ODD_BODIES = [
    ("not_utf8", "application/json", b'{"a": "\xff"}', {"a": "\ufffd"}),
    ("unknown_charset", "application/json; charset=nope", b'{"a": "\xc3\xa9"}', {"a": "\u00e9"}),
    ("charset_of_no_text", "application/json; charset=hex", b'{"a": 1}', {"a": 1}),
    ("charset_without_replacement", "application/json; charset=idna", b'{"a": 1}', {"a": 1}),
    ("too_deep", "application/json", b"[" * 200_000, None),
]


@pytest.mark.parametrize(("content_type", "sent", "body"), [row[1:] for row in ODD_BODIES], ids=[row[0] for row in ODD_BODIES])  # fmt: skip
def test_an_odd_body_reaches_the_flow_and_the_log(org: LocalOrg, content_type: str, sent: bytes, body: Any) -> None:
    org.flow("open", security="public")(lambda request: {})

    response = requests.post(org.invoke_url("open"), data=sent, headers={"Content-Type": content_type}, timeout=30)

    assert response.status_code == 200
    assert [run.body for run in org.flows["open"].runs] == [body]
    assert [(one.status, one.ran) for one in org.log] == [(200, True)]


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [
        ("application/x-www-form-urlencoded", b"grant_type=\xff"),
        ("application/x-www-form-urlencoded; charset=nope", b"grant_type=x"),
    ],
    ids=["not_utf8", "unknown_charset"],
)
def test_an_odd_token_request_is_refused_and_counted(org: LocalOrg, content_type: str, sent: bytes) -> None:
    response = requests.post(f"{org.url}/oauth2/v1/token", data=sent, headers={"Content-Type": content_type}, timeout=5)

    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")
    assert [one.status for one in org.token_requests] == [400]


def test_an_assertion_of_odd_json_is_refused(org: LocalOrg) -> None:
    signed = assertion(org)
    _, claims, signature = signed.split(".")
    deep = urlsafe_b64encode(b"[" * 200_000).rstrip(b"=").decode()
    listed = urlsafe_b64encode(b'{"alg": ["ES256"]}').rstrip(b"=").decode()

    assert (
        ask(org, f"{deep}.{claims}.{signature}")[1]["error_description"]
        == "The parsing of the client_assertion failed."
    )
    assert (
        ask(org, f"{listed}.{claims}.{signature}")[1]["error_description"]
        == "The client_assertion JWT signature algorithm is invalid."
    )


def test_requests_and_runs_are_counted_apart(org: LocalOrg, connect: Any) -> None:
    url = org.invoke_url("echo")
    assert requests.post(url, timeout=5).status_code == 401
    assert requests.put(url, timeout=5).status_code == 405
    assert requests.post(url.replace("invoke", "nothing"), timeout=5).status_code == 404
    assert requests.post(f"{org.url}/api/flo/unknown/invoke", timeout=5).status_code == 404
    connect(org)
    OktaWorkflowsHook().invoke("echo")

    assert [(one.status, one.ran) for one in org.requests("echo")] == [(401, False), (405, False), (200, True)]
    assert len(org.flows["echo"].runs) == 1


def test_public_flows_need_no_token(org: LocalOrg) -> None:
    org.flow("open", security="public")(lambda request: {"open": True})

    assert requests.get(org.invoke_url("open"), timeout=5).json() == {"open": True}


def test_a_flow_that_breaks_responses_500_and_tells_no_secret(org: LocalOrg) -> None:
    def broken(request: FlowRequest) -> Any:
        raise ValueError("secret detail")

    org.flow("broken", security="public")(broken)
    org.flow("odd", security="public")(lambda request: 5)

    response = requests.post(org.invoke_url("broken"), timeout=5)
    assert response.status_code == 500
    assert response.json() == {"message": "The flow failed with ValueError"}
    assert response.headers["x-flo-instance"]
    assert requests.post(org.invoke_url("odd"), timeout=5).status_code == 500


def test_a_flow_may_be_a_coroutine(org: LocalOrg) -> None:
    async def wait(request: FlowRequest) -> Any:
        await asyncio.sleep(0)
        return {"waited": True}

    org.flow("wait", security="public")(wait)

    assert requests.post(org.invoke_url("wait"), timeout=5).json() == {"waited": True}


@pytest.mark.parametrize("status", [100, 201, 302, 600])
def test_a_flow_responses_200_or_an_error(status: int) -> None:
    with pytest.raises(ValueError, match="200 or 400 to 599"):
        ReturnRaw(status)


def test_faults_come_in_the_order_in_which_they_were_ordered(org: LocalOrg) -> None:
    org.flow("open", security="public")(lambda request: {"open": True})
    org.inject(Latency(0.01), flow="open")
    org.inject(Reset(), flow="open")
    org.inject(Truncate(), flow="open")
    url = org.invoke_url("open")

    assert requests.post(url, timeout=5).status_code == 200
    for _ in range(2):
        with pytest.raises(requests.RequestException):
            requests.post(url, timeout=5)
    assert requests.post(url, timeout=5).status_code == 200
    assert [one.ran for one in org.requests("open")] == [True, False, True, True]


async def test_it_is_an_async_context_manager_too() -> None:
    async with LocalOrg() as org:
        org.flow("open", security="public")(lambda request: {"open": True})
        response = await asyncio.to_thread(requests.post, org.invoke_url("open"), timeout=5)

    assert response.json() == {"open": True}


def test_a_port_that_is_taken_says_so_and_leaves_nothing_behind(org: LocalOrg) -> None:
    with pytest.raises(OSError, match="address already in use"), LocalOrg(port=org.port):
        pass
    LocalOrg().stop()


def test_the_connection_is_ready_for_airflow(org: LocalOrg) -> None:
    variable, value = next(iter(org.environment("my_org", read_timeout=5).items()))
    connection = connection_class().from_json(value, conn_id="my_org")

    assert variable == "AIRFLOW_CONN_MY_ORG"
    assert connection.conn_type == "okta_workflows"
    assert connection.extra_dejson["flows"] == {"echo": org.flows["echo"].alias}
    assert connection.extra_dejson["read_timeout"] == 5
    assert json.loads(connection.password or "")["kid"] == org.private_jwk["kid"]


def test_the_fixture_defines_the_connection_as_flows_come(okta_local_org: LocalOrg) -> None:
    @okta_local_org.flow("onboard")
    def onboard(request: FlowRequest) -> Any:
        return {"account": (request.body or {})["email"]}

    response = OktaWorkflowsHook().invoke("onboard", {"email": "ada@example.com"})

    assert response.body == {"account": "ada@example.com"}
    assert okta_local_org.flows["onboard"].runs[0].idempotency_key


def test_the_sample_flows_do_what_the_examples_need(okta_local_org: LocalOrg) -> None:
    now = [0.0]
    okta_local_org.add_flows(sample_flows(provisioning_seconds=8, clock=lambda: now[0]))
    hook = OktaWorkflowsHook()

    def body(flow: str, payload: Any = None, **options: Any) -> Any:
        return hook.invoke(flow, payload, **options).body

    assert body("hello") == {"greeting": "Hello, world!"}
    account = body("create_account", {"email": "ada@example.com"}, idempotency_key="k")["account"]
    assert body("create_account", {"email": "ada@example.com"}, idempotency_key="k")["account"] == account
    assert body("create_account", {"email": "bob@example.com"})["account"]["id"] != account["id"]
    assert body("add_to_group", {"account_id": account["id"], "group": "g"}) == {"group": "g", "added": True}
    run = {"execution_id": body("provision", {"account_id": account["id"]})["execution_id"]}
    assert body("provision_status", run)["status"] == "RUNNING"
    now[0] = 9.0
    assert body("provision_status", run)["result"] == {
        "account_id": account["id"],
        "applications": ["mail", "chat", "wiki"],
    }
    assert body("provision_status", {"execution_id": "x"})["status"] == "NOT_FOUND"
    assert body("send_welcome", {"groups": [1]}) == {"sent": True, "groups": 1}
    accounts = body("list_accounts", {"application": "payroll"})["accounts"]
    assert len({account["id"] for account in accounts}) == len(accounts) == 4
    assert body("revoke_access", {"account_id": accounts[0]["id"], "application": "payroll"}) == {"revoked": True}
    with pytest.raises(OktaFlowFailedError, match="email is missing"):
        hook.invoke("create_account", {})
    with pytest.raises(OktaFlowFailedError, match="no such account"):
        hook.invoke("add_to_group", {"account_id": "x"})
    with pytest.raises(OktaFlowFailedError, match="application is missing"):
        hook.invoke("list_accounts", {})
    with pytest.raises(OktaFlowFailedError, match="account_id is missing"):
        hook.invoke("revoke_access", {})
    hook.close()


def test_the_sample_flow_that_can_be_asked_has_its_row_before_it_responds(okta_local_org: LocalOrg) -> None:
    now = [0.0]
    okta_local_org.add_flows(sample_flows(provisioning_seconds=8, clock=lambda: now[0]))
    hook = OktaWorkflowsHook()

    def status(**asked: Any) -> Any:
        return hook.invoke("provision_status", asked).body

    assert status(idempotency_key="k") == {"status": "NOT_FOUND", "idempotency_key": "k"}
    first = hook.invoke("provision", {"account_id": "00u0000001"}, idempotency_key="k")
    assert first.body == {"execution_id": first.execution_id, "status": "RUNNING"}
    assert status(idempotency_key="k") == {"status": "RUNNING", "idempotency_key": "k"}
    assert status(execution_id=first.execution_id) == {"status": "RUNNING", "idempotency_key": "k"}
    now[0] = 5.0
    hook.invoke("provision", {"account_id": "00u0000001"}, idempotency_key="k")
    hook.invoke("provision", {"fail": True}, idempotency_key="bad")
    now[0] = 8.0
    assert status(idempotency_key="k")["status"] == "SUCCEEDED", "the second invocation has made no second row"
    assert status(idempotency_key="k")["result"]["account_id"] == "00u0000001"
    now[0] = 13.0
    assert status(idempotency_key="bad")["status"] == "FAILED"
    assert [run.idempotency_key for run in okta_local_org.flows["provision"].runs] == ["k", "k", "bad"]
    hook.close()


def test_a_lost_response_leaves_a_row_and_a_double_run_is_counted(okta_local_org: LocalOrg) -> None:
    table = StatusTable()

    @okta_local_org.flow("provision")
    @table.worker_flow
    def provision(request: FlowRequest) -> Any:
        return (request.body or {})["account_id"]

    okta_local_org.flow("provision_status")(table.status_flow)
    hook = OktaWorkflowsHook()

    def invoke(key: str) -> None:
        hook.invoke("provision", {"account_id": 1}, idempotency_key=key)

    for key, fault in (("never arrived", Reset()), ("lost response", Reset(after_run=True))):
        okta_local_org.inject(fault, flow="provision")
        with pytest.raises(OktaFlowOutcomeUnknownError):
            invoke(key)
    keys = ("never arrived", "lost response")
    statuses = [hook.invoke("provision_status", {"idempotency_key": key}).body["status"] for key in keys]
    invoke("lost response")
    counted = requests.get(f"{okta_local_org.url}/counts", timeout=5).json()["flows"]["provision"]
    hook.close()

    assert statuses == ["NOT_FOUND", "SUCCEEDED"]
    assert list(table.rows) == ["lost response"]
    assert [run.idempotency_key for run in okta_local_org.flows["provision"].runs] == ["lost response"] * 2
    assert counted == {"requests": 3, "runs": 2, "most_runs_of_a_key": 2}


def test_the_metadata_name_the_org_as_its_flows_expect_it() -> None:
    with LocalOrg(custom_domains=("localhost",)) as org, LocalOrg() as plain:
        for one, issuer in ((org, f"http://localhost:{org.port}"), (plain, plain.url)):
            response = requests.get(f"{one.url}/.well-known/oauth-authorization-server", timeout=5)

            assert response.status_code == 200
            assert response.json()["issuer"] == issuer
            assert response.json()["token_endpoint"] == f"{issuer}/oauth2/v1/token"
            assert response.json()["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
            assert response.headers["Date"]


def test_a_subclass_is_told_each_request_that_is_responded() -> None:
    told: list[Any] = []

    class TellingOrg(LocalOrg):
        def on_response(self, request: Any) -> None:
            told.append(request)

    with TellingOrg() as org:
        org.flow("open", security="public")(lambda request: {"open": True})
        requests.post(org.invoke_url("open"), timeout=5)
        ask(org, None)

    assert told == [*org.log, *org.token_requests]
    assert [request.status for request in told] == [200, 401]


def test_an_app_that_is_kept_has_the_same_connection_again() -> None:
    with LocalOrg() as org:
        org.flow("hello")(lambda request: {})
        before = org.connection()
    with LocalOrg(port=org.port, client_id=org.app.client_id, private_jwk=org.private_jwk) as again:
        again.flow("hello")(lambda request: {})

        assert again.connection() == before


def test_an_org_that_others_reach_by_another_name_says_so(connect: Any) -> None:
    with LocalOrg(public_host="localhost") as org:
        org.flow("hello")(lambda request: {"ok": True})
        connect(org)

        assert org.invoke_url("hello").startswith(f"http://localhost:{org.port}/")
        assert OktaWorkflowsHook().invoke("hello").body == {"ok": True}
    elsewhere = LocalOrg(public_host="okta", port=8000).connection()["extra"]
    assert elsewhere == {"flows": {}, "workflows_host": "http://okta:8000", "insecure_http": True}


def test_it_counts_requests_runs_and_what_ran_twice(connect: Any) -> None:
    with LocalOrg(rate_limit=None) as org:
        org.flow("hello")(lambda request: {})
        connect(org)
        org.inject(TooManyRequests(retry_after=0), flow="hello")
        hook = OktaWorkflowsHook()
        for key in ("a", "a", "b"):
            hook.invoke("hello", idempotency_key=key)
        hook.close()

        assert requests.get(f"{org.url}/counts", timeout=5).json() == {
            "token_requests": 1,
            "tokens_granted": 1,
            "flows": {"hello": {"requests": 4, "runs": 3, "most_runs_of_a_key": 2}},
        }


def _connected(org: LocalOrg, ca: trustme.CA) -> socket.socket:
    return socket.create_connection(("127.0.0.1", org.port))


def _gone(org: LocalOrg, ca: trustme.CA) -> socket.socket:
    caller = _connected(org, ca)
    caller.close()
    return caller


def _idle(org: LocalOrg, ca: trustme.CA) -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    return context.wrap_socket(_connected(org, ca), server_hostname="127.0.0.1")


@pytest.mark.parametrize("call", [_connected, _gone, _idle])
def test_a_caller_that_sends_no_request_keeps_nothing_open(
    call: Callable[[LocalOrg, trustme.CA], socket.socket],
) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # How far the org has got with a connection when it stops is a matter of chance.
        for _ in range(5):
            with LocalOrg(ssl_context=context) as org:
                caller = call(org, ca)
            caller.close()
        gc.collect()

    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []


@pytest.mark.parametrize("key_type", ["p256", "rsa2048"])
def test_it_refuses_what_does_not_belong_to_the_public_key_in_oktas_words(key_type: KeyType) -> None:
    mine, other, others_type = generate_jwk(key_type), generate_jwk("p256"), generate_jwk("rsa2048")
    algorithm = "ES256" if key_type == "p256" else "RS256"
    with LocalOrg(public_key=public_jwk(mine), client_id="0oamine") as org:
        granted, token = ask(org, assertion(org, jwk=mine, algorithm=algorithm))
        _, wrong_kid = ask(org, assertion(org, jwk=other))
        refused = [
            ask(org, assertion(org, jwk=jwk, algorithm=algorithm, headers={"kid": mine["kid"]}))
            for jwk, algorithm in ((other, "ES256"), (others_type, "RS256"))
        ]
        _, listed_kid = ask(org, assertion(org, jwk=mine, algorithm=algorithm, headers={"kid": "other"}))

    assert (granted, token["token_type"]) == (200, "Bearer")
    assert wrong_kid["error_description"] == "The client_assertion JWT kid is invalid."
    assert listed_kid == wrong_kid
    for status, body in refused:
        assert (status, body["error_description"]) == (401, "The client_assertion signature is invalid.")
    with pytest.raises(LookupError, match="only a public key"):
        _ = org.private_jwk


def test_a_connection_to_an_org_with_a_public_key_has_a_place_for_the_private_one() -> None:
    jwk, another = generate_jwk(), generate_jwk()
    one = LocalOrg(public_key=public_jwk(jwk)).connection()
    two = LocalOrg(public_key={"keys": [public_jwk(jwk), public_jwk(another)]}).connection()

    assert one["password"] == two["password"] == "<your private key: a JWK or a PEM>"
    assert one["extra"]["key_id"] == jwk["kid"]
    assert "key_id" not in two["extra"], "a JWK has its own"
    with pytest.raises(ValueError, match="either private_jwk or public_key"):
        LocalOrg(public_key=public_jwk(jwk), private_jwk=jwk)


def test_an_app_without_a_key_is_refused_in_oktas_words(org: LocalOrg) -> None:
    org.app.public_keys.clear()
    status, body = ask(org, assertion(org))

    assert (status, body["error"]) == (401, "invalid_client")
    assert "does not have a JWKSet configured" in body["error_description"]


@pytest.mark.parametrize(
    ("fault", "granted"),
    [
        (Answer(200, b"{}"), 0),
        (Answer(403), 0),
        (Reset(), 0),
        (Answer(503, after_run=True), 1),
        (Reset(after_run=True), 1),
        (Latency(0.0), 1),
    ],
)
def test_a_token_counts_as_granted_if_it_was(fault: Any, granted: int, org: LocalOrg) -> None:
    org.inject(fault)
    with contextlib.suppress(requests.ConnectionError, requests.JSONDecodeError):
        ask(org, assertion(org))

    assert org.tokens_granted == len(org.tokens) == granted


class OutcomeError(BaseException):
    """An exception that is no Exception, such as that of pytest.fail()."""


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), OutcomeError("no")])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_flow_that_exits_fails_and_the_org_goes_on(
    error: BaseException, asynchronous: bool, org: LocalOrg, connect: Any
) -> None:
    def exits(request: FlowRequest) -> Any:
        raise error

    async def exits_asynchronously(request: FlowRequest) -> Any:
        raise error

    org.flow("exits")(exits_asynchronously if asynchronous else exits)
    connect(org)
    hook = OktaWorkflowsHook()

    with pytest.raises(OktaFlowFailedError, match=f"failed with {type(error).__name__}"):
        hook.invoke("exits")
    assert hook.invoke("echo", {"a": 1}).body["body"] == {"a": 1}
    hook.close()
