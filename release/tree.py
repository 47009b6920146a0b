"""The commit that is released: everything is committed, and no other commit has its tag."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from release.findings import ReleaseError

if TYPE_CHECKING:
    from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    """Run git, and return what it prints.

    :param root: a directory of the repository
    :param arguments: its arguments
    :raises ReleaseError: if it fails
    """
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"`git {arguments[0]}` failed.", done.stderr.splitlines())
    return done.stdout


def require_clean(root: Path) -> str:
    """Return the commit of a tree without changes.

    :param root: the tree
    :raises ReleaseError: if files were changed, added or removed since the commit
    """
    if changes := git(root, "status", "--porcelain").splitlines():
        raise ReleaseError("The tree differs from its commit. Commit or remove:", changes)
    return f"commit {git(root, 'rev-parse', '--short', 'HEAD').strip()}"


def require_untagged(root: Path, version: str) -> None:
    """Raise if another commit was released as a version.

    :param root: the tree
    :param version: the version
    :raises ReleaseError: if the version's tag is on another commit
    """
    tag = f"v{version}"
    if git(root, "tag", "--list", tag) and git(root, "rev-list", "-1", tag) != git(root, "rev-parse", "HEAD"):
        raise ReleaseError(f"The tag {tag} is on another commit. Choose the next version: python -m release.cut X.Y.Z")


def require_own_tag(root: Path, version: str) -> None:
    """Raise if the commit has the tag of another version than its own.

    :param root: the tree
    :param version: the version of the package
    :raises ReleaseError: if the tag and the version differ, so that a push of the tag would publish another version
    """
    tags = [tag for tag in git(root, "tag", "--points-at", "HEAD", "--list", "v[0-9]*").split() if tag != f"v{version}"]
    if tags:
        raise ReleaseError(f"The commit is tagged {' and '.join(tags)}, and its version is {version}.")
