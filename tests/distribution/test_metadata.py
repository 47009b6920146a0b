"""Metadata that a package index reads and shows."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.utils import canonicalize_name
from readme_renderer import markdown

from airflow_okta_workflows import __version__
from airflow_okta_workflows.get_provider_info import get_provider_info
from tests.html_page import HtmlPage
from tests.pages import ROOT, SCRIPTS


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Metadata:
    with zipfile.ZipFile(wheel) as file:
        (name,) = [one for one in file.namelist() if one.endswith(".dist-info/METADATA")]
        return Metadata.from_email(file.read(name), validate=True)


def test_twine_finds_no_fault(wheel: Path, sdist: Path) -> None:
    done = subprocess.run(
        [SCRIPTS / "twine", "check", "--strict", wheel, sdist], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_name_is_canonical_and_the_one_that_airflow_is_told(metadata: Metadata) -> None:
    assert metadata.name == canonicalize_name(metadata.name) == get_provider_info()["package-name"]
    assert str(metadata.version) == __version__


def test_the_pythons(metadata: Metadata) -> None:
    told = [one for one in metadata.classifiers or [] if re.search(r":: 3\.\d+$", one)]
    versions = [one.rpartition(" ")[2] for one in told]

    assert metadata.requires_python is not None
    assert all(version in metadata.requires_python for version in versions)
    assert versions[0] == "3.11"
    assert "3.10" not in metadata.requires_python
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in versions


def test_the_license_and_what_it_is(metadata: Metadata) -> None:
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.license_files == ["LICENSE"]
    assert {"Framework :: Apache Airflow :: Provider", "Typing :: Typed"} <= set(metadata.classifiers or [])


def test_what_it_needs(metadata: Metadata) -> None:
    needed = {one.name for one in metadata.requires_dist or [] if one.marker is None}

    assert needed == {
        "apache-airflow",
        "apache-airflow-providers-common-compat",
        "apache-airflow-providers-http",
        "cryptography",
        "filelock",
        "h11",
        "jmespath",
        "pyjwt",
    }


def test_the_addresses_are_all_in_one_repository(metadata: Metadata) -> None:
    addresses = metadata.project_urls or {}
    source = addresses["Source"]

    assert set(addresses) == {"Changelog", "Documentation", "Issues", "Security", "Source"}
    assert all(address.startswith(source) for address in addresses.values())
    within = [address.partition("/main/")[2] for address in addresses.values() if "/main/" in address]
    assert all((ROOT / path).exists() for path in within)


def test_no_link_of_the_readme_leads_into_the_repository(
    metadata: Metadata,
) -> None:
    assert metadata.description_content_type == "text/markdown"
    shown = markdown.render(metadata.description or "")

    assert shown is not None
    assert re.search(r"<h2[^>]*>Install<", shown)
    links = HtmlPage(shown).links
    assert any(link.startswith("https://") for link in links)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert "](" not in re.sub(r"<[^>]+>", "", shown)
    assert "Read on" in shown
    assert "or set up Okta." in shown
    assert "<img" not in shown
