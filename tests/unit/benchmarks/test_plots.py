"""The plots of docs/performance.md. `make bench-quick` draws them from the figures of all rows."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.figures import compare
from benchmarks.plots import draw

SVG = "{http://www.w3.org/2000/svg}"
COSTS = {
    "task": [compare("one invocation in a new task process", "ms", [100], "HttpOperator", [300])],
    "invoke": [
        compare("one warm invocation", "ms", [0.6], peer, [1.2]) for peer in ("HttpHook.run", "requests.Session.post")
    ],
    "authenticate": [compare("token, RSA-2048 PEM, cached", "ms", [4], "by hand", [40])],
    "files": [compare("100 items: CPU per item", "ms", [3], "a loop over HttpHook", [2])],
    "sensors": [compare("40 sensors: CPU per 1,000 polls", "s", [0.5], "HttpSensorTrigger", [1])],
}
LIMITS = [
    ("batch", "600 invocations", "a pool of 32 threads"),
    ("flows", "12,000 <invocations>", "a pool of 32 threads"),
    ("pace", "all, pace=host", "pace=process"),
    ("pace", "all, pace=redis", "pace=process"),
]


def drawn() -> dict[str, ElementTree.Element]:
    rows = {**COSTS, "batch": [], "flows": [], "pace": []}
    for row, what, peer in LIMITS:
        rows[row] += [
            compare(f"{what}: share of the limit", "%", [95], peer, [85]),
            compare(f"{what}: requests returned 429", "%", [0.1], peer, [75]),
        ]
    return {name: ElementTree.fromstring(plot) for name, plot in draw(rows).items()}


def bars(plot: ElementTree.Element) -> list[int]:
    return [int(one.get("width", "")) for one in plot.iter(f"{SVG}rect") if one.get("class") in ("ours", "peer")]


def test_each_comparison_has_two_bars_with_their_figures() -> None:
    plots = drawn()

    assert [len(bars(plot)) for plot in plots.values()] == [12, 8]
    words = [text.text for plot in plots.values() for text in plot.iter(f"{SVG}text")]
    assert "100 ms, 0.33 x, this provider" in words
    assert "85 %; 75 % got 429, a pool of 32 threads" in words


def test_a_bar_is_as_long_as_its_share() -> None:
    cost, limit = (bars(plot) for plot in drawn().values())

    assert abs(cost[0] / cost[1] - 1 / 3) < 0.01
    assert cost[8] > cost[9], "where a peer is better, its bar is the shorter one"
    assert abs(limit[0] / limit[1] - 95 / 85) < 0.01


def test_a_plot_says_in_words_what_it_shows() -> None:
    for plot in drawn().values():
        described = plot.findtext(f"{SVG}desc") or ""
        for text in plot.iter(f"{SVG}text"):
            if text.text and text.get("class") == "b" and "this provider" not in text.text:
                assert text.text in described
