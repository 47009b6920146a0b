"""The environments of the matrix, which are listed only here, and the pinning of their versions."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PINS = Path(__file__).parent / "pins"

_NEEDED_NEWER = ("apache-airflow-providers-common-compat", "apache-airflow-providers-http")
"""Packages whose lowest version in pyproject.toml is newer than some dates below; users get such versions too."""


WHOLE_SUITE = ("tests/unit", "tests/integration", "--ignore=tests/unit/benchmarks")
"""Tests of the provider; those of the benchmarks are excluded, since figures are measured on one Airflow only."""
_OF_LIBRARIES = (
    "fault_table", "frames", "key_forms", "status_tries_table", "transports", "transports_and_proxies", "wire",
)  # fmt: skip
"""Integration tests of what depends on libraries and not on Airflow."""
_OF_AIRFLOW = (
    *WHOLE_SUITE,
    "--ignore=tests/unit/core",
    *(f"--ignore=tests/integration/test_{name}.py" for name in _OF_LIBRARIES),
)
"""The core imports no Airflow, so its tests say nothing about one. The libraries' lowest and newest versions have the
whole suite in `lowest` and in `make test`."""
_OF_PYTHON = (
    "tests/unit",
    "--ignore=tests/unit/benchmarks",
    *(
        f"tests/integration/test_{name}.py"
        for name in ("dags", "frames", "stopping", "token_sharing", "transports", "wire")
    ),
)
"""The rest runs on the same Airflow in another environment or in `make test`."""


@dataclass(frozen=True)
class Environment:
    """One row of the matrix.

    :param airflow: the version of Airflow, or ``lowest`` for the lowest versions of all direct dependencies
    :param python: the version of Python
    :param as_of: date after which no package may have been released, because an older Airflow breaks with today's
        packages; None for the versions in ``constraints.txt``
    :param caps: further requirements, each with its reason
    :param suite: the tests that run in it: what can differ from the other environments
    """

    airflow: str
    python: str = "3.11"
    as_of: str | None = None
    caps: tuple[tuple[str, str], ...] = ()
    suite: tuple[str, ...] = WHOLE_SUITE

    @property
    def name(self) -> str:
        """Name of the environment on the command line and in the table."""
        return f"{self.airflow}-py{self.python}"

    @property
    def pins(self) -> Path:
        """Path of the file with its pinned versions."""
        return PINS / f"{self.name}.txt"


_FORM_BUILDER = ("flask-appbuilder", "without it Airflow 3.0 and 3.1 show the fields of no provider in their form")

ENVIRONMENTS = (
    Environment(
        "lowest",
        as_of="2026-07-01",
        caps=(("flask-jwt-extended<4.7.2", "later ones import of PyJWT what 2.10 does not have, and do not say so"),),
    ),
    Environment("2.11.2", as_of="2026-07-01", suite=_OF_AIRFLOW),
    Environment(
        "3.0.6",
        as_of="2026-07-01",
        caps=(
            ("fastapi<0.118", "with the starlette of later ones, each task of 3.0.6 ends in a validation error"),
            _FORM_BUILDER,
        ),
        suite=_OF_AIRFLOW,
    ),
    Environment("3.1.8", as_of="2026-07-01", caps=(_FORM_BUILDER,), suite=_OF_AIRFLOW),
    Environment("3.2.2", as_of="2026-07-01", suite=_OF_AIRFLOW),
    Environment("3.3.2", suite=_OF_PYTHON),
    Environment("3.3.2", python="3.12", suite=_OF_PYTHON),
    Environment("3.3.2", python="3.13", suite=_OF_PYTHON),
)


def pin(environment: Environment, uv: Path) -> None:
    """Resolve the versions of an environment, and write its pins.

    :param environment: the environment
    :param uv: path of uv
    """
    direct = []
    if environment.airflow == "lowest":
        # Lowest versions only of the package's dependencies; those of the tests are as usual.
        lowest = _resolved(environment, uv, [], "--resolution", "lowest-direct").splitlines()
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        named = {Requirement(text).name.lower() for text in project["dependencies"]}
        direct = [line for line in lowest if line.partition("==")[0] in named]
    else:
        direct = [f"apache-airflow=={environment.airflow}"]
    capped = [requirement for requirement, _ in environment.caps]
    text = _resolved(environment, uv, [*direct, *capped], "--group", "test")
    lines = [line for line in text.splitlines() if not line.startswith((".", "airflow-provider-okta-workflows"))]
    origin = f"as of {environment.as_of}" if environment.as_of else "from constraints.txt"
    reasons = [f"# {requirement}: {reason}" for requirement, reason in environment.caps]
    header = [f"# {environment.name}, {origin}; written by make matrix-pins", *reasons]
    environment.pins.write_text("\n".join([*header, *lines]) + "\n")


def _resolved(environment: Environment, uv: Path, requirements: list[str], *options: str) -> str:
    versions = ["--constraint", "constraints.txt"]
    if environment.as_of:
        newer = [f"--exclude-newer-package={name}=2026-11-20" for name in _NEEDED_NEWER]
        versions = ["--exclude-newer", environment.as_of, *newer]
    command: list[str] = [
        str(uv),
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--python-version",
        environment.python,
    ]
    done = subprocess.run(
        [*command, *versions, *options, "pyproject.toml", "-"],
        cwd=ROOT,
        input="\n".join(requirements),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{environment.name} cannot be resolved:\n{done.stderr}")
    return done.stdout
