"""Each block of docs/command-line.md runs, in the order of the page, and prints what the page shows."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import trustme

from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.emulator.sample_flows import sample_flows
from tests.conftest import CommandLine

PAGE = Path(__file__).parents[2] / "docs/command-line.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
# What a reader has in the place of the page's own org.
DOMAIN, CLIENT_ID, ALIAS = "acme.okta.com", "0oa1b2c3d4", "0123456789abcdef0123456789abcdef"


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


def in_place_of_the_page_s_org(text: str, org: LocalOrg) -> str:
    """Return a block with the local org's domain; on loopback https has to be said where a domain is given."""
    text = text.replace(f"--domain {DOMAIN}", f"--domain {org.url}").replace(f'"{DOMAIN}"', f'"{org.url}"')
    return text.replace(DOMAIN, org.name)


def shown(printed: str, page: str) -> bool:
    """Tell whether what was printed is what the page shows, where … stands for anything."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(page.replace("…", "..."), printed, options)


def test_every_block_runs_and_prints_what_the_page_shows(
    org: LocalOrg, tmp_path: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = {"console": 0, "json": 0, "python": 0}
    for language, block in BLOCKS:
        text = in_place_of_the_page_s_org(block, org)
        done[language] += 1
        if language == "json":
            (tmp_path / "connection.json").write_text(text)
            continue
        if language == "python":
            (tmp_path / "my_flows.py").write_text(text)
            continue
        command, _, page = text.partition("\n")
        command = command.removeprefix("$ ")
        evaluated = re.fullmatch(r'eval "\$\((.*)\)"', command)
        program, *arguments = shlex.split(evaluated[1] if evaluated else command)
        assert program == "okta-workflows"
        if arguments[0] == "emulator":
            assert shown(run_emulator(arguments), page)
            continue
        org.app.proof_of_possession = "invalid_dpop_proof" in page
        ended = okta_workflows(*arguments)

        assert ended.code == ("failed " in page), ended.err
        assert shown(ended.err + ("" if evaluated else ended.out), page), f"{command}\n{ended.err}{ended.out}"
        if arguments[0] == "keygen":
            jwk, _ = json.JSONDecoder().raw_decode(ended.out)
            org.app.public_keys[jwk["kid"]] = jwt.PyJWK(jwk, algorithm="ES256").key
        if evaluated:
            variable, _, value = shlex.split(ended.out)[1].partition("=")
            monkeypatch.setenv(variable, value)

    assert done == {"console": 7, "json": 1, "python": 1}
    assert len(org.flows["hello"].runs) == 2


def run_emulator(arguments: list[str]) -> str:
    """Return what the emulator prints until it waits for requests, and see that it then ends cleanly."""
    script = Path(sys.executable).parent / "okta-workflows"
    with subprocess.Popen([script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        printed = process.stdout.readline() + process.stderr.readline() + process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    return printed


def test_the_comparison_finds_a_difference() -> None:
    assert shown("passed key abc\n", "passed key …\n")
    assert not shown("failed key abc\n", "passed key …\n")


def test_the_page_names_each_command_and_step() -> None:
    from airflow_okta_workflows.cli.definition import COMMANDS
    from airflow_okta_workflows.connection_check import AFTER_FIELDS

    text = PAGE.read_text()
    for name in [command.name for command in COMMANDS]:
        assert f"\n| `{name}` |" in text
        assert f"\n## {name}\n" in text
    for step in ["fields", *AFTER_FIELDS, "invocation"]:
        assert f"\n| {step} |" in text
