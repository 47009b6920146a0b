"""Build of one environment of the matrix from its pins and the wheel, and the run of the suite in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.matrix.environments import ROOT, Environment
from tests.matrix.probe import printed_json

WORK = ROOT / ".matrix"
PACKAGE = "airflow_okta_workflows"

_NOT_COPIED = {PACKAGE, "dist", "build", "site", "mutants", "__pycache__"}


class EnvironmentFailedError(Exception):
    """Failure of an environment; the message has the step."""


@dataclass(frozen=True)
class Result:
    """Result of an environment.

    :param passed: number of tests that passed
    :param not_applicable: number of tests that were deselected because they are meaningless there
    :param reasons: the suite's reasons for that
    :param passed_in: number of tests that passed in each module of the suite, by its dotted name
    :param probe: what :mod:`tests.matrix.probe` found
    """

    passed: int
    not_applicable: int
    reasons: tuple[str, ...]
    passed_in: Mapping[str, int]
    probe: dict[str, Any]


def interpreter(version: str, uv: Path) -> str:
    """Return the path of a Python interpreter.

    :param version: its version, such as 3.12
    :param uv: path of uv, which finds interpreters in further places
    :raises EnvironmentFailedError: if there is none
    """
    homes = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    candidates = [
        shutil.which(f"python{version}"),
        *(str(path) for path in sorted(homes.glob(f"{version}.*/bin/python"))),
    ]
    for candidate in filter(None, candidates):
        # pyenv has a shim for each installed version, but only those of the selected versions work.
        done = subprocess.run([candidate, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True, check=False)  # fmt: skip
        if done.stdout.strip() == version:
            return str(candidate)
    done = subprocess.run([uv, "python", "find", "--no-python-downloads", version], capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise EnvironmentFailedError(
            f"there is no Python {version} here: not on PATH, not under {homes}, and uv knows of none. Install it with"
            f" the system's packages, with `pyenv install {version}`, or with `uv python install {version}`."
        )
    return done.stdout.strip()


def build_wheel(uv: Path) -> Path:
    """Build the wheel of this tree, and return its path.

    :param uv: path of uv
    """
    shutil.rmtree(WORK / "dist", ignore_errors=True)
    pinned = ("--build-constraints", ROOT / "constraints.txt")
    subprocess.run([uv, "build", "--quiet", "--wheel", *pinned, "--out-dir", WORK / "dist", ROOT], check=True)
    (wheel,) = (WORK / "dist").glob("*.whl")
    return wheel


def run(environment: Environment, wheel: Path, uv: Path, pytest_options: Sequence[str]) -> Result:
    """Build an environment from scratch, and run the suite and the probe in it.

    :param environment: the environment
    :param wheel: the wheel under test
    :param uv: path of uv
    :param pytest_options: further options of pytest
    :raises EnvironmentFailedError: if a step fails; its output is in the environment's log
    """
    place = WORK / environment.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    python = place / "venv/bin/python"
    tree = _copied_without_the_package(place / "tree")
    with log_of(environment).open("w") as log:

        def step(what: str, command: Sequence[object], **variables: str) -> None:
            words = [str(word) for word in command]
            log.write(f"\n== {what}: {' '.join(words)}\n")
            log.flush()
            # Without the caller's settings of Airflow, Python and its virtual environment.
            usual = {
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AIRFLOW", "PYTHON", "VIRTUAL"))
            }
            done = subprocess.run(
                words, cwd=tree, env={**usual, **variables}, stdout=log, stderr=subprocess.STDOUT, check=False
            )
            if done.returncode:
                raise EnvironmentFailedError(f"{what} failed")

        step(
            "making the environment",
            [uv, "venv", "--quiet", "--python", interpreter(environment.python, uv), place / "venv"],
        )
        step(
            "installing the pins and the wheel",
            [uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "-r", environment.pins, wheel],
        )
        step("checking what is installed", [uv, "pip", "check", "--python", python])
        where = (
            f"import pathlib, sys, {PACKAGE}; sys.exit(not pathlib.Path({PACKAGE}.__file__).is_relative_to(sys.prefix))"
        )
        step("finding the package in the environment and not in a tree", [python, "-W", "ignore", "-c", where])
        junit = place / "junit.xml"
        step(
            "running the suite",
            [python, "-m", "pytest", "-q", "--junitxml", junit, *pytest_options, *environment.suite],
        )
        home = {"AIRFLOW_HOME": str(place / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        step("making a database", [python, "-W", "ignore", "-m", "airflow", "db", "migrate"], **home)
        step("asking Airflow", [python, "-W", "ignore", "-m", "tests.matrix.probe"], **home)
    return _result(log_of(environment).read_text(), junit)


def log_of(environment: Environment) -> Path:
    """Return the path of an environment's log."""
    return WORK / f"{environment.name}.log"


def _copied_without_the_package(tree: Path) -> Path:
    tree.mkdir()
    for path in ROOT.iterdir():
        if path.name in _NOT_COPIED or (path.name.startswith(".") and path.name != ".env.example"):
            continue
        if path.is_dir():
            shutil.copytree(path, tree / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, tree)
    return tree


def _result(log: str, junit: Path) -> Result:
    cases = ElementTree.parse(junit).getroot().iter("testcase")
    passed_in = Counter(case.get("classname", "") for case in cases if len(case) == 0)
    left_out = re.findall(r"^NOT APPLICABLE \[(\d+)\] (.*)$", log, re.MULTILINE)
    return Result(
        passed=passed_in.total(),
        not_applicable=sum(int(number) for number, _ in left_out),
        reasons=tuple(reason for _, reason in left_out),
        passed_in=passed_in,
        probe=printed_json(log),
    )
