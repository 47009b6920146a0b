"""Command line of the simulation that checks the formulas in docs/scaling.md; see ``--help``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time

DESCRIPTION = """\
Hold the formulas of docs/scaling.md against a simulation of the provider: its own batches, triggers, pacer, token
cache and checkpoints, in virtual time, against the local org's own rules behind a network with jitter. No Airflow runs,
and nothing is sent. The same numbers come out each time."""

EPILOG = """\
exit code: 0 if each formula and its simulation agree, 1 if one does not, 2 for wrong usage."""


def main(arguments: list[str] | None = None) -> int:
    """Run the simulation, and return the exit code.

    :param arguments: the command line; that of this process if None
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulation",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help="shorter simulations, in a few seconds; docs/scaling.md stays as it is"
    )
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="simulation-") as home:
        # The provider imports Airflow, which reads its home at import.
        os.environ.setdefault("AIRFLOW_HOME", home)
        # Time is virtual, so nothing may be shared with this host. Each simulated batch keeps its own pace.
        os.environ["AIRFLOW__OKTA_WORKFLOWS__PACE"] = "off"
        return _run(quick=asked.quick)


def _run(*, quick: bool) -> int:
    from benchmarks.simulation import page
    from benchmarks.simulation.comparison import table

    started = time.monotonic()
    text = page.PAGE.read_text()
    rows = page.compare(text, quick=quick)
    print(table(rows))
    apart = [row for row in rows if not row.agrees]
    for row in apart:
        print(f"APART: {row.what}: the formula gives {row.formula}, the simulation {row.simulated}", file=sys.stderr)
    if apart:
        return 1
    print(f"{len(rows)} formulas and simulations agree; {time.monotonic() - started:.0f} s", file=sys.stderr)
    if not quick:
        page.PAGE.write_text(page.written_into(text, table(rows)))
        print(f"wrote the table into docs/{page.PAGE.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
