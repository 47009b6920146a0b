"""The formulas of docs/scaling.md, which are Python that a reader can paste, and the page's table."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.simulation import batches, checkpoints, pace, sensors, tokens

if TYPE_CHECKING:
    from benchmarks.simulation.comparison import Formulas, Row

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BEGIN, END = "<!-- simulation: begin -->", "<!-- simulation: end -->"


def read_formulas(page: str) -> Formulas:
    """Run the page's Python code, worked examples included, and return its namespace.

    :param page: the page, in Markdown
    :raises AssertionError: if a worked example is wrong
    """
    formulas: Formulas = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, str(PAGE), "exec"), formulas)  # the project's own page
    return formulas


def compare(page: str, *, quick: bool) -> list[Row]:
    """Compare all formulas of the page with simulations.

    :param page: the page, in Markdown
    :param quick: whether to run shorter simulations
    :raises AssertionError: if a worked example is wrong
    """
    formulas = read_formulas(page)
    before = logging.root.manager.disable
    # The simulations make a hundred thousand invocations, each of which would be logged.
    logging.disable(logging.CRITICAL)
    try:
        return [
            *batches.rows(formulas, quick=quick),
            *pace.rows(formulas, quick=quick),
            *sensors.rows(formulas, quick=quick),
            *tokens.rows(formulas, quick=quick),
            *checkpoints.rows(formulas),
        ]
    finally:
        logging.disable(before)


def written_into(page: str, table: str) -> str:
    """Return the page with its table replaced.

    :param page: the page, in Markdown
    :param table: the new table, in Markdown
    """
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"


def shown_in(page: str) -> str:
    """Return the table in the page.

    :param page: the page, in Markdown
    """
    return page.partition(BEGIN)[2].partition(END)[0].strip()
