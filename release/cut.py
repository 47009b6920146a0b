"""Command line that gives the tree a new version: ``python -m release.cut X.Y.Z``. It commits nothing."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from release import changelog
from release.findings import ReleaseError
from release.tree import require_clean, require_untagged
from release.versions import SOURCE, numbers, read_version, write_version


def cut(root: Path, version: str, today: date) -> None:
    """Write a version into the package and the changelog.

    :param root: the tree
    :param version: the new version
    :param today: the day of the release
    :raises ReleaseError: if the tree has changes, or the version is not newer than the released ones
    """
    require_clean(root)
    require_untagged(root, version)
    if numbers(version) < numbers(read_version(root)):
        raise ReleaseError(f"{version} is older than {read_version(root)}, the version in {SOURCE}.")
    file = root / changelog.FILE
    text = changelog.with_release(file.read_text("utf-8"), version, today)
    file.write_text(text, "utf-8")
    write_version(root, version)


def main(arguments: list[str], root: Path) -> int:
    """Run the command, and return its exit code.

    :param arguments: the command line
    :param root: the tree
    """
    parser = argparse.ArgumentParser(prog="python -m release.cut", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", metavar="X.Y.Z")
    version = parser.parse_args(arguments).version
    try:
        cut(root, version, datetime.now(UTC).date())
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{SOURCE} and {changelog.FILE} are of version {version} now. Read them, and commit.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
