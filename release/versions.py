"""The version, which is written in one place: ``__version__`` of the package."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from release.findings import ReleaseError
from release.tree import require_own_tag, require_untagged

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "airflow_okta_workflows/__init__.py"
_VERSION = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)
_FINAL = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


def read_version(root: Path) -> str:
    """Return the version of the package.

    :param root: the tree
    :raises ReleaseError: if the package has none
    """
    if found := _VERSION.search((root / SOURCE).read_text("utf-8")):
        return found[1]
    raise ReleaseError(f"{SOURCE} has no line `__version__ = …`.")


def write_version(root: Path, version: str) -> None:
    """Change the version of the package.

    :param root: the tree
    :param version: the new version
    """
    source = root / SOURCE
    source.write_text(_VERSION.sub(f'__version__ = "{version}"', source.read_text("utf-8")), "utf-8")


def numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version, by which versions are ordered.

    :param version: the version
    :raises ReleaseError: if it is not of the form ``X.Y.Z``
    """
    if not _FINAL.fullmatch(version):
        raise ReleaseError(f"A release has a version of three numbers, such as 1.4.0, not {version!r}.")
    return tuple(map(int, version.split(".")))


def require_one_version(root: Path) -> str:
    """Return the version that is released.

    :param root: the tree
    :raises ReleaseError: if it is not of the form ``X.Y.Z``, was released before, or is written in a second place
    """
    version = read_version(root)
    numbers(version)
    build = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    source = build["tool"].get("hatch", {}).get("version", {}).get("path")
    if "version" in build["project"] or "version" not in build["project"].get("dynamic", ()) or source != SOURCE:
        raise ReleaseError(f"pyproject.toml has a version of its own. It must take the one in {SOURCE}.")
    require_untagged(root, version)
    require_own_tag(root, version)
    return version
