"""The hook as an HttpHook: Airflow's own HttpOperator works with it, and nothing of the connection gets out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import requests
from airflow.providers.http.operators.http import HttpOperator

from airflow_okta_workflows.diagnostics import with_short_waits
from airflow_okta_workflows.emulator import Answer, Drip, Interim, LocalOrg, ReturnError
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaFlowFailedError, OktaFlowResponseError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.integration.listener import Listener, http

Connect = Callable[..., None]

# Of the http provider's own import, on the Airflow that the tests run on.
pytestmark = pytest.mark.filterwarnings("ignore:The .airflow.utils.operator_helpers:FutureWarning")


def operator(org: LocalOrg, flow: str = "echo", **options: Any) -> HttpOperator:
    return HttpOperator(
        task_id="http",
        http_conn_id="okta_workflows_default",
        endpoint=f"/api/flo/{org.flows[flow].alias}/invoke",
        headers={"Content-Type": "application/json"},
        data=json.dumps({"email": "ada@example.com"}),
        **options,
    )


def test_airflows_http_operator_invokes_a_flow_authorised(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    response = json.loads(operator(org).execute({}))

    assert response["body"] == {"email": "ada@example.com"}
    assert org.requests("echo")[0].headers["authorization"] == "Bearer"
    assert org.tokens_granted == 1


def test_airflows_http_operator_goes_the_providers_way(org: LocalOrg, connect: Connect) -> None:
    """With an adapter of requests, an interim response would be the response, and a drip would have no end."""
    connect(org, read_timeout=0.3)
    org.inject(Interim(times=2), flow="echo")
    org.inject(Drip("head"), flow="echo")

    assert json.loads(operator(org).execute({}))["body"] == {"email": "ada@example.com"}
    with pytest.raises(requests.ReadTimeout):
        operator(org).execute({})


def test_an_error_of_the_flow_is_raised_and_its_body_not_logged(
    org: LocalOrg, connect: Connect, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    org.flow("fail")(lambda request: ReturnError(500, "no such group"))
    org.flow("private")(
        lambda request: __import__("airflow_okta_workflows.emulator", fromlist=["x"]).ReturnRaw(500, "ssn 123-45")
    )
    connect(org)

    with caplog.at_level(logging.DEBUG), pytest.raises(OktaFlowFailedError, match="500: 'no such group'"):
        operator(org, "fail").execute({})
    with caplog.at_level(logging.DEBUG), pytest.raises(OktaFlowFailedError, match="returned 500"):
        operator(org, "private").execute({})

    assert "123-45" not in caplog.text + capsys.readouterr().out


def test_the_check_of_the_response_can_be_left_out(org: LocalOrg, connect: Connect) -> None:
    org.flow("fail")(lambda request: ReturnError(500, "no such group"))
    connect(org)

    assert "no such group" in operator(org, "fail", extra_options={"check_response": False}).execute({})


@pytest.mark.parametrize("options", [{}, {"allow_redirects": True}])
def test_a_redirect_is_not_followed(org: LocalOrg, connect: Connect, options: dict[str, Any]) -> None:
    connect(org)
    with Listener(http()) as other:
        org.inject(Answer(302, b"", {"Location": f"{other.url}/steal"}), flow="echo")
        with pytest.raises(OktaFlowResponseError, match="redirect"):
            operator(org, extra_options=options).execute({})

    assert other.received == []


def test_a_session_carries_the_token_only_to_allowed_hosts(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    with Listener(http()) as other, OktaWorkflowsHook().get_conn({"X-Mine": "1"}) as session:
        with pytest.raises(OktaConfigurationError, match="may not receive"):
            session.get(f"{other.url}/x")
        response = session.get(org.invoke_url("echo"), params={"a": "b"})

    assert response.json()["query"] == {"a": "b"}
    assert org.requests("echo")[0].headers["x-mine"] == "1"
    assert other.received == []


@pytest.mark.parametrize(
    "url",
    ["http://flows.example/x", "http://10.0.0.1/x", "http://ada:s3cret@flows.example/x", "http://flows.example:443"],
)
def test_a_session_sends_no_token_over_plain_http(org: LocalOrg, connect: Connect, url: str) -> None:
    connect(org, allowed_hosts="flows.example, 10.0.0.1")

    with pytest.raises(OktaConfigurationError, match=r"may not receive|user name or password") as caught:
        OktaWorkflowsHook().get_conn().get(url)
    assert "s3cret" not in str(caught.value)
    assert org.token_requests == []


def test_a_session_drops_a_token_that_was_refused(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    with OktaWorkflowsHook().get_conn() as session:
        session.post(org.invoke_url("echo"))
        org.revoke_tokens()
        assert session.post(org.invoke_url("echo")).status_code == 401
        assert session.post(org.invoke_url("echo")).status_code == 200

    assert org.tokens_granted == 2


def test_a_session_does_not_wait_without_limit(org: LocalOrg, connect: Connect) -> None:
    import threading

    held = threading.Event()
    org.flow("slow")(lambda request: held.wait(30))
    connect(org, read_timeout=0.2)
    with OktaWorkflowsHook().get_conn() as session, pytest.raises(requests.ReadTimeout):
        session.post(org.invoke_url("slow"))
    held.set()


def test_run_takes_an_endpoint_of_the_workflows_host_and_no_other(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    hook = OktaWorkflowsHook(method="GET")

    assert hook.url_from_endpoint("api/flo/x/invoke") == f"{org.url}/api/flo/x/invoke"
    assert hook.url_from_endpoint("@evil.example/").startswith(f"{org.url}/@")
    assert hook.run(f"/api/flo/{org.flows['echo'].alias}/invoke", data={"a": "b"}).json()["query"] == {"a": "b"}


def test_a_connection_is_found_as_airflow_finds_it(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    connection = OktaWorkflowsHook.get_connection("okta_workflows_default")

    assert type(connection.get_hook()) is OktaWorkflowsHook  # type: ignore[no-untyped-call]  # Airflow's


def test_the_button_says_of_a_good_connection(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    OktaWorkflowsHook().get_access_token()

    good, text = OktaWorkflowsHook().test_connection()

    assert good
    assert f"{org.app.client_id} at 127.0.0.1:{org.port}" in text
    assert "token: granted for 3600 s" in text
    assert "No flow was invoked" in text
    assert len(org.token_requests) == 2, "a token that is there already would prove nothing"
    assert org.log == []


def test_the_button_warns_of_what_airflows_http_operators_would_send(
    org: LocalOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As older forms store it: no guard.
    connection = {**org.connection(), "extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
    good, text = OktaWorkflowsHook().test_connection()

    assert good
    assert "would send the secrets of this connection" in text
    assert '"insecure_http": false' in text
    assert "token: granted" in text


def test_the_button_says_of_bad_connections(org: LocalOrg, connect: Connect, world: Any) -> None:
    org.app.granted_scopes.clear()
    connect(org)
    good, text = OktaWorkflowsHook().test_connection()
    assert not good
    assert "Okta API Scopes" in text

    connect(org, assertion_lifetime=9000, flows={"a" * 3000: 5})
    good, text = OktaWorkflowsHook().test_connection()
    assert not good
    assert "from 60 to 3600" in text
    assert "okta_workflows_default" not in text, "the form tests it under a random id"

    connect(org, flows={f"flow-{number:04}": 5 for number in range(500)})
    good, text = OktaWorkflowsHook().test_connection()
    assert not good
    assert "(1)" in text
    assert len(text) == 2000

    org.stop()
    connect(org)
    good, text = OktaWorkflowsHook(runtime=world.runtime()).test_connection()
    assert not good
    assert "connection was refused" in text
    assert "Check the host's name" in text
    assert world.slept == [], "the form waits"


def test_the_button_says_of_a_domain_that_is_not_the_orgs_own_name(connect: Connect) -> None:
    with LocalOrg(custom_domains=("localhost",)) as org:
        connect(org, domain=org.url)
        good, text = OktaWorkflowsHook().test_connection()

        assert not good
        assert "token: granted for 3600 s" in text
        assert (
            f"metadata: The org calls itself http://localhost:{org.port}, and the connection calls it {org.url}."
            in text
        )
        assert "set Host to that custom domain" in text
        assert org.tokens_granted == 1
        assert org.log == []


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (lambda _: None, "gave no response: the connection was closed"),
        (http(body=b"<html>"), "returned 200"),
        (http("404 Not Found"), "returned 404"),
        (http(body=b'{"issuer": "x y"}'), "is not a host"),
    ],
)
def test_a_token_is_good_news_even_where_the_domain_rule_cannot_be_looked_at(
    org: LocalOrg, monkeypatch: pytest.MonkeyPatch, metadata: Any, why: str
) -> None:
    token = http(body=b'{"access_token": "at", "expires_in": 60}')
    with Listener(metadata, token, keep_alive=True) as listener:
        connection = {**org.connection(), "host": listener.url}
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
        good, text = OktaWorkflowsHook().test_connection()

    assert good
    assert "token: granted for 60 s" in text
    assert why in text
    assert listener.received[0].startswith(b"GET /.well-known/oauth-authorization-server ")
    assert b"authorization:" not in listener.received[0].lower(), "the metadata are for anyone"


def test_a_check_waits_no_longer_than_a_person_does(org: LocalOrg, connect: Connect) -> None:
    connect(org, connect_timeout=60, read_timeout=600, rate_limit_wait=1200)
    short = with_short_waits(OktaWorkflowsHook().settings)

    assert (short.connect_timeout, short.read_timeout, short.rate_limit_wait) == (5, 10, 5)
