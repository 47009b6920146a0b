"""The formulas of docs/scaling.md: the simulation agrees with them, notices a wrong one, and has written their table."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest

from airflow_okta_workflows.transport.aiohttp_transport import connection_limit
from benchmarks.simulation import page
from benchmarks.simulation.__main__ import main
from benchmarks.simulation.page import PAGE, read_formulas, shown_in, written_into

# With coverage, on a machine that is busy with other tests, five seconds of CPU can take more than two minutes.
pytestmark = pytest.mark.timeout(600)
TEXT = PAGE.read_text()


def formulas_shown(table: str) -> dict[str, str]:
    """Return the first two columns of a table's rows."""
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", table, re.MULTILINE))


def test_all_agree_in_the_small_form_and_the_page_shows_the_same_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick"]) == 0

    told = capsys.readouterr()
    here, there = formulas_shown(told.out), formulas_shown(shown_in(TEXT))
    assert f"{len(here)} formulas and simulations agree" in told.err
    both = here.keys() & there.keys()
    assert len(both) >= 10
    assert {what: here[what] for what in both} == {what: there[what] for what in both}, (
        "run: python -m benchmarks.simulation"
    )
    assert PAGE.read_text() == TEXT


def test_a_wrong_formula_is_told_and_the_page_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = re.sub(r"\ndays = 30\n.*?```", "\n```", TEXT.replace("269 + body", "369 + body"), flags=re.DOTALL)
    monkeypatch.setattr(page, "PAGE", tmp_path / "scaling.md")
    page.PAGE.write_text(wrong)

    assert main(["--quick"]) == 1

    apart = re.findall("^APART: (.*)", capsys.readouterr().err, re.MULTILINE)
    assert len(apart) == 1
    assert apart[0].startswith("one invocation: bytes of its checkpoint")
    assert page.PAGE.read_text() == wrong


def test_a_worked_example_that_does_not_come_out_is_an_error() -> None:
    with pytest.raises(AssertionError):
        read_formulas(TEXT.replace("== 864_000", "== 1"))


def test_the_page_knows_how_many_connections_there_may_be() -> None:
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert read_formulas(TEXT)["connections"](open_files) == connection_limit()


def test_the_table_goes_where_it_was() -> None:
    written = written_into(TEXT, "| a | b |")

    assert shown_in(written) == "| a | b |"
    assert written_into(written, shown_in(TEXT)) == TEXT
