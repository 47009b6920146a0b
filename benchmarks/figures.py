"""Figures of a row of the benchmarks: ours, the peer's, their ratio, and whether the target is met."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Unit = Literal["ms", "s", "KiB", "MB", "/s", "%", ""]


@dataclass(frozen=True)
class Target:
    """Bound that a figure has to meet.

    :param text: the target in words
    :param of: the value to compare: our figure, or its ratio to the peer's
    :param limit: the bound, in the figure's unit or as a ratio
    :param bound: whether the limit is an upper bound (``most``) or a lower one (``least``)
    """

    text: str
    of: Literal["ours", "ratio"]
    limit: float
    bound: Literal["most", "least"] = "most"

    def is_met(self, ours: float, ratio: float | None) -> bool:
        """Return whether the target is met.

        :param ours: our figure
        :param ratio: ours divided by the peer's; None without a peer
        """
        value = ours if self.of == "ours" else ratio
        if value is None:
            return False
        return value <= self.limit if self.bound == "most" else value >= self.limit


def at_most(limit: float, unit: Unit = "") -> Target:
    """Return the target that our figure is at most ``limit``.

    :param limit: the bound
    :param unit: its unit, for the wording
    """
    return Target(f"at most {shown(limit, unit)}", "ours", limit)


def at_least(limit: float, unit: Unit = "") -> Target:
    """Return the target that our figure is at least ``limit``.

    :param limit: the bound
    :param unit: its unit, for the wording
    """
    return Target(f"at least {shown(limit, unit)}", "ours", limit, "least")


def at_most_times(limit: float) -> Target:
    """Return the target that our figure is at most ``limit`` times the peer's.

    :param limit: the largest ratio
    """
    return Target(f"at most {limit:g} x", "ratio", limit)


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    :param what: what was measured
    :param unit: the unit of both figures
    :param ours: our figure: the median over the rounds
    :param peer_name: the peer; empty without one
    :param peer: the peer's figure: the median over the rounds; None without a peer
    :param ratio: the median over the rounds of ours divided by the peer's; None if there is none
    :param how: how it was measured
    :param target: the target; None without one
    """

    what: str
    unit: Unit
    ours: float
    peer_name: str
    peer: float | None
    ratio: float | None
    how: str
    target: Target | None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return self.target.is_met(self.ours, self.ratio) if self.target else None

    @property
    def verdict(self) -> str:
        """The target and whether it is met, in words; empty without one."""
        if self.target is None:
            return ""
        return f"{self.target.text}: {'met' if self.is_met else 'MISSED'}"

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Return the table's cells: figure, ours, peer, ratio, target, how."""
        peer = f"{shown(self.peer, self.unit)} {self.peer_name}" if self.peer is not None else ""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x" if self.ratio >= 0.1 else f"{self.ratio:.2g} x"
        return self.what, shown(self.ours, self.unit), peer, ratio, self.verdict, self.how

    def precisely(self) -> str:
        """Return what the target is about, with one digit more than the table has."""
        if self.target and self.target.of == "ratio" and self.ratio is not None:
            return f"{self.ratio:.3f} x"
        return f"{self.ours:.4g} {self.unit}".rstrip()


HEADINGS = ("figure", "ours", "peer", "ratio", "target", "how it was measured")


def compare(
    what: str,
    unit: Unit,
    ours: Sequence[float],
    peer_name: str,
    peer: Sequence[float],
    *,
    how: str = "",
    target: Target | None = None,
) -> Figure:
    """Return the line that compares our figures with a peer's from the same rounds.

    :param what: what was measured
    :param unit: the unit of both
    :param ours: our figure of each round
    :param peer_name: the peer
    :param peer: the peer's figure of each round
    :param how: how it was measured
    :param target: the target; None without one
    """
    # A ratio per round, because other load on the machine affects both figures of a round. Zeros have no ratio.
    ratios = [one / other for one, other in zip(ours, peer, strict=True) if one and other]
    ratio = median(ratios) if ratios else None
    return Figure(what, unit, median(ours), peer_name, median(peer), ratio, how, target)


def alone(what: str, unit: Unit, ours: Sequence[float], *, how: str = "", target: Target | None = None) -> Figure:
    """Return the line of a figure that has no peer.

    :param what: what was measured
    :param unit: its unit
    :param ours: our figure of each round
    :param how: how it was measured
    :param target: the target; None without one
    """
    return Figure(what, unit, median(ours), "", None, None, how, target)


def shown(value: float, unit: Unit) -> str:
    """Return a value as the table shows it: three significant digits, integers without decimals.

    :param value: the value
    :param unit: its unit
    """
    if value == round(value) or abs(value) >= 100:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{text}{'' if unit in ('', '/s') else ' '}{unit}"
