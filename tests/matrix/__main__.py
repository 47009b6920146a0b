"""Run the matrix: build each environment, run the suite in it, and write the results into docs/compatibility.md."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.matrix.environments import ENVIRONMENTS, ROOT, Environment, pin
from tests.matrix.page import PAGE, tables, written_into
from tests.matrix.running import WORK, EnvironmentFailedError, Result, build_wheel, log_of, run

UV = Path(sys.executable).parent / "uv"
_END_OF_LOG = 60
"""Number of lines shown of the log of an environment that failed."""


def main() -> int:
    """Run the command line, and return the exit code: 1 if an environment failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    names = [environment.name for environment in ENVIRONMENTS]
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=names,
        help=f"only this environment; one of {', '.join(names)}. The page stays as it is",
    )
    parser.add_argument("--pins", action="store_true", help="resolve the versions of the environments, and run nothing")
    parser.add_argument("--at-a-time", metavar="N", type=int, default=2, help="environments that run side by side (2)")
    parser.add_argument(
        "pytest", nargs="*", help="after --: further options of pytest; the page stays as it is then too"
    )
    arguments = parser.parse_args()
    chosen = [environment for environment in ENVIRONMENTS if not arguments.only or environment.name in arguments.only]
    if arguments.pins:
        for environment in chosen:
            pin(environment, UV)
            print(f"pinned {environment.name}", flush=True)
        return 0

    WORK.mkdir(exist_ok=True)
    wheel = build_wheel(UV)
    print(f"{wheel.name}, in {len(chosen)} environments; what they print is in {WORK.relative_to(ROOT)}/", flush=True)
    options = ["--hypothesis-profile=quick", *arguments.pytest]
    with ThreadPoolExecutor(arguments.at_a_time) as pool:
        results = dict(zip(chosen, pool.map(lambda one: _run(one, wheel, options), chosen), strict=True))
    passed = {environment: result for environment, result in results.items() if result is not None}
    failed = [environment.name for environment, result in results.items() if result is None]
    if failed:
        print(f"failed: {', '.join(failed)}")
    elif arguments.only or arguments.pytest:
        print(f"{PAGE.relative_to(ROOT)} stays as it is: not everything ran")
    else:
        PAGE.write_text(written_into(PAGE.read_text(), tables(passed)))
        print(f"wrote {PAGE.relative_to(ROOT)}")
    print(f"{len(passed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _run(environment: Environment, wheel: Path, options: list[str]) -> Result | None:
    """Run one environment and print how it ended; return None if it failed."""
    begun = time.monotonic()
    try:
        result = run(environment, wheel, UV, options)
    except EnvironmentFailedError as error:
        end = (
            "\n".join(log_of(environment).read_text().splitlines()[-_END_OF_LOG:])
            if log_of(environment).exists()
            else ""
        )
        print(f"{end}\n{environment.name}: FAILED after {time.monotonic() - begun:.0f} s: {error}", flush=True)
        return None
    told = f"{result.passed} tests passed, {result.not_applicable} not applicable"
    print(f"{environment.name}: {told}, in {time.monotonic() - begun:.0f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
