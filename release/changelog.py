"""CHANGELOG.md in the form of Keep a Changelog: a section for each version, and one for what is unreleased."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

from release.findings import ReleaseError
from release.versions import numbers

if TYPE_CHECKING:
    from pathlib import Path

FILE = "CHANGELOG.md"
_UNRELEASED = "## [Unreleased]\n"
_HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\S+))?$", re.MULTILINE)
_ENTRY = re.compile(r"^- ", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """Section of the changelog.

    :param version: its version, or ``Unreleased``
    :param date: the day of the release as text; None if there is none
    :param text: the text below the heading
    """

    version: str
    date: str | None
    text: str

    @property
    def entries(self) -> int:
        """The number of its entries."""
        return len(_ENTRY.findall(self.text))


def sections(changelog: str) -> list[Section]:
    """Return the sections of a changelog, from the top.

    :param changelog: the text of the changelog
    """
    headings = list(_HEADING.finditer(changelog))
    ends = [heading.start() for heading in headings[1:]] + [len(changelog)]
    return [
        Section(heading["version"], heading["date"], changelog[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
    ]


def require_section(root: Path, version: str, today: date) -> str:
    """Return what the changelog says of a version.

    :param root: the tree
    :param version: the version that is released
    :param today: the day of the release; in its time zone it may be a day later elsewhere
    :raises ReleaseError: if the newest section is not that of the version, has no entries or no possible day, or if
        entries are still listed as unreleased
    """
    found = sections((root / FILE).read_text("utf-8"))
    if not found or found[0].version != "Unreleased":
        raise ReleaseError(f"{FILE} must begin with a section [Unreleased].")
    unreleased, *released = found
    if not released or released[0].version != version:
        newest = f"its newest is {released[0].version}" if released else "it has only [Unreleased]"
        raise ReleaseError(f"{FILE} has no section for {version}: {newest}. Write it: python -m release.cut {version}")
    if unreleased.entries:
        raise ReleaseError(f"{FILE} lists {unreleased.entries} entries as unreleased. Move them to {version}.")
    if not released[0].entries:
        raise ReleaseError(f"The section of {version} in {FILE} has no entries.")
    if (day := _day(released[0])) is None or (day - today).days > 1:
        raise ReleaseError(f"The section of {version} in {FILE} must have a day that is not in the future.")
    if out_of_order := _out_of_order(released):
        raise ReleaseError(f"The sections of {FILE} are not in order:", out_of_order)
    return f"{released[0].entries} entries, {day}"


def section_text(root: Path, version: str) -> str:
    """Return the changelog's entries of a version, for the page of its release.

    :param root: the tree
    :param version: the version, which has a section
    """
    (text,) = [one.text for one in sections((root / FILE).read_text("utf-8")) if one.version == version]
    return f"{text}\n"


def with_release(changelog: str, version: str, today: date) -> str:
    """Return a changelog in which all that was unreleased belongs to a version.

    :param changelog: the text of the changelog
    :param version: the version
    :param today: the day of the release
    :raises ReleaseError: if there are no unreleased entries, or the version has a section already
    """
    found = sections(changelog)
    if any(section.version == version for section in found):
        raise ReleaseError(f"{FILE} has a section for {version} already.")
    if not found or found[0].version != "Unreleased" or not found[0].entries:
        raise ReleaseError(f"{FILE} lists no entries as unreleased, so there is nothing to release.")
    return changelog.replace(_UNRELEASED, f"{_UNRELEASED}\n## [{version}] - {today.isoformat()}\n", 1)


def _day(section: Section) -> date | None:
    try:
        return date.fromisoformat(section.date or "")
    except ValueError:
        return None


def _out_of_order(released: list[Section]) -> list[str]:
    return [
        f"{newer.version} above {older.version}"
        for newer, older in pairwise(released)
        if numbers(newer.version) <= numbers(older.version)
    ]
