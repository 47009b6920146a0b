"""Command line of the benchmarks; see ``--help``."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.places import CACHE, IMAGES, LOG, PAGE, ROOT
from benchmarks.plots import draw
from benchmarks.report import page, print_table
from benchmarks.row_process import RowBrokenError, measure_row
from benchmarks.rows import ROWS

if TYPE_CHECKING:
    from benchmarks.figures import Figure

DESCRIPTION = """\
Measure this provider beside its peers, on this machine and in one run, and print one table. The other side is the
local org, which runs in a process of its own on loopback; nothing leaves the machine, but for the okta SDK that is
installed from the package index once."""

EPILOG = """\
rows:
{rows}

examples:
  python -m benchmarks                    all rows; writes docs/performance.md and its plots; about 35 minutes
  python -m benchmarks invoke parse       these two, and writes nothing
  python -m benchmarks --quick            all rows in a small form: shows that each works, its figures say little

Machines are noisy: compare within one run only. The peers of a row take turns with us, round by round, and the ratio
is the median of the rounds' ratios. A missed target is printed as MISSED and does not count as a failure.

exit code: 0 if every row could be measured, 1 if one is broken, 2 for wrong usage."""


def main(arguments: list[str] | None = None) -> int:
    """Run the selected rows, and return the exit code.

    :param arguments: the command line; that of this process if None
    """
    asked = _parser().parse_args(arguments)
    unknown = [name for name in asked.rows if name not in ROWS]
    if unknown:
        _parser().error(f"no such row: {', '.join(unknown)}. There are {', '.join(ROWS)}")
    names = [name for name in ROWS if name in asked.rows] or list(ROWS)
    CACHE.mkdir(exist_ok=True)
    LOG.write_text("")
    # Measurements need the machine for themselves. Quick mode only shows that each row works, and mostly waits.
    with ThreadPoolExecutor(3 if asked.quick else 1) as turns:
        found = dict(zip(names, turns.map(partial(_measure, quick=asked.quick), names), strict=True))
    measured = {name: figures for name, figures in found.items() if figures is not None}
    print_table(measured)
    if broken := [name for name in names if name not in measured]:
        _say(f"Broken: {', '.join(broken)}. What they printed is in {LOG.relative_to(ROOT)}.")
        return 1
    if asked.quick:
        _say("The small form: these figures only show that every row works.")
    if names == list(ROWS):
        # In quick mode too, to exercise the template and the plots.
        files = {PAGE: page(measured)} | {IMAGES / name: plot for name, plot in draw(measured).items()}
        if not asked.quick:
            for file, text in files.items():
                file.write_text(text)
                _say(f"wrote {file.relative_to(ROOT)}")
    return 0


def _measure(name: str, *, quick: bool) -> list[Figure] | None:
    """Measure a row and report progress; return None if the row is broken."""
    _say(f"{name}: {ROWS[name].title} …")
    started = time.monotonic()
    try:
        figures = measure_row(name, quick=quick)
    except RowBrokenError as error:
        _say(f"{name}: BROKEN\n{error}")
        return None
    _say(f"{name}: {len(figures)} figures in {time.monotonic() - started:.0f} s")
    # The targets are set for the full sizes.
    return [replace(figure, target=None) for figure in figures] if quick else figures


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {row.name:<14}{row.title}" for row in ROWS.values())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=DESCRIPTION,
        epilog=EPILOG.format(rows=rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="row", help="the rows to run; all if none is named")
    parser.add_argument("--quick", action="store_true", help="each row in a small form, in well under 90 s in all")
    return parser


def _say(text: str) -> None:
    # One write per message: in quick mode several rows run at once.
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
