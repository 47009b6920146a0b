"""Each check of a release passes on a tree that can be released, and fails for each reason not to."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from release import builds, changelog, cut, licenses, sbom, tree, versions
from release.__main__ import Check, run_checks
from release.findings import ReleaseError

TODAY = date(2026, 3, 14)
CHANGELOG = """# Changelog

## [Unreleased]

## [1.1.0] - 2026-03-14

### Added

- A thing.

## [1.0.0] - 2026-01-02

- The first.
"""
PROJECT = f"""[project]
name = "{sbom.NAME}"
dynamic = ["version"]
requires-python = ">=3.11"

[tool.hatch.version]
path = "{versions.SOURCE}"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a tree of version 1.1.0 that can be released."""
    root = tmp_path / "tree"
    (root / versions.SOURCE).parent.mkdir(parents=True)
    (root / versions.SOURCE).write_text('"""Package."""\n\n__version__ = "1.1.0"\n')
    (root / "pyproject.toml").write_text(PROJECT)
    (root / changelog.FILE).write_text(CHANGELOG)
    tree.git(root, "init", "--quiet")
    tree.git(root, "config", "user.name", "Ada")
    tree.git(root, "config", "user.email", "ada@example.com")
    commit(root)
    return root


def commit(root: Path) -> None:
    tree.git(root, "add", "--all")
    tree.git(root, "commit", "--quiet", "--allow-empty", "--message", "Change")


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def section_of(root: Path) -> str:
    return changelog.require_section(root, versions.read_version(root), TODAY)


def test_a_tree_that_can_be_released(root: Path) -> None:
    assert tree.require_clean(root).startswith("commit ")
    assert versions.require_one_version(root) == "1.1.0"
    assert section_of(root) == "1 entries, 2026-03-14"


def test_a_changed_and_an_unknown_file_make_a_tree_unclean(root: Path) -> None:
    (root / "notes.txt").write_text("later")
    change(root / changelog.FILE, "A thing", "Another thing")

    with pytest.raises(ReleaseError, match=r"(?s)differs from its commit.*CHANGELOG.md.*notes.txt"):
        tree.require_clean(root)


def test_without_a_repository_nothing_is_released(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="`git status` failed"):
        tree.require_clean(tmp_path)


@pytest.mark.parametrize("version", ["1.1", "1.1.0rc1", "01.1.0", "1.1.0.dev0", ""])
def test_a_version_is_three_numbers(root: Path, version: str) -> None:
    versions.write_version(root, version)

    with pytest.raises(ReleaseError, match="three numbers"):
        versions.require_one_version(root)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('dynamic = ["version"]', 'version = "1.1.0"'),
        ('dynamic = ["version"]', 'dynamic = ["version"]\nversion = "1.1.0"'),
        (versions.SOURCE, "VERSION.txt"),
    ],
)
def test_a_second_place_for_the_version_is_found(root: Path, old: str, new: str) -> None:
    change(root / "pyproject.toml", old, new)

    with pytest.raises(ReleaseError, match="version of its own"):
        versions.require_one_version(root)


def test_a_package_without_a_version_is_named(root: Path) -> None:
    (root / versions.SOURCE).write_text('"""Package."""\n')

    with pytest.raises(ReleaseError, match="no line `__version__"):
        versions.require_one_version(root)


def test_a_released_version_is_not_released_from_another_commit(root: Path) -> None:
    tree.git(root, "tag", "v1.1.0")
    assert versions.require_one_version(root) == "1.1.0"
    commit(root)

    with pytest.raises(ReleaseError, match=r"tag v1\.1\.0 is on another commit"):
        versions.require_one_version(root)


def test_a_tag_of_another_version_is_not_released(root: Path) -> None:
    tree.git(root, "tag", "v1.2.0")

    with pytest.raises(ReleaseError, match=r"tagged v1\.2\.0, and its version is 1\.1\.0"):
        versions.require_one_version(root)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("## [1.1.0] - 2026-03-14", "", r"no section for 1\.1\.0: its newest is 1\.0\.0"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n- Another.\n", "1 entries as unreleased"),
        ("## [Unreleased]\n", "", r"must begin with a section \[Unreleased\]"),
        ("- A thing.\n", "", "has no entries"),
        ("2026-03-14", "2026-03-16", "not in the future"),
        (" - 2026-03-14", "", "must have a day"),
        ("2026-03-14", "March", "must have a day"),
        ("[1.0.0]", "[1.2.0]", r"(?s)not in order.*1\.1\.0 above 1\.2\.0"),
        (CHANGELOG[CHANGELOG.index("## [1.1.0]") :], "", r"only \[Unreleased\]"),
    ],
)
def test_what_a_changelog_may_lack_is_named(root: Path, old: str, new: str, reason: str) -> None:
    change(root / changelog.FILE, old, new)

    with pytest.raises(ReleaseError, match=reason):
        section_of(root)


def test_a_cut_gives_the_tree_a_version_that_can_be_released(root: Path) -> None:
    change(root / changelog.FILE, "## [Unreleased]\n", "## [Unreleased]\n\n### Fixed\n\n- A fault.\n")
    commit(root)

    cut.cut(root, "1.2.0", TODAY)

    assert versions.read_version(root) == "1.2.0"
    assert (
        "## [Unreleased]\n\n## [1.2.0] - 2026-03-14\n\n### Fixed\n\n- A fault.\n\n## [1.1.0]"
        in (root / changelog.FILE).read_text()
    )
    assert section_of(root) == "1 entries, 2026-03-14"


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("1.0.9", r"older than 1\.1\.0"),
        ("1.1.0", r"has a section for 1\.1\.0 already"),
        ("1.2.0", "nothing to release"),
        ("next", "three numbers"),
    ],
)
def test_a_cut_that_makes_no_sense_changes_nothing(root: Path, version: str, reason: str) -> None:
    with pytest.raises(ReleaseError, match=reason):
        cut.cut(root, version, TODAY)

    assert tree.require_clean(root)


def test_a_cut_of_a_changed_tree_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "notes.txt").write_text("later")

    assert cut.main(["1.2.0"], root) == 1
    assert "notes.txt" in capsys.readouterr().err


def test_two_builds_that_differ_are_refused(tmp_path: Path) -> None:
    for name, data in (("one", b"1"), ("two", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.whl").write_bytes(b"")
        (tmp_path / name / "different.whl").write_bytes(data)
    (tmp_path / "two" / "more.whl").write_bytes(b"")

    builds.compare(tmp_path / "one", tmp_path / "one")
    with pytest.raises(ReleaseError) as caught:
        builds.compare(tmp_path / "one", tmp_path / "two")
    assert str(caught.value).splitlines()[1:] == ["  different.whl", "  more.whl"]


BUILD_HOOK = """
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
class Hook(BuildHookInterface):
    def initialize(self, version, data):
        {act}
"""


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("pass", ""),
        (
            "open(f'{self.root}/airflow_okta_workflows/place.txt', 'w').write(self.root)",
            "Two builds of the same commit",
        ),
        ("raise SystemExit('no')", "`uv build` failed"),
    ],
)
def test_a_build_that_notes_its_place_is_not_reproducible(root: Path, act: str, reason: str) -> None:
    (root / "hatch_build.py").write_text(BUILD_HOOK.format(act=act))
    (root / "README.md").write_text("# A provider\n")
    (root / "constraints.txt").write_bytes((Path(__file__).parents[2] / "constraints.txt").read_bytes())
    wheel = '[tool.hatch.build]\nonly-include = ["airflow_okta_workflows", "hatch_build.py"]\n[tool.hatch.build.targets.wheel.hooks.custom]'
    backend = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"'
    (root / "pyproject.toml").write_text(f"{PROJECT}\n{wheel}\n\n{backend}\n")
    commit(root)

    if reason:
        with pytest.raises(ReleaseError, match=reason):
            builds.build_reproducibly(root, "1.1.0", root.parent / "packages")
        return
    built = builds.build_reproducibly(root, "1.1.0", root.parent / "packages")
    assert built == (
        "airflow_provider_okta_workflows-1.1.0-py3-none-any.whl, airflow_provider_okta_workflows-1.1.0.tar.gz"
    )
    with pytest.raises(ReleaseError, match=r"not of 1\.2\.0"):
        builds.build_reproducibly(root, "1.2.0", root.parent / "packages")


def test_a_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "airflow_provider_okta_workflows-1.1.0.tar.gz").write_bytes(b"no archive")

    with pytest.raises(ReleaseError, match="`twine --no-color` failed"):
        builds.check_metadata(tmp_path)


def bill(**changes: Any) -> dict[str, Any]:
    subject = {"name": sbom.NAME, "version": "1.1.0"}
    found = [{"name": "h11", "version": "0.16.0"}, {"name": "PyJWT", "version": "2.15.1"}]
    return {"metadata": {"component": subject}, "components": found, **changes}


def test_an_sbom_is_that_of_the_package_with_its_dependencies() -> None:
    sbom.require_complete(bill(), "1.1.0", {"h11", "pyjwt"})

    with pytest.raises(ReleaseError, match=r"(?s)lacks:.*filelock"):
        sbom.require_complete(bill(), "1.1.0", {"h11", "filelock"})
    with pytest.raises(ReleaseError, match=r"(?s)lacks:.*h11"):
        sbom.require_complete(bill(components=[{"name": "h11"}]), "1.1.0", {"h11"})
    with pytest.raises(ReleaseError, match=r"is about .* 1\.1\.0, not .* 1\.2\.0"):
        sbom.require_complete(bill(), "1.2.0", {"h11"})
    with pytest.raises(ReleaseError, match="is about None None"):
        sbom.require_complete({}, "1.1.0", set())


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", True),
        ("GPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("License :: OSI Approved :: Something New", False),
        ("MIT AND", False),
        ("", False),
        ("not stated", False),
    ],
)
def test_a_license_is_allowed_if_each_of_its_parts_is(expression: str, allowed: bool) -> None:
    assert licenses.is_allowed(expression) is allowed


@pytest.mark.parametrize(
    ("stated", "license_"),
    [
        ([{"expression": "MIT OR Apache-2.0"}], "MIT OR Apache-2.0"),
        ([{"license": {"id": "MIT"}}, {"license": {"id": "MIT"}}], "MIT"),
        ([{"expression": "MIT OR X"}, {"license": {"name": "Y"}}], "(MIT OR X) AND Y"),
        ([{"license": {"name": "License :: OSI Approved :: BSD License"}}], "BSD-3-Clause"),
        ([], ""),
    ],
)
def test_all_that_a_package_states_has_to_be_allowed(stated: list[dict[str, Any]], license_: str) -> None:
    assert licenses.license_of({"name": "some-package", "licenses": stated}) == license_


def test_each_license_is_listed_and_the_refused_ones_are_named(tmp_path: Path) -> None:
    def component(name: str, *ids: str) -> dict[str, Any]:
        return {"name": name, "version": "1.0", "licenses": [{"license": {"id": one}} for one in ids]}

    file, listing = tmp_path / "sbom.json", tmp_path / "licenses.txt"
    file.write_text(
        json.dumps({"components": [component("b", "MIT"), component("A"), component("c", "AGPL-3.0-only")]})
    )

    with pytest.raises(ReleaseError) as caught:
        licenses.require_allowed(file, listing)
    assert str(caught.value).splitlines()[1:] == ["  A 1.0: not stated", "  c 1.0: AGPL-3.0-only"]
    assert listing.read_text() == "A 1.0: not stated\nb 1.0: MIT\nc 1.0: AGPL-3.0-only\n"


def failing() -> str:
    raise ReleaseError("It rains.", ["today", "tomorrow"])


@pytest.mark.parametrize(
    ("second", "good", "printed"),
    [
        (lambda: "dry", True, "passed   first      yes\npassed   second     dry\npassed   third      yes\n"),
        (
            failing,
            False,
            "passed   first      yes\n"
            f"FAILED   second     It rains.\n{'':20}  today\n{'':20}  tomorrow\n"
            "skipped  third      needs second\n",
        ),
    ],
)
def test_a_check_that_fails_is_shown_and_what_needs_it_is_skipped(
    second: Callable[[], str], good: bool, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [
        Check("first", lambda: "yes"),
        Check("second", second),
        Check("third", lambda: "yes", ("first", "second")),
    ]

    assert run_checks(checks) is good
    assert capsys.readouterr().out == printed


def test_many_findings_are_cut_off() -> None:
    told = str(ReleaseError("Many.", [str(number) for number in range(15)])).splitlines()

    assert told[0] == "Many."
    assert told[-2:] == ["  11", "  … and 3 more"]
