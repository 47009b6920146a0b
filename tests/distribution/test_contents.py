"""Contents of the wheel and the sdist: the package and what belongs to it, and the same bytes in each build."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.distribution.bare_environment import CONSTRAINTS
from tests.pages import ROOT, SCRIPTS

PACKAGE = "airflow_okta_workflows"
BESIDE_THE_PACKAGE = {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
"""Other files of the sdist. The build backend adds .gitignore, because it defines which files are not sources."""


@pytest.fixture(scope="session")
def tracked() -> set[str]:
    """Return the package's files that git tracks; others in its folder do not belong to it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("without git nothing says which files belong to the package")
    listed = subprocess.run(["git", "ls-files", PACKAGE], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def in_wheel(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as file:
        return file.namelist()


def in_sdist(sdist: Path) -> list[str]:
    """Return the names in the sdist without their common folder, which is named after the sdist."""
    with tarfile.open(sdist) as file:
        names = [member.name for member in file.getmembers() if member.isfile()]
    folder = sdist.name.removesuffix(".tar.gz") + "/"
    assert all(name.startswith(folder) for name in names)
    return [name.removeprefix(folder) for name in names]


def read(wheel: Path, name: str) -> str:
    """Return the content of a file in the wheel's .dist-info."""
    with zipfile.ZipFile(wheel) as file:
        (member,) = [one for one in file.namelist() if one.endswith(f".dist-info/{name}")]
        return file.read(member).decode()


def test_the_lists(wheel: Path, sdist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, names in ((wheel, in_wheel(wheel)), (sdist, in_sdist(sdist))):
        assert len(names) == len(set(names))
        with capsys.disabled():
            print(f"\n{path.name}, {path.stat().st_size:,} bytes, {len(names)} files:")
            print("\n".join(f"  {name}" for name in sorted(names)))


def test_the_wheel_holds_our_namespace_and_its_metadata_only(wheel: Path) -> None:
    name, version, *_ = wheel.name.split("-")

    assert {member.partition("/")[0] for member in in_wheel(wheel)} == {PACKAGE, f"{name}-{version}.dist-info"}
    assert {Path(member).name for member in in_wheel(wheel) if member.startswith(name)} == {
        "METADATA",
        "WHEEL",
        "entry_points.txt",
        "LICENSE",
        "RECORD",
    }


def test_the_wheel_holds_each_file_of_the_package_and_no_other(wheel: Path, tracked: set[str]) -> None:
    assert {name for name in in_wheel(wheel) if name.startswith(f"{PACKAGE}/")} == tracked
    assert f"{PACKAGE}/py.typed" in tracked


def test_the_sdist_holds_the_package_and_what_belongs_to_it_only(sdist: Path, tracked: set[str]) -> None:
    assert set(in_sdist(sdist)) == tracked | BESIDE_THE_PACKAGE


def test_the_license_is_ours(wheel: Path) -> None:
    assert read(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_the_entry_points(wheel: Path) -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read_string(read(wheel, "entry_points.txt"))

    assert {section: dict(entry_points[section]) for section in entry_points.sections()} == {
        "apache_airflow_provider": {"provider_info": f"{PACKAGE}.get_provider_info:get_provider_info"},
        "console_scripts": {"okta-workflows": f"{PACKAGE}.cli.main:main"},
        "pytest11": {"okta_workflows": f"{PACKAGE}.emulator.pytest_plugin"},
    }


def test_the_wheel_was_built_by_the_pinned_backend_for_each_python_3(wheel: Path) -> None:
    (pinned,) = re.findall(r"^hatchling==(\S+)", CONSTRAINTS.read_text(), re.MULTILINE)

    assert f"Generator: hatchling {pinned}\n" in read(wheel, "WHEEL")
    assert "Tag: py3-none-any\n" in read(wheel, "WHEEL")


def test_the_sdist_elsewhere_gives_the_same_bytes(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as file:
        (date,) = {int(member.mtime) for member in file.getmembers()}
        file.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for path in source.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (0, 0))

    subprocess.run(
        [SCRIPTS / "uv", "build", "--quiet", "--python", sys.executable, "--build-constraints", CONSTRAINTS, source],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(date)},
        check=True,
        umask=0o077,
        timeout=120,
    )

    assert (source / "dist" / sdist.name).read_bytes() == sdist.read_bytes()
    assert (source / "dist" / wheel.name).read_bytes() == wheel.read_bytes()
