"""Test that docs/compatibility.md covers the whole matrix; not in the suite, which runs before the tables exist."""

from __future__ import annotations

from tests.matrix.environments import ENVIRONMENTS
from tests.matrix.page import BEGIN, END, PAGE, TESTS_BEGIN


def test_the_tables_have_a_row_for_each_environment() -> None:
    works, _, ran = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].partition(TESTS_BEGIN)
    names = [environment.name for environment in ENVIRONMENTS]

    assert [row[0] for row in rows(works)] == [row[0] for row in rows(ran)] == names
    for environment, (_, airflow, python, *_) in zip(ENVIRONMENTS, rows(works), strict=True):
        assert environment.airflow in (airflow, "lowest")
        assert python.startswith(f"{environment.python}.")


def rows(part: str) -> list[list[str]]:
    """Return the cells of a table below its header row."""
    _, _, *found = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]
