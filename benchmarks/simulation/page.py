"""docs/scaling.md: where the formulas stand, as Python that a reader can paste, and where the table goes."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.simulation import batches, notes, sensors, tokens

if TYPE_CHECKING:
    from benchmarks.simulation.comparison import Formulas, Row

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BEGIN, END = "<!-- simulation: begin -->", "<!-- simulation: end -->"


def read_formulas(page: str) -> Formulas:
    """Run the page's Python, worked examples included, and return its names.

    :param page: the page, in Markdown
    :raises AssertionError: if a worked example does not come out
    """
    formulas: Formulas = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, str(PAGE), "exec"), formulas)  # the project's own page
    return formulas


def compare(page: str, *, quick: bool) -> list[Row]:
    """Compare all that the page says with a simulation.

    :param page: the page, in Markdown
    :param quick: in the small form
    :raises AssertionError: if a worked example does not come out
    """
    formulas = read_formulas(page)
    before = logging.root.manager.disable
    # Of a hundred thousand invocations.
    logging.disable(logging.CRITICAL)
    try:
        return [
            *batches.rows(formulas, quick=quick),
            *sensors.rows(formulas, quick=quick),
            *tokens.rows(formulas, quick=quick),
            *notes.rows(formulas),
        ]
    finally:
        logging.disable(before)


def written_into(page: str, table: str) -> str:
    """Return the page with a table in its place.

    :param page: the page, in Markdown
    :param table: the table, in Markdown
    """
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"


def shown_in(page: str) -> str:
    """Return the table that the page shows.

    :param page: the page, in Markdown
    """
    return page.partition(BEGIN)[2].partition(END)[0].strip()
