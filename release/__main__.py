"""Command line of ``make release-check``, which checks that the last commit can be released."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from release import builds, changelog, licenses, sbom, tree, versions
from release.findings import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Candidate:
    """The release that is checked.

    :param root: the tree
    :param target: directory for what is released
    """

    root: Path
    target: Path
    version: str = field(init=False, default="")

    @property
    def packages(self) -> Path:
        """Directory of wheel and sdist."""
        return self.target / "packages"

    @property
    def bill(self) -> Path:
        """File of the software bill of materials."""
        return self.target / "sbom.cdx.json"

    def check_tree(self) -> str:
        """Check that all is committed."""
        return tree.require_clean(self.root)

    def check_version(self) -> str:
        """Check the version, and remember it."""
        self.version = versions.require_one_version(self.root)
        return self.version

    def check_changelog(self) -> str:
        """Check the version's section in the changelog."""
        return changelog.require_section(self.root, self.version, datetime.now(UTC).date())

    def check_builds(self) -> str:
        """Build wheel and sdist twice."""
        return builds.build_reproducibly(self.root, self.version, self.packages)

    def check_metadata(self) -> str:
        """Check what a package index will read."""
        return builds.check_metadata(self.packages)

    def check_sbom(self) -> str:
        """Write the software bill of materials."""
        environment = self.target / "environment"
        try:
            python = sbom.install_alone(self.root, self.packages, environment)
            return sbom.write_sbom(self.root, self.version, python, self.bill)
        finally:
            shutil.rmtree(environment, ignore_errors=True)

    def check_licenses(self) -> str:
        """Check the licenses of all that is installed."""
        return licenses.require_allowed(self.bill, self.target / "licenses.txt")

    def write_notes(self) -> None:
        """Write the text of the release's page."""
        (self.target / "notes.md").write_text(changelog.section_text(self.root, self.version), "utf-8")


@dataclass(frozen=True)
class Check:
    """One check.

    :param name: its name
    :param run: returns what it saw, or raises
    :param after: the names of the checks without which it cannot run
    """

    name: str
    run: Callable[[], str]
    after: tuple[str, ...] = ()


def checks_of(candidate: Candidate) -> list[Check]:
    """Return the checks, in order.

    :param candidate: the release
    """
    return [
        Check("tree", candidate.check_tree),
        Check("version", candidate.check_version),
        Check("changelog", candidate.check_changelog, ("version",)),
        Check("builds", candidate.check_builds, ("version",)),
        Check("metadata", candidate.check_metadata, ("builds",)),
        Check("sbom", candidate.check_sbom, ("builds",)),
        Check("licenses", candidate.check_licenses, ("sbom",)),
    ]


def run_checks(checks: list[Check]) -> bool:
    """Run checks, print a line for each, and return whether all passed.

    :param checks: the checks
    """
    passed: set[str] = set()
    for check in checks:
        if lacking := [name for name in check.after if name not in passed]:
            print(f"skipped  {check.name:<10} needs {', '.join(lacking)}", flush=True)
            continue
        try:
            print(f"passed   {check.name:<10} {check.run()}", flush=True)
            passed.add(check.name)
        except ReleaseError as error:
            print(f"FAILED   {check.name:<10} {str(error).replace(chr(10), chr(10) + ' ' * 20)}", flush=True)
    return len(passed) == len(checks)


def main(root: Path) -> int:
    """Check the last commit, and return the exit code.

    :param root: the tree
    """
    candidate = Candidate(root, root / "build" / "release")
    if not run_checks(checks_of(candidate)):
        print("\nThis commit cannot be released.", file=sys.stderr)
        return 1
    candidate.write_notes()
    print(
        f"\n{candidate.version} can be released: {candidate.target.relative_to(root)}. RELEASING.md has the next step."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
