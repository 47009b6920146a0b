"""The table in docs/compatibility.md is of the whole matrix; what writes it cannot ask so much of itself beforehand."""

from __future__ import annotations

from tests.matrix.environments import ENVIRONMENTS
from tests.matrix.page import BEGIN, END, PAGE


def test_the_table_has_a_row_for_each_environment() -> None:
    lines = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    _, _, *found = rows

    assert [row[0] for row in found] == [environment.name for environment in ENVIRONMENTS]
    for environment, (_, airflow, python, *_) in zip(ENVIRONMENTS, found, strict=True):
        assert environment.airflow in (airflow, "lowest")
        assert python.startswith(f"{environment.python}.")
