"""Comparison of a formula's value with a simulated one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Formulas = dict[str, Any]
"""The page's functions and constants, by name."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    :param what: what is compared, with its unit
    :param formula: the formula's value, with ``at least`` or ``at most`` if it is a bound
    :param simulated: the simulated value
    :param allowed: the allowed difference, in words
    :param agrees: whether the values agree within it
    """

    what: str
    formula: str
    simulated: str
    allowed: str
    agrees: bool


def about(what: str, formula: float, simulated: float, *, tolerance: float = 0.03) -> Row:
    """Return a row that agrees if the simulated value is within a tolerance of the formula's value.

    :param what: what is compared, with its unit
    :param formula: the formula's value
    :param simulated: the simulated value
    :param tolerance: the allowed difference, as a share of the formula's value
    """
    agrees = abs(simulated - formula) <= tolerance * formula
    return Row(what, _number(formula), _number(simulated), f"{100 * tolerance:g} %", agrees)


def exactly(what: str, formula: float, simulated: float) -> Row:
    """Return a row that agrees if both values are equal.

    :param what: what is compared, with its unit
    :param formula: the formula's value
    :param simulated: the simulated value
    """
    return Row(what, _number(formula), _number(simulated), "0 %", simulated == formula)


def at_least(what: str, bound: float, simulated: float) -> Row:
    """Return a row that agrees if the simulated value is no less than a bound.

    :param what: what is compared, with its unit
    :param bound: the formula's value
    :param simulated: the simulated value
    """
    return Row(what, f"at least {_number(bound)}", _number(simulated), "", simulated >= bound)


def at_most(what: str, bound: float, simulated: float) -> Row:
    """Return a row that agrees if the simulated value is no more than a bound.

    :param what: what is compared, with its unit
    :param bound: the formula's value
    :param simulated: the simulated value
    """
    return Row(what, f"at most {_number(bound)}", _number(simulated), "", simulated <= bound)


def table(rows: list[Row]) -> str:
    """Return the comparisons as a Markdown table.

    :param rows: the comparisons
    """
    lines = [f"| {row.what} | {row.formula} | {row.simulated} | {row.allowed} |" for row in rows]
    return "\n".join(["| | formula | simulated | may differ by |", "|---|---|---|---|", *lines])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value % 1 == 0 else f"{value:.3g}"
