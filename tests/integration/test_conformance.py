"""The probes of a real org tell each change of a rule, and that rule alone; the local org can then behave like it."""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from airflow_okta_workflows.conformance.budget import (
    INVOCATIONS,
    RATE_INVOCATIONS,
    TOKEN_REQUESTS,
    Budget,
    BudgetExceededError,
)
from airflow_okta_workflows.conformance.rate_probes import window_of
from airflow_okta_workflows.conformance.session import Session
from airflow_okta_workflows.core.addresses import Origin
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.proxies import parse_proxy
from airflow_okta_workflows.core.http.types import Headers, HttpResponse
from airflow_okta_workflows.core.keys.generation import KeyType
from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.emulator import Answer, HtmlError, LocalOrg, LoginPage, Reset, ReturnError
from airflow_okta_workflows.emulator.faults import Fault
from airflow_okta_workflows.emulator.profile import FORMAT, OrgRules
from airflow_okta_workflows.emulator.rules import ACCEPTED, RATE_HEADERS, RULES, Observation, Rule
from airflow_okta_workflows.emulator.token_endpoint import NOT_GRANTED
from airflow_okta_workflows.transport.h11_transport import H11Transport
from tests.conformance_run import QuickOrg, results, run_against, settings_of
from tests.conftest import World
from tests.integration.test_emulator import ask, assertion

PROBED = {rule.id: rule for rule in RULES.values() if not rule.unprobed}
ANOTHER = {"status": 418, "type": "application/json", "body": {"message": "This is another response."}}
HEADERS = {"headers": list(RATE_HEADERS)}

# Changes of facts, and of outcomes where any other response would not do.
CHANGES: dict[str, list[Observation]] = {
    "M1": [{"status": 200, "type": "text/plain"}, {"status": 403, "type": "application/json"}],
    "M2": [{"issuer": "<url>", "token_endpoint": "<domain>/oauth2/v1/token"}],
    "M3": [{"client_credentials": True, "private_key_jwt": False}],
    "M4": [{"algorithms": ["RS256"]}],
    "T1": [{**RULES["T1"].expected, "body": {**RULES["T1"].expected["body"], "id_token": "<id>"}}],
    "T2": [{"expires_in": 600}],
    "T20": [ANOTHER],
    "T22": [HEADERS],
    "R1": [{"status": 200, "type": "text/json"}, {"status": 201, "type": "application/json"}],
    "R2": [{"status": 200, "type": "text/plain"}],
    "R3": [ANOTHER, {"status": "as given", "type": "application/json", "body": {"_error": True, "says": "<message>"}}],
    "R4": [ANOTHER, {"status": 502, "type": "text/html", "text": "<html>"}, {"status": 500, "type": None}],
    "R5": [{"returned": "behind"}],
    "E1": [
        {"header": None, "form": "uuid"},
        {"header": "x-okta-execution-id", "form": "uuid"},
        {"header": "x-flo-instance", "form": "other"},
    ],
    "E2": [{"execution_id": False}],
    "E3": [{"execution_id": False}],
    "E4": [{"execution_id": False}],
    "E5": [{"execution_id": True}],
    "L1": [{"seconds": 30}, {"seconds": None}],
    "L2": [
        {"lost": "the connection was closed without a response"},
        {"status": 504, "type": "text/html", "text": "<html>", "execution_id": False},
        {"status": 500, "type": "application/json", "body": {"message": "Timeout"}, "execution_id": True},
    ],
    "L3": [{"accepted_at_once": 5}],
    "L4": [{**ANOTHER, "status": 429}],
    "L5": [{"headers": []}, {"headers": ["retry-after"]}],
    "L6": [{"window": "second"}, {"window": "bucket"}],
    "L7": [HEADERS],
    "C1": [{"date": False}],
    "C2": [{"date": False}],
    "C3": [{"kept": False}],
    "C4": [{"kept": False}],
}
# An org that lets pass what the local org refuses.
ACCEPTING = [
    "T3",
    "T4",
    "T5",
    "T6",
    "T7",
    "T9",
    "T10",
    "T11",
    "T15",
    "T16",
    "T17",
    "T18",
    "T19",
    "F3",
    "F4",
    "F5",
    "F8",
    "F9",
]


def changes_of(rule: Rule) -> list[Observation]:
    return [*CHANGES.get(rule.id, [ANOTHER]), *([ACCEPTED] if rule.id in ACCEPTING else [])]


ALL_CHANGES = [
    pytest.param(rule.id, change, id=f"{rule.id}-{number}")
    for rule in PROBED.values()
    if rule.playable
    for number, change in enumerate(changes_of(rule))
]


def profile_of(**seen: Observation) -> dict[str, Any]:
    return {"format": FORMAT, "rules": {rule: {"seen": observation} for rule, observation in seen.items()}}


def test_the_local_org_is_no_different_from_itself(world: World) -> None:
    with QuickOrg(world) as org:
        session = run_against(org, world)

    assert results(session, "different", "failed") == []
    assert results(session, "not tried") == [*(rule.id for rule in RULES.values() if rule.unprobed), "C5"]


@pytest.mark.parametrize("key_type", ["rsa2048"])
def test_the_kind_of_the_key_makes_no_difference(world: World, key_type: KeyType) -> None:
    with QuickOrg(world, key_type=key_type) as org:
        assert results(run_against(org, world, rate=False), "different", "failed") == []


@pytest.mark.parametrize(("rule", "change"), ALL_CHANGES)
def test_a_changed_rule_is_named_and_no_other(rule: str, change: Observation, world: World, tmp_path: Path) -> None:
    with QuickOrg(world, profile=profile_of(**{rule: change})) as org:
        session = run_against(org, world)
    assert results(session, "different") == [rule]
    assert results(session, "failed") == []

    file = tmp_path / "conformance.json"
    file.write_text(json.dumps(session.findings.to_json()))
    assert json.loads(file.read_text())["rules"][rule]["seen"] == change
    with QuickOrg(world, profile=file) as like_it:
        again = run_against(like_it, world, compared_with=file)
    assert results(again, "different", "failed") == []
    assert results(again, "same") == results(session, "same", "different")


def test_a_rule_that_no_profile_can_change_is_probed_all_the_same(world: World) -> None:
    with QuickOrg(world) as org:
        org.flow("conformance_echo")(lambda request: {"message": None, "parameter": request.query.get("parameter")})

        @org.flow("conformance_close")
        def close(request: Any) -> Any:
            world.now += 20
            return {"status": "RUNNING"}

        session = run_against(org, world)

    assert results(session, "different") == ["F1", "R6"]


@pytest.mark.parametrize(
    ("rule", "app", "claims"),
    [
        ("T23", {}, {"exp": None}),
        ("T24", {"public_keys": {"one": None, "two": None}}, {"headers": {}}),
        ("T25", {"proof_of_possession": True}, {}),
        ("T26", {"active": False}, {}),
        ("T27", {"public_keys": {}}, {}),
        ("T28", {"inside_network_zone": False}, {}),
    ],
)
def test_a_rule_that_is_not_probed_can_be_changed_too(rule: str, app: dict[str, Any], claims: dict[str, Any]) -> None:
    with LocalOrg(profile=profile_of(**{rule: ANOTHER})) as org:
        for name, value in app.items():
            setattr(org.app, name, value)
        status, _ = ask(org, assertion(org, **claims))

    assert status == 418


def test_a_token_of_the_wrong_domain_is_a_rule_of_its_own() -> None:
    with LocalOrg(custom_domains=("localhost",), profile=profile_of(F6=ANOTHER)) as org:
        org.add_flows({"hello": lambda request: {}})
        token = org.grant_token(org.url, "okta.workflows.invoke.manage")
        statuses = [
            requests.post(org.invoke_url("hello"), headers={"Authorization": f"Bearer {value}"}, timeout=5).status_code
            for value in (token, "nonsense")
        ]

    assert statuses == [418, 401]


def test_tls_is_compared_where_there_is_some(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with QuickOrg(world, ssl_context=context) as org:
        good = run_against(org, world, rate=False)
        unverified = run_against(org, world, rate=False, verify=False)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        untrusted = run_against(org, world, rate=False)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        older = run_against(org, world, rate=False)

    assert results(good, "different", "failed") == []
    assert "C5" in results(good, "same")
    assert "C5" in results(unverified, "not tried")
    assert "C5" in results(untrusted, "failed")
    assert results(older, "different") == ["C5"]


def test_the_budget_is_kept_whatever_the_org_returns(world: World) -> None:
    with QuickOrg(world) as org:
        session = run_against(org, world)

    assert (TOKEN_REQUESTS, INVOCATIONS) == (20, 30)
    assert len(org.token_requests) == session.token_requests.sent <= TOKEN_REQUESTS
    # One more than the org has in its log, to an alias that it does not know.
    assert len(org.log) + 1 == session.invocations.sent + session.rate_invocations.sent
    assert session.invocations.sent <= INVOCATIONS
    assert session.rate_invocations.sent == RATE_INVOCATIONS


def test_nothing_is_sent_beyond_the_budget() -> None:
    budget = Budget(2)
    budget.take()
    budget.take()

    with pytest.raises(BudgetExceededError, match="the budget of 2 requests is used up"):
        budget.take()
    assert budget.sent == 2


def test_a_flow_that_is_not_there_is_not_tried(world: World) -> None:
    with QuickOrg(world) as org:
        for name in list(org.flows):
            del org.flows[name]
        session = run_against(org, world)

    assert results(session, "different", "failed") == []
    assert {"F2", "R3", "L1", "L3"} <= set(results(session, "not tried"))
    assert "F7" in results(session, "same")
    assert session.invocations.sent == 1


def test_without_a_token_everything_else_is_left(world: World) -> None:
    with QuickOrg(world) as org:
        org.app.proof_of_possession = True
        session = run_against(org, world)

    assert results(session, "different") == ["T1"]
    assert {"T4", "F4", "L3"} <= set(results(session, "failed"))
    assert (len(org.token_requests), len(org.log)) == (1, 0)


def test_an_org_that_is_not_there_fails_each_probe(world: World) -> None:
    with QuickOrg(world) as org:
        pass
    session = run_against(org, world)

    assert results(session, "different", "same") == []
    assert {"M1", "T1", "F1", "L3"} <= set(results(session, "failed"))


@pytest.mark.parametrize(
    ("limited", "failed"),
    [(5, ["T7"]), (0, [f"T{number}" for number in range(1, 23)])],
    ids=["a wrong request", "the first request"],
)
def test_a_rate_limit_of_the_token_endpoint_is_no_difference(limited: int, failed: list[str], world: World) -> None:
    class LimitedOrg(QuickOrg):
        def on_assertion(self, assertion: str) -> None:
            if len(self.token_requests) == limited:
                self.inject(Answer(429, b""))

    with LimitedOrg(world) as org:
        session = run_against(org, world, rate=False)

    assert results(session, "different") == []
    assert [rule for rule in results(session, "failed") if rule[0] == "T"] == failed


def test_a_name_of_the_org_in_a_header_is_replaced_and_can_be_played(world: World) -> None:
    profile = profile_of(E1={"header": "x-<org>-execution-id", "form": "uuid"}, L7={"headers": ["x-<org>-ratelimit"]})
    with QuickOrg(world, profile=profile) as org:
        session = run_against(org, world, rate=False, compared_with=profile)

    assert org.execution_header == "x-org-execution-id"
    assert results(session, "different") == ["E1", "L7"]


def test_a_media_type_of_the_org_s_own_is_replaced(world: World) -> None:
    with QuickOrg(world) as org:
        settings = replace(settings_of(org), domain=Origin("https", "acme.okta.com", 443))
    session = Session(settings, H11Transport(settings), world.runtime(), OrgRules(), lambda _: None)

    assert session.media_type(Headers({"Content-Type": "application/vnd.acme+json"})) == "application/other"
    assert session.media_type(Headers({"Content-Type": "application/problem+json; charset=utf-8"})) == (
        "application/problem+json"
    )
    assert session.media_type(Headers({"Content-Type": "nonsense"})) is None


def why(session: Session, rule: str) -> str:
    return next(finding.why for finding in session.findings.all() if finding.rule.id == rule)


def seen(session: Session, rule: str) -> Observation | None:
    return next(finding.seen for finding in session.findings.all() if finding.rule.id == rule)


def test_an_org_without_a_rate_limit_accepts_each_burst(world: World) -> None:
    with QuickOrg(world, rate_limit=None) as org:
        session = run_against(org, world)

    assert results(session, "different") == ["L3"]
    assert seen(session, "L3") == {"accepted_at_once": None}
    assert {why(session, rule) for rule in ("L4", "L5", "L6")} == {"no invocation was refused"}

    profile = session.findings.to_json()
    with QuickOrg(world, profile=profile) as like_it:
        again = run_against(like_it, world, compared_with=profile)
    assert like_it.rate_limit is None
    assert results(again, "different", "failed") == []


def test_a_limit_above_a_burst_stays_unknown(world: World) -> None:
    with QuickOrg(world, rate_limit=15) as org:
        session = run_against(org, world)

    assert results(session, "different", "failed") == []
    assert {why(session, rule) for rule in ("L3", "L6")} == {"at least 12 invocations at once are accepted"}
    assert {"L4", "L5"} <= set(results(session, "same"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (HtmlError(502), "returned 502"),
        (LoginPage(), "returned 200 with an HTML page, such as that of a login"),
        (Reset(), "no response: "),
    ],
    ids=["a gateway's page", "a login page", "a reset"],
)
@pytest.mark.parametrize("rate_limit", [10, None], ids=["a limit", "no limit"])
def test_a_failure_in_a_burst_is_no_refusal_by_the_limit(
    fault: Fault, said: str, rate_limit: int | None, world: World
) -> None:
    class FailingOrg(QuickOrg):
        def on_response(self, seen: Any) -> None:
            # All rules of the flow echo are tried before those of the rate limit.
            if getattr(seen, "flow", None) == "conformance_slow":
                self.inject(fault, flow="conformance_echo", times=3)

    with FailingOrg(world, rate_limit=rate_limit, profile=profile_of(L1={"seconds": None})) as org:
        session = run_against(org, world)

    unknown = ["L3", "L6"] if rate_limit else ["L3", "L4", "L5", "L6"]
    assert results(session, "different") == ["L1"]
    assert results(session, "failed") == unknown
    assert why(session, "L3").startswith(f"an invocation in a burst failed: {said}")


def test_an_org_that_accepts_no_burst_fails_the_probe(world: World) -> None:
    with QuickOrg(world, rate_limit=0) as org:
        session = run_against(org, world)

    assert why(session, "L3") == "none of the invocations was accepted"
    assert {"F1", "L3", "L4", "L5", "L6"} <= set(results(session, "failed"))
    assert why(session, "F1") == "returned 429, a rate limit"


@pytest.mark.parametrize(
    ("accepted", "window"),
    [
        ([0, 0, 0], "sliding"),
        ([1, 0, 2], "sliding"),
        ([0, 10, 0], "second"),
        ([9, 1, 10], "second"),
        ([5, 5, 5], "bucket"),
        ([4, 6, 7], "bucket"),
        ([10, 10, 10], "other"),
        ([0, 5, 5], "other"),
    ],
)
def test_the_second_bursts_tell_how_invocations_are_counted(accepted: list[int], window: str) -> None:
    assert window_of(10, accepted) == window


def test_a_slow_flow_that_is_not_slow_tells_nothing(world: World) -> None:
    with QuickOrg(world) as org:
        org.flow("conformance_slow")(lambda request: {"status": "DONE"})
        session = run_against(org, world, rate=False)

    assert results(session, "failed") == ["L1", "L2"]
    assert why(session, "L1") == "the flow ended after 0 s: it returned 200"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Answer(404, b"{}"), "it returned 404"),
        (Answer(500, b"{}"), "it returned 500"),
        (Reset(), "the connection was reset"),
    ],
    ids=["off", "failed", "reset"],
)
def test_a_slow_flow_that_ends_early_shows_no_limit(fault: Fault, said: str, world: World) -> None:
    with QuickOrg(world) as org:
        org.inject(fault, flow="conformance_slow")
        session = run_against(org, world, rate=False)

    assert results(session, "different") == []
    assert results(session, "failed") == ["L1", "L2"]
    assert why(session, "L1") == f"the flow ended after 0 s: {said}"


NO_FLOW = {"status": 400, "type": "application/json", "body": {"message": "There is no flow."}}


@pytest.mark.parametrize("profile", [None, profile_of(F8=NO_FLOW)], ids=["404", "400"])
@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("echo", ["F1", "F2", "F3", "F4", "F5", "R1", "E1", "E5", "L7", "C2", "C4"]),
        ("failing", ["R3", "R4", "E2", "E3"]),
        ("branch", ["R5"]),
        ("close", ["R2", "R6", "E4"]),
        ("slow", ["L1", "L2"]),
    ],
)
def test_a_flow_that_does_not_run_changes_no_rule(name: str, rules: list[str], profile: Any, world: World) -> None:
    with QuickOrg(world, profile=profile) as org:
        org.flows[f"conformance_{name}"].active = False
        session = run_against(org, world, rate=False, compared_with=profile)

    assert results(session, "different") == []
    assert sorted(results(session, "failed")) == sorted(rules)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (HtmlError(503), "returned 503 with an HTML page, such as that of a gateway"),
        (LoginPage(), "returned 200 with an HTML page, such as that of a login"),
        (Answer(403, b" <html>"), "returned 403 with an HTML page, such as that of a gateway"),
        (Answer(500, b"{}"), "returned 500, a failure of the server"),
        (Answer(200, b'{"access_token": 5}'), "returned 200 without an access token"),
    ],
    ids=["a gateway's page", "a login page", "a firewall's page", "a failure", "no token"],
)
@pytest.mark.parametrize("before", [0, 2], ids=["the first request", "a wrong request"])
def test_what_another_than_the_token_endpoint_sends_is_no_difference(
    fault: Fault, said: str, before: int, world: World
) -> None:
    with QuickOrg(world) as org:
        if before:
            org.inject(Fault(), times=before)
        org.inject(fault)
        session = run_against(org, world, rate=False)

    failed = ["T4"] if before else [f"T{number}" for number in range(1, 23)]
    assert results(session, "different") == []
    assert [rule for rule in results(session, "failed") if rule[0] == "T"] == failed
    assert why(session, "T4") == said


def test_a_login_page_is_no_response_of_a_flow(world: World) -> None:
    with QuickOrg(world) as org:
        for name in ("off", "client_token", "failing", "branch", "close", "slow"):
            org.inject(LoginPage(), flow=f"conformance_{name}", times=2)
        # After the first request, which the flow itself answers.
        org.inject(Fault(), flow="conformance_echo")
        org.inject(LoginPage(), flow="conformance_echo", times=4)
        session = run_against(org, world, rate=False)

    assert results(session, "different") == []
    assert {"F2", "F3", "F4", "F5", "F8", "F9", "R2", "R3", "R4", "R5", "L2"} <= set(results(session, "failed"))
    assert why(session, "F8") == "returned 200 with an HTML page, such as that of a login"


def test_an_org_that_returns_a_success_where_nothing_can_be_accepted_can_be_played(world: World) -> None:
    success = {"status": 200, "type": "application/json", "body": {"message": "Done"}}
    profile = profile_of(F7=success, T13=success, R4={**success, "status": 202})
    with QuickOrg(world, profile=profile) as org:
        session = run_against(org, world, rate=False)

    assert results(session, "different") == ["F7", "R4"]
    assert results(session, "failed") == ["T13"]
    assert OrgRules(session.findings.to_json())["F7"] == success


def test_a_scope_that_the_app_has_tells_nothing(world: World) -> None:
    with QuickOrg(world) as org:
        org.app.granted_scopes.add(NOT_GRANTED)
        session = run_against(org, world, rate=False)

    assert results(session, "different", "failed") == []
    assert why(session, "T19") == f"the app has the scope {NOT_GRANTED}"


def test_a_query_that_a_flow_does_not_see_is_a_difference(world: World) -> None:
    with QuickOrg(world) as org:
        org.flow("conformance_echo")(lambda request: {"message": (request.body or {}).get("message")})
        session = run_against(org, world, rate=False)

    assert results(session, "different") == ["F2"]


@pytest.mark.parametrize(
    ("body", "media_type", "kept"),
    [
        (b"", "text/plain", {}),
        (b'{"a": ', "application/json", {"text": '{"a":'}),
        (b"slow down", "text/plain", {"text": "slow down"}),
        (b"  <!doctype html><p>acme</p>", "text/html", {"text": "<html>"}),
        (b"[404]", "text/plain", {"body": [404]}),
        (b'"x"', "application/problem+json", {"body": "x"}),
    ],
)
def test_what_is_kept_of_a_body(body: bytes, media_type: str, kept: dict[str, Any], world: World) -> None:
    with QuickOrg(world) as org:
        settings = settings_of(org)
    session = Session(settings, H11Transport(settings), world.runtime(), OrgRules(), lambda _: None)
    response = HttpResponse(500, Headers({"Content-Type": media_type}), body)

    assert session.describe(response) == {"status": 500, "type": media_type, **kept}


def test_an_org_without_metadata_leaves_their_rules(world: World) -> None:
    with QuickOrg(world, profile=profile_of(M1={"status": 204, "type": None})) as org:
        session = run_against(org, world, rate=False)

    assert results(session, "different") == ["M1"]
    assert {why(session, rule) for rule in ("M2", "M3", "M4")} == {"there is no metadata"}


def test_a_failure_instead_of_the_metadata_is_no_difference(world: World) -> None:
    with QuickOrg(world, profile=profile_of(M1={"status": 503, "type": "application/json"})) as org:
        session = run_against(org, world, rate=False)

    assert results(session, "different") == []
    assert results(session, "failed") == ["M1", "M2", "M3", "M4"]
    assert why(session, "M1") == "returned 503, a failure of the server"


def test_a_skewed_clock_makes_no_difference(world: World) -> None:
    with QuickOrg(world) as org:
        org.clock_skew = 1200
        assert results(run_against(org, world, rate=False), "different", "failed") == []


SPOILT = (
    '{{"error": "x", "errorId": "oaeQ3kTz8VbRSeh9wKjLmNpQr", "error_description": "{alias} of grace.hopper@example.com at'
    " https://acme.example.com/?t={token} from 192.168.17.3 at 2026-11-27T14:07:34Z for {client} with {kid},"
    ' Bearer {token}", "trace": 1790000000123, "host": "{host}", "path": "/oauth2/v1/clients/{client}", "orgId": 48213,'
    ' "flo": {{"id": 913224}}, "seen": ["Nov 28, 2026 15:16:17", "Sat Nov 28 18:19:20 UTC 2026", "11/29/2026 1:45 PM"],'
    ' "via": "fe80::1d and ::1e, flow 5123, ref 3f9a8b7c"}}'
)


def test_the_report_holds_no_secret_host_or_id(world: World) -> None:
    assertions: list[str] = []

    class EchoingOrg(QuickOrg):
        def on_assertion(self, assertion: str) -> None:
            assertions.append(assertion)
            if len(assertions) in (4, 7, 12):
                self.inject(Answer(400, self.spoilt(assertion).encode(), {"Content-Type": "application/json"}))

        def spoilt(self, token: str) -> str:
            kid = next(iter(self.app.public_keys))
            names = {"client": self.app.client_id, "kid": kid, "host": f"127.0.0.1:{self.port}"}
            return SPOILT.format(**names, alias=self.flows["conformance_echo"].alias, token=token)

    with EchoingOrg(world) as org:
        org.flow("conformance_failing")(
            lambda request: ReturnError(422, org.spoilt(next(iter(org.tokens))) + request.execution_id)
        )
        org.inject(Answer(500, org.spoilt("x").encode(), {"X-Okta-127.0.0.1-Trace": "1"}), flow="conformance_branch")
        session = run_against(org, world)
    text = json.dumps(session.findings.to_json())

    runs = [run.execution_id for flow in org.flows.values() for run in flow.runs]
    told = [
        *(org.app.client_id, org.private_jwk["d"], org.private_jwk["kid"], "127.0.0.1", str(org.port)),
        *("hopper", "example.com", "192.168", "14:07", "oaeQ3", "1790000000", "48213", "913224", "5123", "3f9a8b7c"),
        *("Nov", "15:16", "18:19", "UTC", "2026", "11/29", "1:45", "fe80", "::1"),
        *(flow.alias for flow in org.flows.values()),
        *org.tokens,
        *filter(lambda one: len(one) > 20, assertions),
        *runs,
    ]
    assert len(assertions) == TOKEN_REQUESTS
    assert len(runs) > 30
    assert [secret for secret in told if secret in text] == []
    assert not re.search(r"eyJ[A-Za-z0-9_-]{10}", text)
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", text)
    assert "<email>" in text
    assert "<client>" in text


def session_of(world: World, **fields: Any) -> Session:
    """Return the session of a run that sends nothing, of another connection than the local org's."""
    with QuickOrg(world) as org:
        settings = replace(settings_of(org), **fields)
    return Session(settings, H11Transport(settings), world.runtime(), OrgRules(), lambda _: None)


@pytest.mark.parametrize(
    ("domain", "text", "kept"),
    [
        (
            "ibm.okta.com",
            "ibm.okta.com: off in org ibm; IBM's flow, ibmprod",
            "<domain>: off in org <org>; <org>'s flow, ibmprod",
        ),
        ("hp.okta.com", "org hp of okta.com", "org <org> of <host>"),
        ("login.ibm.com", "login to ibm, dot com", "login to <org>, dot com"),
        ("id.acme.com", "The client_id of acme is an id", "The client_id of <org> is an id"),
        ("org.okta.com", "org at org.okta.com", "org at <domain>"),
        ("10.1.2.3", "10 of 10.1.2.3", "10 of <domain>"),
    ],
)
def test_the_names_in_the_org_s_host_are_replaced(domain: str, text: str, kept: str, world: World) -> None:
    session = session_of(world, domain=Origin("https", domain, 443))

    assert session.normalizer.text(text) == kept


@pytest.mark.parametrize(
    ("proxy", "host"),
    [
        ("http://acmegate:3128", "acmegate"),
        ("http://gw:8080", "gw"),
        ("https://u:p@gate.corp.acme.com", "gate.corp.acme.com"),
    ],
)
@pytest.mark.parametrize("is_own", [True, False], ids=["of the connection", "of the environment"])
def test_the_proxy_s_host_is_replaced(
    proxy: str, host: str, is_own: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", "" if is_own else proxy)
    own = Secret(proxy) if is_own else None
    session = session_of(world, domain=Origin("https", "acme.okta.com", 443), http_proxy=own)
    port = parse_proxy(proxy, "proxy").port
    session.findings.skip("M1", why=f"no connection (through the proxy {host}:{port}); {host.upper()} is down")

    assert why(session, "M1") == "no connection (through the proxy <proxy>); <proxy> is down"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"format": 2, "rules": {}}', "not a profile of this version's format"),
        ('{"format": 1}', "not a profile of this version's format"),
        ('{"format": 1, "rules": {"Q1": {}}}', "has a rule 'Q1', which is not known"),
        ('{"format": 1, "rules": {"T4": 5}}', "has a rule 'T4'"),
    ],
)
def test_what_is_no_profile_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(content)

    with pytest.raises(CoreError, match=re.escape(said)) as caught:
        LocalOrg(profile=tmp_path / "profile.json")
    assert "OKW-1904" in caught.value.hint


def test_a_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CoreError, match="cannot be read: No such file"):
        LocalOrg(profile=str(tmp_path / "nowhere.json"))


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ("T4", 5),
        ("T4", {}),
        ("T4", {"status": 99}),
        ("T4", {"status": "as given"}),
        ("T4", {"status": True}),
        ("T4", {"status": 400, "type": "text/plain\r\nX-Evil: 1"}),
        ("T4", {"status": 400, "text": 5}),
        ("T4", {"status": 400, "headers": {}}),
        ("T2", {"expires_in": "3600"}),
        ("T2", {"expires_in": 0}),
        ("T2", {"expires_in": None}),
        ("E1", {"header": "x: y", "form": "uuid"}),
        ("E1", {"header": "x-flo-instance"}),
        ("E1", {"header": "x-flo-instance", "form": "long"}),
        ("L5", {"headers": ["a b"]}),
        ("L6", {"window": "none"}),
        ("R1", {"status": 700, "type": "application/json"}),
        ("R5", {"returned": "values"}),
        ("C1", {"date": 1}),
        ("M4", {"algorithms": [5]}),
    ],
)
def test_an_observation_of_another_kind_is_refused(rule: str, seen: Any) -> None:
    with pytest.raises(CoreError, match=f"rule {rule} has an observation of another kind"):
        OrgRules(profile_of(**{rule: seen}))


@pytest.mark.parametrize("rule", [rule.id for rule in RULES.values() if rule.is_outcome])
def test_a_profile_has_only_outcomes_that_can_be_played(rule: str) -> None:
    playable = {
        "accepted": rule not in {"T1", "T13", "T14", "T24", "T27", "F7", "R3", "R4", "L2", "L4"},
        "lost": rule == "L2",
    }
    for outcome in (ACCEPTED, {"lost": "the connection was reset"}):
        name = next(iter(outcome))
        if playable[name]:
            assert OrgRules(profile_of(**{rule: outcome}))[rule] == outcome
            continue
        with pytest.raises(CoreError, match=f"In the profile, rule {rule} says {name}, which no local org can play"):
            LocalOrg(profile=profile_of(**{rule: outcome}))


def test_the_own_rules_and_those_of_a_whole_report_are_taken() -> None:
    rules = OrgRules({"format": FORMAT, "rules": {rule.id: {"seen": rule.expected} for rule in RULES.values()}})

    assert all(rules[rule.id] == rule.expected for rule in RULES.values())


def test_an_argument_is_stronger_than_the_profile() -> None:
    profile = profile_of(
        L1={"seconds": 30}, L3={"accepted_at_once": 5}, T2={"expires_in": 600}, E1={"header": None, "form": "uuid"}
    )
    told = LocalOrg(profile=profile, time_limit=1, rate_limit=None, token_lifetime=60, execution_header="x-run")
    seen = LocalOrg(profile=profile)

    assert (told.time_limit, told.rate_limit, told.token_lifetime, told.execution_header) == (1, None, 60, "x-run")
    assert (seen.time_limit, seen.rate_limit, seen.token_lifetime, seen.execution_header) == (30, 5, 600, None)
