"""Plots of docs/performance.md, as SVG for light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from benchmarks.figures import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.figures import Figure

_WIDTH, _LEFT, _BAR = 900, 310, 260
"""Width of a plot, and where its bars begin and how long the longest may be, in pixels."""
_TOP, _LINE, _GROUP = 76, 24, 14
"""Height of the heading, of one bar, and of the space between two groups, in pixels."""

_STYLE = """\
    text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: #1f2328; }
    .h { font-size: 16px; font-weight: 600; }
    .b { font-weight: 600; }
    .s { font-size: 12.5px; fill: #57606a; }
    .page { fill: #ffffff; stroke: #d0d7de; }
    .ours { fill: #0969da; }
    .peer { fill: #afb8c1; }
    .track { fill: #eaeef2; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .s { fill: #9da7b3; }
      .page { fill: #161b22; stroke: #30363d; }
      .ours { fill: #58a6ff; }
      .peer { fill: #545d68; }
      .track { fill: #262c36; }
    }"""


@dataclass(frozen=True)
class _Bar:
    """One bar.

    :param name: whose figure it is
    :param length: its length, as a share of the full length
    :param value: the figure, in words
    :param is_ours: whether it is this provider's
    """

    name: str
    length: float
    value: str
    is_ours: bool = False


@dataclass(frozen=True)
class _Pick:
    """A comparison to show.

    :param row: the row of the benchmarks
    :param ending: how the figure's description ends
    :param peer: the peer
    :param title: what was measured, in a few words
    """

    row: str
    ending: str
    peer: str
    title: str


_COSTS = (
    _Pick("task", "one invocation in a new task process", "HttpOperator", "Invocation in a new task: CPU"),
    _Pick("invoke", "one warm invocation", "HttpHook.run", "Warm invocation: time"),
    _Pick("invoke", "one warm invocation", "requests.Session.post", "Warm invocation: time"),
    _Pick("authenticate", "RSA-2048 PEM, cached", "by hand", "Token in a new task: CPU"),
    _Pick("files", "CPU per item", "a loop over HttpHook", "Item of a batch, file to file: CPU"),
    _Pick("sensors", " sensors: CPU per 1,000 polls", "HttpSensorTrigger", "1,000 polls of sensors: CPU"),
)
_LIMITS = (
    _Pick("batch", "share of the limit", "a pool of 32 threads", "600 invocations of one flow"),
    _Pick("flows", "share of the limit", "a pool of 32 threads", "12,000 invocations of 20 flows"),
    _Pick("pace", "pace=host: share of the limit", "pace=process", "4 batches and 40 tasks, one flow"),
    _Pick("pace", "pace=redis: share of the limit", "pace=process", "The same, spread over two hosts"),
)
_REFUSED = "requests returned 429"


def draw(rows: Mapping[str, Sequence[Figure]]) -> dict[str, str]:
    """Return the plots by file name.

    :param rows: the figures of all rows
    """
    costs = [(pick.title, _cost_bars(_find(rows, pick))) for pick in _COSTS]
    limits = [(pick.title, _limit_bars(rows, pick)) for pick in _LIMITS]
    return {
        "performance-cost.svg": _svg(
            "What it costs beside its peers", "CPU or time as a share of the peer's; shorter is better", costs
        ),
        "performance-limit.svg": _svg(
            "How much of Okta's limit is used", "good responses, as a share of what ten per second allow", limits
        ),
    }


def _find(rows: Mapping[str, Sequence[Figure]], pick: _Pick) -> Figure:
    return next(one for one in rows[pick.row] if one.what.endswith(pick.ending) and one.peer_name == pick.peer)


def _cost_bars(figure: Figure) -> list[_Bar]:
    peer, ratio = figure.peer or 0.0, figure.ratio or 0.0
    longest = max(1.0, ratio)
    return [
        _Bar("this provider", ratio / longest, f"{shown(figure.ours, figure.unit)}, {ratio:.2f} x", is_ours=True),
        _Bar(figure.peer_name, 1 / longest, shown(peer, figure.unit)),
    ]


def _limit_bars(rows: Mapping[str, Sequence[Figure]], pick: _Pick) -> list[_Bar]:
    share = _find(rows, pick)
    refused = next(
        one
        for one in rows[pick.row]
        if one.what == share.what.replace("share of the limit", _REFUSED) and one.peer_name == pick.peer
    )
    return [
        _Bar("this provider", share.ours / 100, _limit_text(share.ours, refused.ours), is_ours=True),
        _Bar(share.peer_name, (share.peer or 0.0) / 100, _limit_text(share.peer or 0.0, refused.peer or 0.0)),
    ]


def _limit_text(share: float, refused: float) -> str:
    return f"{shown(share, '%')}; {shown(refused, '%')} got 429"


def _svg(title: str, subtitle: str, groups: Sequence[tuple[str, Sequence[_Bar]]]) -> str:
    height = _TOP + sum(_GROUP + _LINE * len(bars) for _, bars in groups) + _GROUP
    told = "; ".join(f"{name}: {', '.join(f'{bar.name} {bar.value}' for bar in bars)}" for name, bars in groups)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="t d">',
        f'  <title id="t">{escape(title)}</title>',
        f'  <desc id="d">{escape(told)}.</desc>',
        f"  <style>\n{_STYLE}\n  </style>",
        f'  <rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'  <text class="h" x="24" y="34">{escape(title)}</text>',
        f'  <text class="s" x="24" y="56">{escape(subtitle)}</text>',
    ]
    y = _TOP + _GROUP
    for name, bars in groups:
        lines.append(f'  <text class="b" x="24" y="{y + 16}">{escape(name)}</text>')
        for bar in bars:
            lines += _drawn(bar, y)
            y += _LINE
        y += _GROUP
    return "\n".join([*lines, "</svg>", ""])


def _drawn(bar: _Bar, y: int) -> list[str]:
    length = max(2, round(_BAR * bar.length))
    kind, weight = ("ours", "b") if bar.is_ours else ("peer", "s")
    return [
        f'  <rect class="track" x="{_LEFT}" y="{y + 4}" width="{_BAR}" height="16" rx="2"/>',
        f'  <rect class="{kind}" x="{_LEFT}" y="{y + 4}" width="{length}" height="16" rx="2"/>',
        f'  <text class="{weight}" x="{_LEFT + _BAR + 10}" y="{y + 17}">{escape(f"{bar.value}, {bar.name}")}</text>',
    ]
