"""The console blocks of the docs run, in the order of their page, and print what the page shows."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from airflow_okta_workflows.cli.invoke import how_far
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.emulator.sample_flows import sample_flows
from tests.conftest import CommandLine
from tests.pages import ALIAS, CLIENT_ID, ROOT, Block, Reader, blocks, rows, shown


@pytest.fixture
def org(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalOrg]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.chdir(tmp_path)
    with LocalOrg(ssl_context=context) as org:
        org.app.client_id = CLIENT_ID
        org.flow("hello", alias=ALIAS)(sample_flows()["hello"])
        yield org


@pytest.fixture
def reader(org: LocalOrg, tmp_path: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Reader:
    return Reader(org, tmp_path, okta_workflows, monkeypatch)


def read_all(reader: Reader, org: LocalOrg, page: list[Block]) -> None:
    for block in page:
        org.app.proof_of_possession = "invalid_dpop_proof" in block.text
        reader.read(block)


def test_the_command_line(reader: Reader, org: LocalOrg) -> None:
    page = blocks("docs/command-line.md")
    read_all(reader, org, page)

    assert sorted(block.language for block in page) == [*["console"] * 10, "json", "python"]
    assert len(org.flows["hello"].runs) == 3
    assert org.flows["hello"].runs[-1].idempotency_key == "7d2b0c1e-5f0a-4f0e-9b6c-2f6f3f1d8a11"


def test_setting_up_okta(reader: Reader, org: LocalOrg) -> None:
    read_all(reader, org, blocks("docs/okta-setup.md"))

    assert [run.body for run in org.flows["hello"].runs] == [None, {"name": "Ada"}]


def test_the_tutorial(reader: Reader, org: LocalOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in org.environment().items():
        monkeypatch.setenv(name, value)
    read_all(reader, org, blocks("docs/tutorial.md"))

    assert [run.body for run in org.flows["hello"].runs] == [{"name": "Ada"}]


def test_the_first_step_of_troubleshooting(
    reader: Reader, org: LocalOrg, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in org.environment().items():
        monkeypatch.setenv(name, value)
    page = blocks("docs/troubleshooting.md")
    read_all(reader, org, page)

    assert [block.language for block in page] == ["console"]


def test_a_key_rotation_leaves_no_moment_without_a_key_that_works(
    reader: Reader, org: LocalOrg, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    org.app.public_keys.clear()
    reader.read(blocks("docs/okta-setup.md")[0])
    connection = {**org.connection(key_file="okta-key.jwk"), "password": None}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
    page = blocks("docs/key-rotation.md")
    make, describe, try_new, replace, look, look_again = page

    for block in (make, describe, try_new):
        reader.read(block)
    old, new = org.app.public_keys
    with_the_old = okta_workflows("check")
    reader.read(replace)
    reader.read(look)
    del org.app.public_keys[old]
    reader.read(look_again)
    with_the_new = okta_workflows("check")

    assert (with_the_old.code, with_the_new.code) == (0, 0)
    assert f"kid {old};" in with_the_old.out
    assert f"kid {new};" in with_the_new.out


def test_the_page_has_the_last_lines_of_an_interruption() -> None:
    _, *lines = rows("docs/command-line.md", "## invoke")

    for (_, line), state in zip(lines, (InvocationState.NOT_RUN, InvocationState.SENDING), strict=True):
        assert shown(how_far("hello", "my-key", state), line.strip("`"))


def test_the_comparison_finds_a_difference() -> None:
    assert shown("passed key abc\n", "passed key …\n")
    assert not shown("failed key abc\n", "passed key …\n")


def test_the_page_names_each_command_and_step() -> None:
    from airflow_okta_workflows.cli.commands import COMMANDS
    from airflow_okta_workflows.diagnostics import AFTER_FIELDS

    text = (ROOT / "docs/command-line.md").read_text()
    for name in [command.name for command in COMMANDS]:
        assert f"\n| `{name}` |" in text
        assert f"\n## {name}\n" in text
    for step in ["fields", *AFTER_FIELDS, "invocation"]:
        assert f"\n| {step} |" in text
