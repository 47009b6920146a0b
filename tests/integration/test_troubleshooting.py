"""docs/troubleshooting.md has each text that people may see, and advises what the code advises."""

from __future__ import annotations

import re

import pytest

from docs.tables.error_texts import ErrorText, error_texts, literals, own_letters
from docs.tables.troubleshooting import REFUSED_TOKENS, divided, tables, written_into
from tests.pages import ROOT
from tests.unit.core.oauth.test_token_request import REFUSALS

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
# Of a status, and of what the org says beside it, the page shows the one that is meant.
GENERAL = re.sub(r"\b(?:401|403|404|500|503)\b", "…", " ".join(PAGE.split()))
# Made of texts that have rows of their own.
WHOLES = {
    "Connection … cannot be used: …",
    "Connection …: …",
    "Flow … at … … (idempotency key …).",
    "Flow … returned …: ….",
    "Flow … returned …, ….",
    "… returned …, a redirect.",
    "no connection: …",
}


def test_the_tables_are_the_codes() -> None:
    assert written_into(PAGE) == PAGE, "run: python -m docs.tables.troubleshooting docs/troubleshooting.md"


@pytest.mark.parametrize("text", error_texts(), ids=lambda text: f"{text.module}: {text.text[:40]}")
def test_each_text_of_the_code_is_on_the_page(text: ErrorText) -> None:
    what, _ = divided(text.text)

    assert text.text in WHOLES or text.text in GENERAL or what.removesuffix(".") in GENERAL


def test_each_text_that_the_page_quotes_is_the_codes() -> None:
    known = literals() + "\n".join(description for _, _, description, _ in REFUSALS)
    quoted = re.findall(r"\| `([^`]+)` \|", GENERAL)
    assert len(quoted) > 120
    for text in quoted:
        pieces = [piece.strip(". ") for piece in text.split("…")]
        assert text.startswith("Executor … reported") or all(
            piece in known for piece in pieces if own_letters(piece) > 8
        ), text


def test_each_refusal_of_okta_has_its_row() -> None:
    for _, error, description, _ in REFUSALS:
        assert f"`{error}`" in PAGE
        assert description == "anything" or f"`{description}`" in PAGE
    for text in ("Failed to authenticate request. Please check your headers", "temporarily_unavailable"):
        assert text in PAGE
    assert {description if description != "anything" else error for _, error, description, _ in REFUSALS} == set(
        REFUSED_TOKENS
    )


def test_each_hint_has_a_code_of_its_own() -> None:
    by_code: dict[str, set[str]] = {}
    for text in error_texts():
        if text.hint.strip("… ") and text.how not in ("warnings", "log"):
            code, colon, fix = text.hint.partition(": ")
            assert colon, text
            assert re.fullmatch(r"OKW-\d{4}", code), text
            by_code.setdefault(code, set()).add(fix)
            assert code in PAGE or text.module.startswith("emulator/"), text

    assert len(by_code) > 100
    assert {code: fixes for code, fixes in by_code.items() if len(fixes) > 1 and fixes != {"…"}} == {}


@pytest.mark.parametrize("text", error_texts(), ids=lambda text: f"{text.module}: {text.text[:40]}")
def test_the_first_line_of_a_message_is_one_short_sentence(text: ErrorText) -> None:
    if text.how in ("configuration_error", "CoreError", "as_error", "OktaConfigurationError", "OktaWorkflowsError"):
        assert len(text.text) <= 120
        assert "\n" not in text.text
        assert not re.search(r"[.?!] (?=[A-Z])", text.text), "further sentences go into the hint or the details"


def test_every_row_says_what_to_change() -> None:
    for name, table in tables().items():
        for line in table.splitlines():
            assert not re.search(r"\|\s+\|$|\| … \|", line), f"{name}: {line}"


def test_each_code_has_one_link_target() -> None:
    targets = re.findall(r'<a id="(okw-\d{4})"></a>', PAGE)
    codes = set(re.findall(r"^(OKW-\d{4}): ", literals(), re.MULTILINE))

    assert len(codes) > 180
    assert sorted(targets) == sorted({*targets, *(code.lower() for code in codes)})


def test_each_class_that_the_page_names_is_there() -> None:
    from airflow_okta_workflows import exceptions

    named = set(re.findall(r"`(Okta\w+Error)`", PAGE))
    assert named == {
        name for name in vars(exceptions) if re.fullmatch(r"Okta\w+Error", name) and name != "OktaFlowError"
    }


def test_a_code_stands_for_one_hint() -> None:
    """Also where it is the value of a table, or chosen at run time."""
    by_code: dict[str, set[str]] = {}
    for text in literals().splitlines():
        if match := re.fullmatch(r"(OKW-\d{4}): (.*)", text):
            by_code.setdefault(match[1], set()).add(match[2])

    assert len(by_code) > 180
    # Parts of f-strings are literals, too: a whole hint begins with each of its parts.
    several = {
        code: fixes
        for code, fixes in by_code.items()
        if any(not max(fixes, key=len).startswith(one.rstrip("… ")) for one in fixes)
    }
    assert several == {}
