"""``okta-workflows conformance``: it asks, counts, and prints a row for each rule; ``emulator --profile`` plays the report."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.cli.conformance import announcement
from airflow_okta_workflows.conformance.recipes import RECIPES, add_conformance_flows, find_flows
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.emulator.rules import RULES
from tests.conformance_run import settings_of
from tests.conftest import CommandLine


@pytest.fixture
def org(okta_local_org: LocalOrg) -> LocalOrg:
    add_conformance_flows(okta_local_org)
    del okta_local_org.flows["conformance_slow"]
    okta_local_org.on_flow_added()
    return okta_local_org


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_org_that_keeps_each_rule_ends_with_0(org: LocalOrg, okta_workflows: CommandLine, tmp_path: Path) -> None:
    ended = okta_workflows("conformance", "--yes", "--write", str(tmp_path / "conformance.json"))

    assert ended.code == 0, ended.err
    assert [line.split()[0] for line in ended.out.splitlines() if line[:1] != " "] == list(RULES)
    assert "T4   same        An expired assertion is refused." in ended.out
    assert "L1   not tried   An invocation is cut off after 60 s." in ended.out
    assert "conformance_slow is not in the connection's flows" in ended.out
    assert "This sends up to 20 token requests to 127.0.0.1:" in ended.err
    assert "up to 30 times: echo, failing, off, branch, close, client_token." in ended.err
    assert "\nT4: An expired assertion is refused.\n" in ended.err
    assert "20 token requests and 12 invocations were sent." in ended.err
    written = json.loads((tmp_path / "conformance.json").read_text())
    assert list(written["rules"]) == list(RULES)
    assert org.app.client_id not in json.dumps(written)


def test_a_difference_ends_with_1_and_is_shown(org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.token_lifetime = 600
    as_text = okta_workflows("conformance", "--yes")
    as_json = okta_workflows("conformance", "--yes", "--output", "json")

    assert (as_text.code, as_json.code) == (1, 1)
    assert "T2   different   A token lives for one hour.\n" in as_text.out
    assert (
        '                 claimed  {"expires_in": 3600}\n                 seen     {"expires_in": 600}\n' in as_text.out
    )
    assert "1 different" in as_text.err
    assert as_json.json["rules"]["T2"] == {
        "claim": "A token lives for one hour.",
        "result": "different",
        "expected": {"expires_in": 3600},
        "seen": {"expires_in": 600},
    }
    assert [rule for rule, row in as_json.json["rules"].items() if row["result"] == "different"] == ["T2"]


def test_a_failed_probe_ends_with_1(org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.flow("conformance_branch")(lambda request: {"where": "nowhere"})
    ended = okta_workflows("conformance", "--yes")

    assert ended.code == 1
    assert "failed: the flow returned neither of the two" in ended.out


def test_a_later_run_can_be_compared_with_an_earlier_one(
    org: LocalOrg, okta_workflows: CommandLine, tmp_path: Path
) -> None:
    file = str(tmp_path / "conformance.json")
    org.token_lifetime = 600
    okta_workflows("conformance", "--yes", "--write", file)
    unchanged = okta_workflows("conformance", "--yes", "--profile", file)
    org.token_lifetime = 3600
    changed = okta_workflows("conformance", "--yes", "--profile", file, "--output", "json")

    assert (unchanged.code, changed.code) == (0, 1)
    assert changed.json["rules"]["T2"]["expected"] == {"expires_in": 600}


def test_a_flow_can_be_named_by_its_alias(org: LocalOrg, okta_workflows: CommandLine) -> None:
    alias = org.flows.pop("conformance_close").alias
    org.on_flow_added()
    org.flow("other", alias=alias)(lambda request: {})
    without = okta_workflows("conformance", "--yes", "--output", "json")
    named = okta_workflows("conformance", "--yes", "--output", "json", "--flow", f"close={alias}")

    assert without.json["rules"]["R2"]["result"] == "not tried"
    assert named.json["rules"]["R2"]["result"] == "same"


def test_the_recipes_are_printed_without_a_request(org: LocalOrg, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("conformance", "--recipe")

    assert ended.code == 0
    for recipe in RECIPES:
        assert f"\nconformance_{recipe.name}\n  1. API Endpoint" in ended.out
    assert "Wait For: delay 70, unit second" in ended.out
    assert len(RECIPES) == 6
    assert (org.log, org.token_requests) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nobody is here to confirm: add --yes"),
        (["--yes", "--flow", "hello=0123"], "'hello' is none of echo, slow"),
        (["--yes", "--flow", "echo"], "is not NAME=ALIAS"),
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: list[str], said: str, org: LocalOrg, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ended = okta_workflows("conformance", *arguments)

    assert ended.code == 2
    assert said in ended.err
    assert (org.log, org.token_requests) == ([], [])


@pytest.mark.parametrize(("answer", "code", "sent"), [("y\n", 0, 20), ("\n", 1, 0), ("no\n", 1, 0)])
def test_it_asks_before_it_sends_anything(
    answer: str, code: int, sent: int, org: LocalOrg, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    ended = okta_workflows("conformance")

    assert (ended.code, len(org.token_requests)) == (code, sent)
    assert ("Not confirmed: nothing was sent." in ended.err) is not bool(sent)


def test_the_bursts_are_announced(org: LocalOrg) -> None:
    settings = settings_of(org)
    told = announcement(settings, find_flows(settings, {}), rate=True)

    assert told.endswith("For the rate limit, it invokes echo 66 times more, in bursts.")


def test_an_interruption_tells_what_was_sent(org: LocalOrg, okta_workflows: CommandLine, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    @org.flow("conformance_branch")
    def interrupt(request: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return {"where": "inside"}

    try:
        ended = okta_workflows("conformance", "--yes", "--write", str(tmp_path / "conformance.json"))
    finally:
        signal.signal(signal.SIGINT, before)

    assert ended.code == 130
    assert ended.err.endswith(
        "Interrupted: 20 token requests and 11 invocations were sent. The last flow may still run. Nothing is written.\n"
    )
    assert not (tmp_path / "conformance.json").exists()


def test_a_file_that_cannot_be_written_is_told_after_the_result(
    org: LocalOrg, okta_workflows: CommandLine, tmp_path: Path
) -> None:
    ended = okta_workflows("conformance", "--yes", "--write", str(tmp_path / "nowhere" / "x.json"))

    assert ended.code == 1
    assert "cannot be written: No such file or directory." in ended.err
    assert "T4   same" in ended.out


def test_a_connection_that_does_not_work_is_told(okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", '{"conn_type": "okta_workflows", "host": "acme"}')
    ended = okta_workflows("conformance", "--yes")

    assert ended.code == 1
    assert "OKW-" in ended.err


@pytest.mark.parametrize("command", ["conformance", "emulator"])
def test_what_is_no_profile_ends_with_1(
    command: str, org: LocalOrg, okta_workflows: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "profile.json").write_text("[]")
    yes = ["--yes"] if command == "conformance" else []
    ended = okta_workflows(command, *yes, "--profile", str(tmp_path / "profile.json"))

    assert ended.code == 1
    assert "is not a JSON object" in ended.err
    assert "What to change (OKW-1904): Give a file that okta-workflows conformance --write has made." in ended.err
    assert org.token_requests == []
