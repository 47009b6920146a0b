"""The local org's rules are numbered without gaps, and docs/local-org.md lists them."""

from __future__ import annotations

from itertools import groupby

from airflow_okta_workflows.cli.commands import CONFORMANCE_FLOWS
from airflow_okta_workflows.conformance.recipes import CLIENT_TOKEN, RECIPES
from airflow_okta_workflows.emulator.profile import OrgRules
from airflow_okta_workflows.emulator.rules import RULES
from docs.tables.org_rules import tables
from docs.tables.troubleshooting import written_into
from tests.pages import ROOT


def test_the_page_has_the_rules() -> None:
    page = (ROOT / "docs/local-org.md").read_text()

    assert written_into(page, tables) == page, "run: python -m docs.tables.org_rules docs/local-org.md"


def test_the_numbers_of_each_group_have_no_gap() -> None:
    for letter, rules in groupby(RULES, key=lambda number: number[0]):
        numbers = list(rules)
        assert numbers == [f"{letter}{number}" for number in range(1, len(numbers) + 1)]


def test_each_claim_is_one_sentence_that_fits_a_line() -> None:
    for rule in RULES.values():
        assert rule.claim.endswith(".")
        assert len(rule.claim) <= 90


def test_each_rule_is_played_from_the_one_place() -> None:
    rules = OrgRules()

    assert all(rules[number] is rule.expected for number, rule in RULES.items())


def test_the_command_knows_the_flows_of_the_recipes() -> None:
    assert (*(recipe.name for recipe in RECIPES), CLIENT_TOKEN) == CONFORMANCE_FLOWS
