"""The wheel and the sdist of a commit, built twice: the same sources give the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from release.findings import ReleaseError
from release.tree import git

SCRIPTS = Path(sys.executable).parent
"""Directory of the programs of this Python's environment."""


def build_reproducibly(root: Path, version: str, target: Path) -> str:
    """Build the committed files in two directories, compare the results, and keep them.

    :param root: the tree
    :param version: the version that is released
    :param target: directory for wheel and sdist, which is emptied first
    :raises ReleaseError: if a build fails, if the builds differ, or if they are not of this version
    """
    with TemporaryDirectory(prefix="release-") as folder:
        # Other paths and other permissions: neither may show in the files.
        first = _build(root, Path(folder) / "first", 0o755)
        second = _build(root, Path(folder) / "the-second-build", 0o700)
        compare(first, second)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(first, target, ignore=shutil.ignore_patterns(".gitignore"))
    stem = f"airflow_provider_okta_workflows-{version}"
    names = sorted(path.name for path in target.iterdir())
    if names != [f"{stem}-py3-none-any.whl", f"{stem}.tar.gz"]:
        raise ReleaseError(f"The builds are not of {version}:", names)
    return ", ".join(names)


def compare(first: Path, second: Path) -> None:
    """Raise if two directories of built files differ.

    :param first: one directory
    :param second: the other directory
    :raises ReleaseError: if a file is only in one of them or has other bytes
    """
    names = {path.name for folder in (first, second) for path in folder.iterdir()}
    if different := [name for name in sorted(names) if _bytes(first / name) != _bytes(second / name)]:
        raise ReleaseError("Two builds of the same commit differ in:", different)


def check_metadata(packages: Path) -> str:
    """Check the metadata that a package index will read, with twine.

    :param packages: the directory of wheel and sdist
    :raises ReleaseError: if it finds a fault
    """
    files = [str(path) for path in sorted(packages.iterdir()) if path.suffix in (".whl", ".gz")]
    run([str(SCRIPTS / "twine"), "--no-color", "check", "--strict", *files])
    return f"{len(files)} files"


def run(command: list[str], **variables: str) -> str:
    """Run a program, and return what it printed.

    :param command: the program and its arguments
    :param variables: further environment variables
    :raises ReleaseError: if it fails
    """
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"`{Path(command[0]).name} {command[1]}` failed.", (done.stdout + done.stderr).splitlines())
    return done.stdout


def _build(root: Path, folder: Path, mode: int) -> Path:
    """Build the last commit from files with given permissions, and return the directory with the results."""
    tree, archive = folder / "tree", folder / "tree.tar"
    tree.mkdir(parents=True)
    git(root, "archive", f"--output={archive}", "HEAD")
    with tarfile.open(archive) as file:
        file.extractall(tree, filter="data")
    for path in tree.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)
    command = [str(SCRIPTS / "uv"), "build", "--quiet", "--python", sys.executable, "--out-dir", str(folder / "built")]
    command += ["--build-constraints", str(tree / "constraints.txt"), str(tree)]
    run(command, SOURCE_DATE_EPOCH=git(root, "log", "-1", "--format=%ct").strip())
    return folder / "built"


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None
