"""The software bill of materials (CycloneDX): the package and all that it installs."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from release.builds import SCRIPTS, run
from release.findings import ReleaseError

NAME = "airflow-provider-okta-workflows"
_DYNAMIC = re.compile(r"^dynamic = \[.*\]$", re.MULTILINE)


def install_alone(root: Path, packages: Path, folder: Path) -> Path:
    """Install the wheel into an environment that has nothing else, and return that environment's Python.

    :param root: the tree, whose constraints.txt has the versions
    :param packages: the directory of the wheel
    :param folder: directory for the environment, which is emptied first
    :raises ReleaseError: if it cannot be installed
    """
    shutil.rmtree(folder, ignore_errors=True)
    (wheel,) = packages.glob("*.whl")
    uv, python = str(SCRIPTS / "uv"), folder / "bin" / "python"
    run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    pinned = ["--constraint", str(root / "constraints.txt")]
    run([uv, "pip", "install", "--quiet", "--python", str(python), *pinned, str(wheel)])
    return python


def write_sbom(root: Path, version: str, python: Path, file: Path) -> str:
    """Write the bill of materials of an environment.

    :param root: the tree
    :param version: the version that is released
    :param python: the environment's Python
    :param file: the file to write
    :raises ReleaseError: if it lacks the package or one of its direct dependencies
    """
    with TemporaryDirectory(prefix="release-") as folder:
        project = Path(folder) / "pyproject.toml"
        # The tool reads the version here only, not from the installed package.
        project.write_text(
            _DYNAMIC.sub(f'version = "{version}"', (root / "pyproject.toml").read_text("utf-8")), "utf-8"
        )
        command = [str(SCRIPTS / "cyclonedx-py"), "environment", "--output-reproducible", "--mc-type", "library"]
        run([*command, "--pyproject", str(project), "--output-file", str(file), str(python)])
    bill = json.loads(file.read_text("utf-8"))
    require_complete(bill, version, _direct_dependencies(python))
    return f"{len(components(bill))} components, CycloneDX {bill['specVersion']}"


def components(bill: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the components that the package needs.

    :param bill: the bill of materials
    """
    return [one for one in bill.get("components", []) if one["name"] != NAME]


def require_complete(bill: dict[str, Any], version: str, needed: set[str]) -> None:
    """Raise if a bill of materials is not that of the package.

    :param bill: the bill of materials
    :param version: the version that is released
    :param needed: the names of the package's direct dependencies
    :raises ReleaseError: if it is about another package or version, or lacks a dependency or a version
    """
    subject = bill.get("metadata", {}).get("component", {})
    if (subject.get("name"), subject.get("version")) != (NAME, version):
        raise ReleaseError(f"The SBOM is about {subject.get('name')} {subject.get('version')}, not {NAME} {version}.")
    listed = {one["name"].lower(): one.get("version") for one in components(bill)}
    if lacking := sorted(name for name in needed if not listed.get(name)):
        raise ReleaseError("The SBOM lacks:", lacking)


def _direct_dependencies(python: Path) -> set[str]:
    asked = (
        "import importlib.metadata, json, re; "
        f"needs = importlib.metadata.requires('{NAME}'); "
        "print(json.dumps([re.match('[A-Za-z0-9._-]+', one)[0].lower() for one in needs if 'extra ==' not in one]))"
    )
    return set(json.loads(run([str(python), "-c", asked])))
