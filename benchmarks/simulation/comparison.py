"""A formula's value beside a simulated one, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Formulas = dict[str, Any]
"""The page's functions and figures by name."""


@dataclass(frozen=True)
class Row:
    """Hold one comparison.

    :param what: what is compared, with its unit
    :param formula: what the page says, with ``at least`` or ``at most`` where it is a bound
    :param simulated: what the simulation shows
    :param allowed: how far they may be apart, in words
    :param agrees: whether they are no further apart
    """

    what: str
    formula: str
    simulated: str
    allowed: str
    agrees: bool


def about(what: str, formula: float, simulated: float, *, tolerance: float = 0.03) -> Row:
    """Expect about what the formula gives.

    :param what: what is compared, with its unit
    :param formula: its value
    :param simulated: the simulated value
    :param tolerance: the difference that is allowed, as a share of the formula's value
    """
    agrees = abs(simulated - formula) <= tolerance * formula
    return Row(what, _number(formula), _number(simulated), f"{100 * tolerance:g} %", agrees)


def exactly(what: str, formula: float, simulated: float) -> Row:
    """Expect just what the formula gives.

    :param what: what is compared, with its unit
    :param formula: its value
    :param simulated: the simulated value
    """
    return Row(what, _number(formula), _number(simulated), "0 %", simulated == formula)


def at_least(what: str, bound: float, simulated: float) -> Row:
    """Expect no less than the formula gives.

    :param what: what is compared, with its unit
    :param bound: its value
    :param simulated: the simulated value
    """
    return Row(what, f"at least {_number(bound)}", _number(simulated), "", simulated >= bound)


def at_most(what: str, bound: float, simulated: float) -> Row:
    """Expect no more than the formula gives.

    :param what: what is compared, with its unit
    :param bound: its value
    :param simulated: the simulated value
    """
    return Row(what, f"at most {_number(bound)}", _number(simulated), "", simulated <= bound)


def table(rows: list[Row]) -> str:
    """Return the comparisons as a table in Markdown.

    :param rows: the comparisons
    """
    lines = [f"| {row.what} | {row.formula} | {row.simulated} | {row.allowed} |" for row in rows]
    return "\n".join(["| | formula | simulated | may differ by |", "|---|---|---|---|", *lines])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value % 1 == 0 else f"{value:.3g}"
