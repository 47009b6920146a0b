"""``okta-workflows check`` against a local org: each thing that can be wrong, and the fix it leads to."""

from __future__ import annotations

import io
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.emulator import Answer, HtmlError, LocalOrg, Reset, ReturnError, ReturnRaw, TooManyRequests
from tests.airflow_features import gives_connection
from tests.conftest import CommandLine, Ended
from tests.integration.test_connection_variables import BROKEN
from tests.unit.core.oauth.test_token_request import REFUSALS
from tests.watched_org import without_kid

STEPS = ["fields", "key", "domain", "metadata", "clock", "token", "flows"]


@pytest.fixture
def org(okta_local_org: LocalOrg) -> LocalOrg:
    @okta_local_org.flow("hello")
    def hello(request: Any) -> Any:
        return {"greeting": "Hello!"}

    return okta_local_org


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def results(ended: Ended) -> dict[str, str]:
    return {step["step"]: step["result"] for step in ended.json["steps"]}


def step(ended: Ended, name: str) -> dict[str, str]:
    return next(step for step in ended.json["steps"] if step["step"] == name)


def test_a_good_connection_passes_each_step_in_order(org: LocalOrg, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("check", "--output", "json")

    assert ended.code == 0
    assert ended.json["good"] is True
    assert ended.json["connection"] == "okta_workflows_default"
    assert list(results(ended)) == STEPS
    assert set(results(ended).values()) == {"passed"}
    assert all(step["detail"] and not step["fix"] for step in ended.json["steps"])
    assert f"EC P-256, ES256, kid {org.private_jwk['kid']}; from the Private key" in step(ended, "key")["detail"]
    assert "3600 s, scope okta.workflows.invoke.manage" in step(ended, "token")["detail"]
    assert (len(org.token_requests), len(org.log)) == (1, 0), "a token, and no invocation"


def test_text_is_one_line_a_step(org: LocalOrg, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("check")

    assert ended.code == 0
    assert [line.split()[:2] for line in ended.out.splitlines()] == [["passed", name] for name in STEPS]
    assert ended.err == ""


def test_a_connection_that_airflows_http_operators_would_send_is_warned_of(
    org: LocalOrg, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    exposed = {**org.connection(), "extra": {"workflows_host": org.url}}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(exposed))
    as_json, as_text = okta_workflows("check", "--output", "json"), okta_workflows("check")
    exposed["extra"] = {"insecure_http": False, **exposed["extra"]}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(exposed))
    mended = okta_workflows("check", "--output", "json")

    assert (as_json.code, as_json.json["good"]) == (as_text.code, mended.code == 0) == (0, True)
    assert step(as_json, "fields")["result"] == "warning"
    assert "would send the secrets of this connection" in step(as_json, "fields")["detail"]
    assert '"insecure_http": false' in step(as_json, "fields")["fix"]
    assert as_text.out.startswith("warning  fields      ")
    assert "Fix (OKW-1161): Put a value that is not a string first in extra" in as_text.out
    assert step(mended, "fields")["result"] == "passed"


def test_each_warning_of_the_fields_has_its_code_and_hides_no_other(
    org: LocalOrg, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = org.connection()
    key = connection.pop("password")
    extra = {"privateKey": key, "workflows_host": org.url}
    monkeypatch.setenv("AIRFLOW_CONN_BOTH", json.dumps({**connection, "extra": extra}))
    monkeypatch.setenv("AIRFLOW_CONN_ONE", json.dumps({**connection, "extra": {"insecure_http": False, **extra}}))
    both, one = (okta_workflows("check", "--conn-id", conn_id, "--output", "json") for conn_id in ("both", "one"))

    assert (both.code, one.code) == (0, 0)
    assert [step(ended, "fields")["result"] for ended in (both, one)] == ["warning", "warning"]
    assert [step(ended, "fields")["code"] for ended in (both, one)] == ["", "OKW-1162"]
    for words in (
        "(1) Put a value",
        "(OKW-1161) (2) In the connection, the field 'privateKey'",
        "rename it. (OKW-1162)",
    ):
        assert words in step(both, "fields")["fix"]
    assert "rename it" in step(one, "fields")["fix"]


def test_a_token_is_asked_for_anew_each_time(org: LocalOrg, okta_workflows: CommandLine) -> None:
    okta_workflows("check")
    okta_workflows("check")

    assert len(org.token_requests) == 2


@pytest.mark.filterwarnings("ignore:Encountered non-JSON")  # of Airflow 2.11, which does not refuse it yet
def test_faults_in_fields_are_listed_at_once_and_the_rest_is_skipped(
    okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"conn_type": "okta_workflows", "host": "acme-admin.okta.com", "extra": "{"}
    monkeypatch.setenv("AIRFLOW_CONN_BAD", json.dumps(bad))
    fixes = ["Set the Okta domain (Host) to acme.okta.com", "Client ID", "private key"]
    if gives_connection("bad"):
        fixes.append("Extra is not valid JSON")
    else:
        monkeypatch.setenv("AIRFLOW_CONN_BAD", json.dumps({**bad, "extra": ""}))
    ended = okta_workflows("check", "--conn-id", "bad", "--output", "json", "--flow", "x", "--yes")

    assert ended.code == 1
    assert results(ended) == {"fields": "failed", **dict.fromkeys([*STEPS[1:], "invocation"], "skipped")}
    fields = step(ended, "fields")
    assert f"{len(fixes)} problems" in fields["detail"]
    for fix in fixes:
        assert fix in fields["fix"]
    assert "fields have to be right" in step(ended, "token")["detail"]
    assert "token, flows" in step(ended, "invocation")["detail"]


@pytest.mark.parametrize("conn_type", ["http", ""])
def test_another_type_of_connection_is_told(
    conn_type: str, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": conn_type, "host": "x"}))
    ended = okta_workflows("check", "--conn-id", "other", "--output", "json")

    assert ended.code == 1
    assert "Use a connection of type Okta Workflows" in step(ended, "fields")["fix"]
    assert step(ended, "fields")["code"] == "OKW-1015"
    assert "OKW-1015" not in step(ended, "fields")["fix"], "it is said once"


def test_a_connection_that_is_not_there_is_told(okta_workflows: CommandLine) -> None:
    ended = okta_workflows("check", "--conn-id", "nowhere", "--output", "json")

    assert ended.code == 1
    assert "has no connection 'nowhere'" in step(ended, "fields")["fix"]
    assert "--conn-id" in step(ended, "fields")["fix"]


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("command", [["check"], ["invoke", "hello"]], ids=["check", "invoke"])
def test_a_variable_that_airflow_cannot_read_is_not_said_to_be_missing(
    kind: str, command: list[str], okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, reason, fix = BROKEN[kind]
    monkeypatch.setenv("AIRFLOW_CONN_MINE", value)
    ended = okta_workflows(*command, "--conn-id", "mine")
    said = ended.out + ended.err

    assert ended.code == 1
    for words in ("AIRFLOW_CONN_MINE", reason, fix):
        assert words in said
    assert "has no connection" not in said
    assert "cd+ef" not in said


@pytest.mark.parametrize(
    ("spoil", "fix"),
    [
        (lambda pem: pem[:80] + "AAAA" + pem[84:], "Paste the key again"),
        (lambda pem: json.dumps({**generate_jwk(), "x": "AAAA"}), "Paste the key again"),
    ],
)
def test_a_damaged_key_skips_the_token_alone(
    spoil: Any, fix: str, org: LocalOrg, connect: Any, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**org.connection(), "password": spoil(pem_of(org.private_jwk))}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
    ended = okta_workflows("check", "--output", "json")

    assert ended.code == 1
    assert results(ended) == {**dict.fromkeys(STEPS, "passed"), "key": "failed", "token": "skipped"}
    assert fix in step(ended, "key")["fix"]
    assert "key" in step(ended, "token")["detail"]
    assert org.token_requests == []


def test_a_key_without_a_kid_says_when_that_matters(
    org: LocalOrg, tmp_path: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key.pem"
    key.write_text(pem_of(org.private_jwk))
    connection = {**org.connection(key_file=str(key)), "password": None}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
    ended = okta_workflows("check", "--output", "json")

    assert ended.code == 0, "the app has one key, so the org needs no kid"
    assert "no kid: set key_id" in step(ended, "key")["detail"]
    assert f"from the key file {key}" in step(ended, "key")["detail"]


def test_a_domain_without_a_response_skips_what_needs_one(org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.stop()
    try:
        ended = okta_workflows("check", "--output", "json")
    finally:
        org.start()

    assert ended.code == 1
    skipped = dict.fromkeys(["metadata", "clock", "token"], "skipped")
    assert results(ended) == {**dict.fromkeys(STEPS, "passed"), "domain": "failed", **skipped}
    assert "refused" in step(ended, "domain")["detail"]
    assert "http_proxy" in step(ended, "domain")["fix"]


@pytest.fixture
def tls_org(tmp_path: Path) -> Any:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    with LocalOrg(ssl_context=context) as org:
        yield org, bundle


def test_a_certificate_is_good_or_has_its_fix(
    tls_org: tuple[LocalOrg, Path], connect: Any, okta_workflows: CommandLine
) -> None:
    org, bundle = tls_org
    connect(org, verify=str(bundle))
    good = okta_workflows("check", "--output", "json")
    connect(org)
    bad = okta_workflows("check", "--output", "json")
    connect(org, verify=False)
    blind = okta_workflows("check", "--output", "json")

    assert (good.code, bad.code, blind.code) == (0, 1, 0)
    assert str(bundle) in step(good, "domain")["detail"]
    assert "not trusted" in step(bad, "domain")["detail"]
    assert "set verify to the path of the CA bundle" in step(bad, "domain")["fix"]
    assert step(bad, "token")["result"] == "skipped"
    assert "NOT" in step(blind, "domain")["detail"]


def test_a_host_that_is_no_org_is_told(connect: Any, okta_workflows: CommandLine) -> None:
    class NoOrg(LocalOrg):
        def now(self) -> float:
            raise RuntimeError("a server that fails whatever it is asked")

    with NoOrg() as org:
        connect(org)
        ended = okta_workflows("check", "--output", "json")

    assert ended.code == 1
    assert results(ended) == {
        **dict.fromkeys(["fields", "key", "domain"], "passed"),
        "metadata": "warning",
        "clock": "passed",
        "token": "failed",
        "flows": "skipped",
    }
    assert "returned 500" in step(ended, "metadata")["detail"]
    assert "must be the org itself" in step(ended, "metadata")["fix"]


def test_a_response_that_is_too_large_is_still_an_respond(
    org: LocalOrg, connect: Any, okta_workflows: CommandLine
) -> None:
    connect(org, max_response_bytes=10)
    ended = okta_workflows("check", "--output", "json")

    assert ended.code == 1
    assert results(ended)["domain"] == results(ended)["flows"] == "passed"
    assert "larger than max_response_bytes" in step(ended, "metadata")["detail"]
    assert results(ended)["clock"] == "passed"


def test_the_wrong_one_of_two_domains_leads_to_the_rule(
    connect: Any, tmp_path: Path, okta_workflows: CommandLine
) -> None:
    with LocalOrg(custom_domains=("localhost",)) as org:
        org.flow("hello")(lambda request: {})
        connect(org, domain=org.url)
        wrong = okta_workflows("check", "--output", "json", "--flow", "hello", "--yes")
        custom = tmp_path / "connection.json"
        custom.write_text(json.dumps(org.connection()))
        right = okta_workflows("check", "--output", "json", "--file", str(custom), "--flow", "hello", "--yes")

    assert (wrong.code, right.code) == (1, 0)
    assert f"http://localhost:{org.port}" in step(wrong, "metadata")["detail"]
    assert "exactly one custom domain" in step(wrong, "metadata")["fix"]
    assert step(wrong, "invocation")["result"] == "failed"
    assert "exactly one custom domain" in step(wrong, "invocation")["fix"]


@pytest.mark.parametrize(
    ("skew", "clock", "words"),
    [(-3600, "failed", "s ahead of"), (3600, "failed", "s behind"), (-25, "passed", ""), (200, "passed", "")],
)
def test_the_clocks_are_compared(
    skew: float, clock: str, words: str, org: LocalOrg, okta_workflows: CommandLine
) -> None:
    org.clock_skew = skew
    ended = okta_workflows("check", "--output", "json")

    assert step(ended, "clock")["result"] == clock
    assert words in step(ended, "clock")["fix"]
    assert step(ended, "token")["result"] == clock, "the org takes an assertion when the check says that it will"
    assert ("NTP" in step(ended, "token")["fix"]) is (clock == "failed")


def _proof_of_possession(org: LocalOrg) -> None:
    org.app.proof_of_possession = True


def _no_scope(org: LocalOrg) -> None:
    org.app.granted_scopes = set()


def _inactive(org: LocalOrg) -> None:
    org.app.active = False


def _outside(org: LocalOrg) -> None:
    org.app.inside_network_zone = False


def _other_key(org: LocalOrg) -> None:
    kid = org.private_jwk["kid"]
    other = org.add_key()
    org.app.public_keys[kid] = org.app.public_keys.pop(other["kid"])


def _no_such_kid(org: LocalOrg) -> None:
    org.app.public_keys.clear()
    org.add_key()


@pytest.mark.parametrize(
    ("change", "said", "fix"),
    [
        (_proof_of_possession, "The DPoP proof JWT header is missing.", "uncheck 'Require Demonstrating Proof of Possession"),
        (_no_scope, "You are not allowed any of the requested scopes.", "Grant okta.workflows.invoke.manage to the app"),
        (_inactive, "Invalid value for 'client_id' parameter.", "the app is ACTIVE"),
        (_outside, "outside the client's permitted network zones", "network zone"),
        (_other_key, "The client_assertion signature is invalid.", "another key pair"),
        (_no_such_kid, "The client_assertion JWT kid is invalid.", "must be its kid"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_console_leads_to_its_fix(
    change: Any, said: str, fix: str, org: LocalOrg, okta_workflows: CommandLine
) -> None:
    change(org)
    ended = okta_workflows("check", "--output", "json")

    assert ended.code == 1
    assert results(ended) == {**dict.fromkeys(STEPS, "passed"), "token": "failed"}
    assert said in step(ended, "token")["detail"]
    assert fix in step(ended, "token")["fix"]
    assert step(ended, "token")["fix"] not in step(ended, "token")["detail"], "it is said once"
    assert len(org.token_requests) == 1


@pytest.mark.parametrize(("status", "error", "description", "fix"), REFUSALS)
def test_each_refusal_of_okta_s_leads_to_its_fix(
    status: int, error: str, description: str, fix: str, org: LocalOrg, okta_workflows: CommandLine
) -> None:
    body = json.dumps({"error": error, "error_description": description}).encode()
    org.inject(Answer(status, body, {"Content-Type": "application/json"}))
    ended = okta_workflows("check")

    assert ended.code == 1
    failed, fixed = ended.out.splitlines()[5:7]
    assert failed.startswith("failed   token")
    assert description in failed
    assert fixed.strip().startswith("Fix")
    assert fix in fixed


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        (TooManyRequests(retry_after=900), "raise rate_limit_wait"),
        (Answer(500, b'{"error": "server_error"}'), "Try again later"),
        (Answer(400, b'{"error": "temporarily_unavailable"}'), "Try again later"),
        (Answer(403), "must be the org itself"),
        (HtmlError(), "Try again later"),
        (Answer(302, b"", {"Location": "https://elsewhere.example"}), "must be the org itself"),
        (Reset(), "http_proxy"),
    ],
)
def test_other_ways_to_get_no_token_have_a_fix_too(
    fault: Any, fix: str, org: LocalOrg, okta_workflows: CommandLine
) -> None:
    org.inject(fault)
    ended = okta_workflows("check", "--output", "json")

    assert ended.code == 1
    assert step(ended, "token")["result"] == "failed"
    assert fix in step(ended, "token")["fix"]
    assert len(org.token_requests) == 1, "whoever looks on does not wait for three attempts"


@pytest.mark.parametrize(
    ("status", "body", "fix"),
    [
        (400, {"error": "no_org_scopes_granted"}, "Okta API Scopes tab"),
        (401, {"error": "invalid_client", "error_description": "The client does not have a JWKSet configured"}, "public key"),
        (403, {"errorCode": "E0000006", "errorSummary": "No."}, "System Log"),
        (401, {"errorCode": "E0000015"}, "lacks a feature"),
        (405, {"errorCode": "E0000022"}, "another method"),
    ],
)  # fmt: skip
def test_an_error_of_the_org_s_api_does_not_lead_to_the_domain(
    status: int, body: dict[str, str], fix: str, org: LocalOrg, okta_workflows: CommandLine
) -> None:
    org.inject(Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"}))
    ended = okta_workflows("check", "--output", "json")

    assert fix in step(ended, "token")["fix"]
    assert "must be the org itself" not in step(ended, "token")["fix"]


def test_a_fix_has_a_line_for_each_thing_to_check(org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.flow("gone")(lambda request: {})
    org.inject(Answer(404), flow="gone")
    ended = okta_workflows("check", "--flow", "gone", "--yes")

    _, failed = ended.out.split("failed   invocation")
    assert [line.strip().split(":")[0] for line in failed.splitlines()[1:]] == [
        "Fix (OKW-1423)",
        "Check workflows_host",
        "Check in the Workflows Console that the flow is on.",
        "If the flow itself returned this 404, let it return 200 instead",
    ]


def test_a_flow_that_is_off_and_an_unknown_alias_are_told_apart(org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.flow("off")(lambda request: {})
    org.flows["off"].active = False
    unknown = org.invoke_url("hello").replace(org.flows["hello"].alias, "0" * 32)
    fixes = [
        step(okta_workflows("check", "--flow", flow, "--yes", "--output", "json"), "invocation")["fix"]
        for flow in ("off", unknown)
    ]

    assert ["says that it is off" in fix for fix in fixes] == [True, False]
    assert ["alias" in fix for fix in fixes] == [False, True]


def test_a_flow_that_refuses_the_token_names_a_clock_that_is_off(org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.clock_skew = 100
    org.inject(Answer(401), flow="hello", times=2)
    ended = okta_workflows("check", "--flow", "hello", "--yes", "--output", "json")

    assert "behind the org's" in step(ended, "invocation")["fix"]
    assert "custom domain" in step(ended, "invocation")["fix"]


def test_a_flow_that_was_not_invoked_is_not_said_to_work(org: LocalOrg, okta_workflows: CommandLine) -> None:
    detail = step(okta_workflows("check", "--output", "json"), "flows")["detail"]

    assert f"hello at 127.0.0.1:{org.port}: allowed, and responds" in detail
    assert "--flow NAME" in detail
    assert "token" not in detail.partition("--flow")[0]


def test_a_scope_that_was_asked_for_and_not_granted_is_told(
    org: LocalOrg, connect: Any, okta_workflows: CommandLine
) -> None:
    connect(org, scope="okta.workflows.invoke.manage okta.users.read")
    ended = okta_workflows("check", "--output", "json")

    assert ended.code == 1
    assert "okta.users.read" in step(ended, "token")["detail"]
    assert "Okta API Scopes" in step(ended, "token")["fix"]


def test_a_connection_without_flows_is_no_fault(connect: Any, okta_workflows: CommandLine) -> None:
    with LocalOrg() as org:
        connect(org)
        ended = okta_workflows("check", "--output", "json")

    assert ended.code == 0
    assert step(ended, "flows")["result"] == "skipped"


def test_a_workflows_host_that_is_not_there_is_told(org: LocalOrg, connect: Any, okta_workflows: CommandLine) -> None:
    connect(org, workflows_host="http://127.0.0.1:1")
    ended = okta_workflows("check", "--output", "json")

    assert ended.code == 1
    assert "http://127.0.0.1:1 gave no response" in step(ended, "flows")["detail"]
    assert step(ended, "flows")["fix"]


@pytest.mark.parametrize(
    ("flow", "fix"),
    [
        ("helo", "Use one of its names"),
        ("https://evil.example/api/flo/a/invoke", "add 'evil.example' to allowed_hosts"),
    ],
)
def test_a_flow_that_may_not_be_invoked_is_not(flow: str, fix: str, org: LocalOrg, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("check", "--flow", flow, "--yes", "--output", "json")

    assert ended.code == 1
    assert fix in step(ended, "flows")["fix"]
    assert step(ended, "invocation")["result"] == "skipped"
    assert org.log == []


def test_a_flow_is_invoked_on_demand_and_its_response_shown(org: LocalOrg, okta_workflows: CommandLine) -> None:
    as_json = okta_workflows("check", "--flow", "hello", "--yes", "--output", "json")
    as_text = okta_workflows("check", "--flow", org.invoke_url("hello"), "--yes")

    assert (as_json.code, as_text.code) == (0, 0)
    assert as_json.json["response"]["body"] == {"greeting": "Hello!"}
    assert as_json.json["response"]["status_code"] == 200
    assert as_json.json["response"]["execution_id"] in step(as_json, "invocation")["detail"]
    steps, _, body = as_text.out.partition("{")
    assert steps.splitlines()[-1].startswith("passed   invocation")
    assert json.loads("{" + body) == {"greeting": "Hello!"}
    assert len(org.flows["hello"].runs) == 2


@pytest.mark.parametrize(
    ("response", "runs"), [("y\n", 1), ("Yes\n", 1), ("n\n", 0), ("\n", 0), ("", 0), ("maybe\n", 0)]
)
def test_a_flow_is_invoked_only_after_a_question(
    response: str, runs: int, org: LocalOrg, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(response))
    ended = okta_workflows("check", "--flow", "hello", "--output", "json")

    assert ended.code == 0
    assert "Invoke the flow 'hello' now?" in ended.err
    assert step(ended, "invocation")["result"] == ("passed" if runs else "skipped")
    assert len(org.flows["hello"].runs) == runs


def test_without_anybody_to_response_the_question_needs_yes(
    org: LocalOrg, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    ended = okta_workflows("check", "--flow", "hello")

    assert (ended.code, ended.out) == (2, "")
    assert "--yes" in ended.err
    assert (org.log, org.token_requests) == ([], [])


@pytest.mark.parametrize(
    ("returned", "said", "body"),
    [
        (ReturnError(400, "email is missing"), "email is missing", {"message": "email is missing"}),
        (ReturnRaw(500, "plain words"), "returned 500", "plain words"),
    ],
)
def test_a_flow_that_fails_shows_what_it_said(
    returned: Any, said: str, body: Any, org: LocalOrg, okta_workflows: CommandLine
) -> None:
    org.flow("fails")(lambda request: returned)
    as_json = okta_workflows("check", "--flow", "fails", "--yes", "--output", "json")
    as_text = okta_workflows("check", "--flow", "fails", "--yes")

    assert (as_json.code, as_text.code) == (1, 1)
    assert said in step(as_json, "invocation")["detail"]
    assert as_json.json["response"]["body"] == body
    assert str(body) in as_text.out or '"email is missing"' in as_text.out


def test_a_flow_with_another_security_level_leads_to_its_fix(org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.flow("closed", security="client_token")(lambda request: {})
    ended = okta_workflows("check", "--flow", "closed", "--yes", "--output", "json")

    assert ended.code == 1
    assert "Secure with OAuth 2.0" in step(ended, "invocation")["fix"]


def test_a_connection_from_a_file_is_checked_without_airflow_having_it(
    org: LocalOrg, tmp_path: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT")
    (tmp_path / "mine.json").write_text(json.dumps(org.connection()))
    ended = okta_workflows(
        "check", "--file", str(tmp_path / "mine.json"), "--flow", "hello", "--yes", "--output", "json"
    )

    assert ended.code == 0
    assert ended.json["connection"] == "mine"
    assert len(org.flows["hello"].runs) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"nonsense": 1}', '{"port": "many"}', '{"conn_type": 5}'])
def test_a_file_that_is_no_connection_is_wrong_usage(text: str, tmp_path: Path, okta_workflows: CommandLine) -> None:
    (tmp_path / "bad.json").write_text(text)
    ended = okta_workflows("check", "--file", str(tmp_path / "bad.json"))

    assert (ended.code, ended.out) == (2, "")
    assert "bad.json" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--file", "x", "--conn-id", "y"],
        ["--yes"],
        ["--file", "/nowhere/at/all.json"],
        ["--output", "xml"],
        ["unexpected"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], okta_workflows: CommandLine) -> None:
    ended = okta_workflows("check", *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err


def test_nothing_secret_is_shown(org: LocalOrg, connect: Any, okta_workflows: CommandLine) -> None:
    jwk, pem = org.private_jwk, pem_of(org.private_jwk)
    for _ in range(2):
        for arguments in ([], ["--output", "json"], ["--flow", "hello", "--yes"]):
            ended = okta_workflows("check", *arguments)
            for secret in (jwk["d"], *pem.splitlines()[1:-1], *org.tokens, "eyJ"):
                assert secret not in without_kid(ended.out + ended.err, org)
        org.app.proof_of_possession = True
