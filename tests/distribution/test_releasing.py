"""The steps of RELEASING.md, taken in a clone that pushes to a repository beside it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release.tree import git
from release.versions import numbers, read_version
from tests.pages import ROOT, blocks, shown

PAGE = "RELEASING.md"
PAGES_VERSION = "0.2.0"
MARKER = "## [Unreleased]\n"

IN_A_CHECKOUT = bool((ROOT / ".git").exists() and shutil.which("git"))
NO_CHECKOUT = "a release is cut from a git checkout, and this is none, or there is no git"

# The check installs Airflow, which is downloaded if uv's cache does not have it.
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not IN_A_CHECKOUT, reason=NO_CHECKOUT),  # an archive of the sources has nothing to tag and push
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone of the last commit with something unreleased, whose origin is a repository beside it."""
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    git(tmp_path, "clone", "--quiet", str(ROOT), str(clone))
    git(clone, "checkout", "--quiet", "-B", "main")
    git(clone, "remote", "set-url", "origin", str(origin))
    git(clone, "config", "user.name", "Ada")
    git(clone, "config", "user.email", "ada@example.com")
    changelog = clone / "CHANGELOG.md"
    text = changelog.read_text()
    assert MARKER in text
    changelog.write_text(text.replace(MARKER, f"{MARKER}\n### Added\n\n- A rehearsal.\n", 1))
    git(clone, "commit", "--quiet", "--all", "--message", "Rehearse")
    return clone


def run(command: str, clone: Path) -> str:
    program, *arguments = shlex.split(command)
    ours = {"make": [sys.executable, "-m", "release"], ".venv/bin/python": [sys.executable, *arguments]}
    done = subprocess.run(
        ours.get(program, [program, *arguments]),
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_steps_lead_to_a_tag_with_checked_files(clone: Path) -> None:
    major, minor, _ = numbers(read_version(clone))
    version = f"{major}.{minor + 1}.0"
    steps = [pair for block in blocks(PAGE) if block.language == "console" for pair in block.commands]
    programs = [command.split()[0] for command, _ in steps]
    assert programs == [".venv/bin/python", "git", "make", "git", "git"]

    for command, page in steps:
        printed = run(command.replace(PAGES_VERSION, version), clone)
        assert shown(printed, page.replace(PAGES_VERSION, version)), f"{command}\n{printed}"

    origin = clone.parent / "origin.git"
    assert git(origin, "tag", "--list") == f"v{version}\n"
    assert git(origin, "rev-list", "-1", f"v{version}") == git(origin, "rev-parse", "main")
    released = clone / "build" / "release"
    assert {path.name for path in released.rglob("*") if path.is_file()} == {
        f"airflow_provider_okta_workflows-{version}-py3-none-any.whl",
        f"airflow_provider_okta_workflows-{version}.tar.gz",
        "licenses.txt",
        "notes.md",
        "sbom.cdx.json",
    }
    assert (released / "notes.md").read_text() == "### Added\n\n- A rehearsal.\n"
