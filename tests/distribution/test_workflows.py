"""The files in .github: safe by zizmor's strictest rules, and about the targets and pages that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package that nothing else needs

from tests.pages import ROOT, SCRIPTS

GITHUB = ROOT / ".github"
FORMS = sorted(path.name for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def parsed(name: str) -> Any:
    return yaml.safe_load((GITHUB / name).read_text("utf-8"))


def zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    # Offline: without the rules that look something up.
    command: list[str | Path] = [
        SCRIPTS / "zizmor",
        "--offline",
        "--no-config",
        "--persona=auditor",
        "--no-progress",
        folder,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_zizmor_finds_nothing() -> None:
    done = zizmor(GITHUB)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings to report" in done.stdout + done.stderr
    assert {path.name for path in (GITHUB / "workflows").iterdir()} == {"ci.yml", "release.yml"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("persist-credentials: false", "persist-credentials: true"),
        ('run: make PYTHON=python3.11 "$TARGET"', "run: make ${{ github.head_ref }}"),
        ("permissions: {}", "permissions: write-all"),
        (re.compile(r"actions/checkout@\w+"), "actions/checkout@v6"),
    ],
)
def test_zizmor_would_find_something(old: str | re.Pattern[str], new: str, tmp_path: Path) -> None:
    workflow = (GITHUB / "workflows" / "ci.yml").read_text("utf-8")
    changed = old.sub(new, workflow) if isinstance(old, re.Pattern) else workflow.replace(old, new)
    assert changed != workflow
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "ci.yml").write_text(changed)

    assert zizmor(tmp_path).returncode != 0


def test_each_part_of_the_ci_script_is_a_job() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    called = [*re.findall(r"^ *targets (.+)$", script, re.MULTILINE)]
    called += re.findall(r'^side_by_side "(.+)" (.+)$', script, re.MULTILINE)[0]
    targets = {name for line in called for name in line.split() if re.fullmatch(r"[a-z0-9-]+", name)}

    assert len(targets) > 5
    assert set(parsed("workflows/ci.yml")["jobs"]["make"]["strategy"]["matrix"]["target"]) == targets
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_each_action_is_pinned_to_a_commit_with_its_version_beside_it() -> None:
    lines = [
        line for path in (GITHUB / "workflows").iterdir() for line in path.read_text().splitlines() if "uses:" in line
    ]
    pinned = [re.fullmatch(r" +- uses: ([\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line) for line in lines]

    assert all(pinned), lines
    # One version of each action.
    assert len({found.groups() for found in pinned if found}) == len({found[1] for found in pinned if found})


def test_only_the_job_that_publishes_is_trusted_by_the_index() -> None:
    jobs = parsed("workflows/release.yml")["jobs"]

    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "check": {"contents": "read"},
        "publish": {"id-token": "write"},
        "announce": {"contents": "write"},
    }
    assert jobs["publish"]["environment"] == "release"
    assert jobs["publish"]["needs"] == "check"
    publish = jobs["publish"]["steps"][-1]
    assert publish["with"] == {"packages-dir": "release/packages", "attestations": True, "print-hash": True}
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text()


@pytest.mark.parametrize("name", FORMS)
def test_a_form_can_be_filled_in(name: str) -> None:
    form = parsed(f"ISSUE_TEMPLATE/{name}")
    fields = [field for field in form["body"] if field["type"] != "markdown"]

    assert form["name"]
    assert form["description"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_a_bug_comes_with_a_check_and_versions() -> None:
    fields = {field.get("id"): field for field in parsed("ISSUE_TEMPLATE/bug.yml")["body"]}

    assert "okta-workflows check" in fields["check"]["attributes"]["description"]
    assert "okta-workflows --version" in fields["versions"]["attributes"]["description"]
    assert fields["check"]["validations"]["required"]
    assert fields["versions"]["validations"]["required"]


def test_links_of_the_templates_are_those_of_the_project() -> None:
    address = re.findall(r'^Source = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[0]
    links = [link["url"] for link in parsed("ISSUE_TEMPLATE/config.yml")["contact_links"]]

    assert all(link.startswith(f"{address}/") for link in links)
    files = [link.partition("/blob/main/")[2] for link in links if "/blob/main/" in link]
    assert [file for file in files if not (ROOT / file).is_file()] == []
