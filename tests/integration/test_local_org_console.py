"""The local org's page at /app, as HTML. What a browser makes of it is in tests/ui/test_console.py."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from html import unescape
from typing import Any

import jwt
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.emulator import LocalOrg, Reset, ReturnError, ReturnRaw, TooManyRequests
from airflow_okta_workflows.emulator.console_parts import body_cell, link, text, without_tokens
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.html_page import HtmlPage
from tests.watched_org import WatchedOrg

Connect = Callable[..., None]
KEY, OTHER = "5f0c6c1e-8d5b-5a34-9b63-1f2f0a4f7c11", "6a1d7d2f-9e6c-4b45-8c74-2e3f1b5f8d22"


def page(org: LocalOrg, **query: str) -> str:
    response = requests.get(f"{org.url}/app", params=query, timeout=5)
    assert response.status_code == 200
    return response.text


def rows(org: LocalOrg, **query: str) -> list[list[str]]:
    """Return what each cell of each invocation shows."""
    table = page(org, **query).partition("</tbody>")[0]
    cells = [re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL) for row in table.split("<tr")[2:]]
    return [[" ".join(unescape(re.sub("<[^>]+>", " ", cell)).split()) for cell in row] for row in cells]


def test_a_row_has_what_was_sent_and_what_came_of_it(org: LocalOrg, connect: Connect, world: Any) -> None:
    world.now = 1_795_790_000.25
    connect(org)
    response = OktaWorkflowsHook(runtime=world.runtime()).invoke("echo", {"a": 1}, idempotency_key=KEY)
    (row,) = rows(org)

    assert row[0] == "14:33:20 2026-11-27"
    assert row[1] == f"echo {response.execution_id}"
    assert row[2] == "200 succeeded"
    assert re.fullmatch(r"<1 ms|\d+ ms", row[3])
    assert row[4] == '{"a": 1}'
    # Its beginning, and the whole.
    assert json.loads("{" + row[5].rpartition("} {")[2]) == {"body": {"a": 1}, "query": {}, "key": KEY}
    assert row[6] == KEY


def test_the_extra_link_leads_to_the_row(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    execution_ids = [OktaWorkflowsHook().invoke("echo").execution_id for _ in range(3)]
    html = page(org)

    places = [html.index(f'id="execution_id={one}"') for one in execution_ids]
    assert places == sorted(places, reverse=True), "the newest first"
    assert {f"execution_id={one}" for one in execution_ids} <= HtmlPage(html).ids


def test_a_request_that_did_not_run_is_there_as_well(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    hook = OktaWorkflowsHook()
    org.flow("broken")(lambda request: ReturnError(500, "no such account"))
    token = hook.get_access_token().value
    headers = {"Authorization": f"Bearer {token}"}
    requests.post(org.invoke_url("broken"), headers=headers, timeout=5)
    requests.post(org.invoke_url("echo"), timeout=5)
    org.inject(TooManyRequests(), flow="echo")
    requests.post(org.invoke_url("echo"), headers=headers, timeout=5)
    for after_run in (False, True):
        org.inject(Reset(after_run=after_run), flow="echo")
        with pytest.raises(requests.ConnectionError):
            requests.post(org.invoke_url("echo"), headers=headers, timeout=5)
    org.flows["echo"].active = False
    requests.get(org.invoke_url("echo"), params={"id": "1", "clientToken": "not-for-eyes"}, timeout=5)

    assert [row[2] for row in rows(org)] == [
        "404 refused", "ran, no response", "cut off", "429 refused", "401 refused", "500 failed",
    ]  # fmt: skip
    assert [bool(re.search("[0-9a-f]{8}-", row[1])) for row in rows(org)] == [False, True, False, False, False, True]
    assert rows(org)[0][4] == "id=1"
    assert {row[6] for row in rows(org)} == {"no key"}


def test_an_invocation_in_progress_is_there_before_it_ends(org: LocalOrg, connect: Connect) -> None:
    going_on, end = threading.Event(), threading.Event()

    @org.flow("slow")
    def slow(request: Any) -> Any:
        going_on.set()
        end.wait(60)

    connect(org)
    thread = threading.Thread(target=lambda: OktaWorkflowsHook().invoke("slow"))
    thread.start()
    assert going_on.wait(60)
    before = rows(org)
    end.set()
    thread.join()

    assert before[0][2:4] == ["in progress", "…"]
    assert before[0][5] == "none"
    assert rows(org)[0][2] == "200 succeeded"
    assert rows(org)[0][5] == "empty"


def test_the_counts_are_at_the_head(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    OktaWorkflowsHook().invoke("echo")
    requests.post(org.invoke_url("echo"), timeout=5)
    requests.post(f"{org.url}/oauth2/v1/token", data={"grant_type": "client_credentials"}, timeout=5)
    html = page(org)
    tiles = re.findall(r"<dt>(.*?)</dt><dd>(\d+)</dd><dd.*?>(.*?)</dd>", html)

    assert tiles == [
        ("Token requests", "2", "1 granted"),
        ("Invocations", "2", "1 ran"),
        ("Refused", "2", "1 invocation, 1 token request"),
    ]
    assert "401 refused" in html.partition("Token requests</h2>")[2]
    assert "invalid_client" in html.partition("Token requests</h2>")[2]


def test_a_filter_shows_the_invocations_of_a_flow_or_of_a_run(org: LocalOrg, connect: Connect) -> None:
    org.flow("other")(lambda request: {})
    connect(org)
    hook = OktaWorkflowsHook()
    first = hook.invoke("echo", idempotency_key=KEY).execution_id
    hook.invoke("echo", idempotency_key=OTHER)
    hook.invoke("other", idempotency_key=KEY)

    assert [row[1].split()[0] for row in rows(org, flow="echo")] == ["echo", "echo"]
    assert [row[6] for row in rows(org, run=KEY)] == [KEY, KEY]
    assert [row[6] for row in rows(org, run=f" {KEY[:8]} ", flow="other")] == [KEY]
    assert [row[1] for row in rows(org, run=str(first))] == [f"echo {first}"]
    assert f'value="{KEY}"' in page(org, run=KEY)
    assert '<option value="echo" selected>' in page(org, flow="echo")
    for nothing in (page(org, run="x"), page(org, flow="x"), page(org, run=KEY[1:])):
        assert "No invocation matches." in nothing
        assert '<a href="/app">' in nothing


def test_an_empty_page_says_what_to_do() -> None:
    with LocalOrg() as org:
        without_flows = page(org)
        org.flow("<hello>")(lambda request: {})
        without_runs = page(org)

    assert "There are no flows." in without_flows
    assert "@org.flow(" in without_flows
    assert "Nothing was invoked yet." in without_runs
    assert "okta-workflows invoke &lt;hello&gt;" in without_runs
    assert "okta-workflows emulator" in without_runs


def test_only_the_latest_are_shown_and_the_rest_can_be_found(org: LocalOrg) -> None:
    org.flow("open", security="public")(lambda request: {})
    with requests.Session() as session:
        for number in range(203):
            session.post(org.invoke_url("open"), headers={"Idempotency-Key": f"run-{number}-"}, timeout=5)

    assert [row[6] for row in rows(org)] == [f"run-{number}-" for number in range(202, 2, -1)]
    assert "The latest 200 of 203 invocations." in page(org)
    assert [row[6] for row in rows(org, run="run-0-")] == ["run-0-"]


def test_nothing_is_loaded_from_elsewhere_and_nothing_can_run(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    OktaWorkflowsHook().invoke("echo", {"name": "x" * 500})
    response = requests.get(f"{org.url}/app", timeout=5)
    parsed = HtmlPage(response.text)

    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["Cache-Control"] == "no-store"
    assert parsed.loads == ["data:,"]
    assert all(one.startswith("/app") for one in parsed.links if one != "data:,")
    assert not re.search(r"<script|@import|url\(|http-equiv", response.text)


def test_no_secret_is_on_it(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "off")
    with WatchedOrg() as org:

        @org.flow("leaks")
        def leaks(request: Any) -> Any:
            return {"token": next(iter(org.tokens)), "assertion": org.assertions[0]}

        connect(org)
        hook = OktaWorkflowsHook()
        token = hook.get_access_token().value
        (assertion,) = org.assertions
        authorization = {"Authorization": f"Bearer {token}", "X-Api-Client-Token": "0client0token0"}
        pad = "x" * 130
        for sent in (f"{token}&{assertion}", f"{pad}{token}", f"{pad} {token}", json.dumps({token: assertion})):
            requests.post(org.invoke_url("leaks"), sent, headers={**authorization, "Idempotency-Key": token}, timeout=5)
        requests.get(org.invoke_url("leaks"), params={"a": assertion, "clientToken": "0client0token0"}, headers={**authorization, "traceparent": f"00-{token}-1-1"}, timeout=5)  # fmt: skip
        html = page(org, run=token) + page(org)

    assert "0client0token0" not in html
    assert html.count("[token removed]") > 10
    for secret in (token, assertion):
        for part in secret.split("."):
            for start in range(0, len(part) - 20, 10):
                assert part[start : start + 20] not in html


@given(st.text() | st.sampled_from(["<script>", "\"'&", "\ud800", "\x00", "]]>", "<!--", "&lt;"]))
def test_any_value_is_escaped(value: str) -> None:
    marked = f"<i>{value}\"'"
    for html in (
        text(marked),
        link(marked, flow=marked),
        body_cell("Payload", marked * 30),
        body_cell("Payload", marked),
    ):
        without_own = re.sub(
            r'</?(?:a|td|div|code|details|summary|pre)(?: (?:href|role|data-label|class|tabindex)="[^"<>]*")*>',
            "",
            html,
        )

        assert "<" not in without_own
        assert '"' not in without_own


@given(st.dictionaries(st.text(), st.text()), st.text(max_size=3))
def test_any_token_is_removed(claims: dict[str, str], around: str) -> None:
    token = jwt.encode({"claims": json.dumps(claims)}, "x" * 32, algorithm="HS256")

    assert token.split(".")[2] not in without_tokens(f"{around}{token}{around}")
    ordinary = "ordinary words, a@example.com, 3.2.1 and eyJ"
    assert without_tokens(ordinary) == ordinary


def test_a_body_of_any_size_is_shown_in_part() -> None:
    for body in ("x" * 10_000_000, "[" * 20_000, json.dumps(["y" * 9_000]), "eyJ" * 3_000_000):
        cell = body_cell("Response", body)

        assert len(cell) < 25_000
        assert "<details>" in cell
    assert "9,990,000 more characters" in body_cell("Response", "x" * 10_000_000)


def test_a_response_that_is_no_utf_8_and_json_with_a_lone_surrogate_are_shown(org: LocalOrg) -> None:
    org.flow("odd", security="public")(lambda request: ReturnRaw(200, '{"half": "\\ud800"}', {"X": "y"}))
    requests.post(org.invoke_url("odd"), b'{"half": "\\udfff", "n": NaN}', timeout=5)

    assert [row[4:6] for row in rows(org)] == [['{"half": "?", "n": NaN}', '{"half": "?"}']]
