"""The table of results, on the terminal and in docs/performance.md."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.figures import HEADINGS
from benchmarks.machine import describe_machine, describe_versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.figures import Figure

TEMPLATE = Path(__file__).with_name("performance.md.template")
_LEAST_WIDTH = 200


def print_table(rows: Mapping[str, Sequence[Figure]]) -> None:
    """Print the table to stdout, wide enough to be readable in a log too.

    :param rows: the table's lines by row
    """
    console = Console()
    if console.width < _LEAST_WIDTH and not console.is_terminal:
        console = Console(width=_LEAST_WIDTH)
    table = Table(*HEADINGS, box=SIMPLE)
    for figures in rows.values():
        for figure in figures:
            table.add_row(*figure.cells(), style="bold red" if figure.is_met is False else None)
        table.add_section()
    console.print(table)


def page(rows: Mapping[str, Sequence[Figure]], *, now: datetime | None = None) -> str:
    """Return docs/performance.md.

    :param rows: the table's lines by row
    :param now: the page's date; today if None
    """
    figures = [figure for found in rows.values() for figure in found]
    return Template(TEMPLATE.read_text()).substitute(
        date=f"{now or datetime.now(UTC):%Y-%m-%d}",
        machine=describe_machine(),
        versions=describe_versions(),
        table=_markdown(rows),
        reached=_reached(figures),
        missed=_missed(figures) or "None.",
    )


def _markdown(rows: Mapping[str, Sequence[Figure]]) -> str:
    lines = [_line(HEADINGS), "|---|--:|--:|--:|---|---|"]
    for name, figures in rows.items():
        lines.append(_line([f"**{name}**", *[""] * (len(HEADINGS) - 1)]))
        for figure in figures:
            cells = [cell.replace("MISSED", "**missed**") for cell in figure.cells()]
            lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _reached(figures: Sequence[Figure]) -> str:
    held = [figure.is_met for figure in figures if figure.target]
    return f"{'All' if all(held) else f'{held.count(True)} of'} {len(held)} targets are met"


def _missed(figures: Sequence[Figure]) -> str:
    missed = [(figure, figure.target) for figure in figures if figure.target and not figure.is_met]
    return "\n".join(f"- {figure.what}: {figure.precisely()}; the target is {target.text}" for figure, target in missed)
