"""The documentation's pages as tests see them: their fenced blocks, and a reader that follows a page."""

from __future__ import annotations

import doctest
import json
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest

if TYPE_CHECKING:
    from airflow_okta_workflows.emulator import LocalOrg
    from tests.conftest import CommandLine, Ended

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]

# Example values for the org in the pages.
DOMAIN, CLIENT_ID, ALIAS = "acme.okta.com", "0oa1b2c3d4", "0123456789abcdef0123456789abcdef"

_FENCE = re.compile(r'```(?P<language>\w+)(?: title="(?P<title>[\w./-]+)")?')
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Block:
    """One fenced block.

    :param page: the page, as a path from the root of the project
    :param line: line number of its opening fence
    :param language: its language
    :param title: name of the file that it shows; empty if it shows none
    :param text: the text between the fences
    """

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each command of a console block, with the output that the page shows for it."""
        _, *parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        pairs = [part.partition("\n") for part in parts]
        return [(command, shown) for command, _, shown in pairs]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order.

    :param page: the page, as a path from the root of the project
    :raises ValueError: for a fence without a language, since nothing would check its block
    """
    found: list[Block] = []
    opened: tuple[int, re.Match[str]] | None = None
    lines: list[str] = []
    for number, line in enumerate((ROOT / page).read_text().splitlines(keepends=True), 1):
        if not line.startswith("```"):
            lines.append(line)
        elif opened is None:
            fence = _FENCE.fullmatch(line.rstrip())
            if fence is None:
                raise ValueError(f"{page}:{number}: {line.rstrip()}")
            opened, lines = (number, fence), []
        else:
            begin, fence = opened
            found.append(Block(page, begin, fence["language"], fence["title"] or "", "".join(lines)))
            opened = None
    return found


def files(page: str) -> dict[str, str]:
    """Return the files that a page shows, by name; blocks with the same name are parts of one file.

    :param page: the page
    """
    found: dict[str, str] = {}
    for block in blocks(page):
        if block.title:
            found[block.title] = "\n\n".join(filter(None, [found.get(block.title, ""), block.text]))
    return found


def write_files(page: str, directory: Path) -> None:
    """Write the files that a page shows.

    :param page: the page
    :param directory: the target directory
    """
    for name, text in files(page).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, header row first.

    :param page: the page
    :param heading: the heading, with its number signs
    """
    text = (ROOT / page).read_text().partition(f"\n{heading}\n")[2]
    table = re.search(r"^(\|.*\n)\|[-| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table, f"{page} has no table below {heading}"
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        for line in (table[1] + table[2]).splitlines()
    ]


def shown(printed: str, page: str) -> bool:
    """Return whether output matches what the page shows, where … matches anything."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(page.replace("…", "..."), printed, options)


class Reader:
    """Reader that follows a page block by block, with a local org instead of the page's own.

    :param org: the local org, served over TLS
    :param directory: the reader's working directory
    :param okta_workflows: runs the command line
    :param monkeypatch: sets the environment variables that the page sets
    """

    def __init__(
        self, org: LocalOrg, directory: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._org = org
        self._directory = directory
        self._okta_workflows = okta_workflows
        self._monkeypatch = monkeypatch

    def read(self, block: Block) -> None:
        """Write the file that a block shows, or run its commands and check that they print what the page shows.

        :param block: the block
        """
        if block.title:
            path = self._directory / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._in_place_of_the_pages_org(block.text))
        if block.language != "console":
            return
        for command, page in block.commands:
            self._run(self._in_place_of_the_pages_org(command), self._in_place_of_the_pages_org(page), str(block))

    def _run(self, command: str, page: str, place: str) -> None:
        evaluated = re.fullmatch(r'eval "\$\((.*)\)"', command)
        program, *arguments = shlex.split(evaluated[1] if evaluated else command)
        if program == "mv":
            subprocess.run([program, *arguments], cwd=self._directory, check=True)
            return
        assert program == "okta-workflows", place
        if arguments[0] == "emulator":
            assert shown(printed_by_emulator(arguments), page), place
            return
        ended = self._okta_workflows(*arguments)
        assert ended.code == ("failed " in page), f"{place}\n{ended.err}"
        assert shown(ended.err + ("" if evaluated else ended.out), page), f"{place}\n{ended.err}{ended.out}"
        if arguments[0] == "keygen":
            self._paste_into_okta(ended)
        if evaluated:
            variable, _, value = shlex.split(ended.out)[1].partition("=")
            self._monkeypatch.setenv(variable, value)

    def _paste_into_okta(self, ended: Ended) -> None:
        jwk: dict[str, Any]
        jwk, _ = json.JSONDecoder().raw_decode(ended.out)
        (self._directory / "okta-public.jwk").write_text(json.dumps(jwk))
        self._org.app.public_keys[jwk["kid"]] = jwt.PyJWK(jwk, algorithm="ES256").key

    def _in_place_of_the_pages_org(self, text: str) -> str:
        """Return a string with the local org's domain, with its scheme where loopback would otherwise mean HTTP."""
        text = text.replace(f"--domain {DOMAIN}", f"--domain {self._org.url}")
        return text.replace(f'"{DOMAIN}"', f'"{self._org.url}"').replace(DOMAIN, self._org.issuer_host)


def printed_by_emulator(arguments: list[str]) -> str:
    """Return what the emulator prints until it waits for requests, and check that it then ends cleanly.

    :param arguments: arguments of ``okta-workflows``
    """
    script = SCRIPTS / "okta-workflows"
    with subprocess.Popen([script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        printed = process.stdout.readline()
        while "Ctrl-C ends it" not in printed and (line := process.stderr.readline()):
            printed += line
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    return printed
