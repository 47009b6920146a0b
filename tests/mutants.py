"""Mutation tests of the modules in which a mistake runs a flow twice or sends a token to the wrong host.

``python -m tests.mutants`` changes them one place at a time (mutmut; the settings are in pyproject.toml), runs the unit
tests that reach the place, and prints each change that no test noticed. Changes of nothing but the words of a message
are counted apart: docs/troubleshooting.md holds the words, by a test that reads the sources, which cannot see a change.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

MUTMUT = Path(sys.executable).with_name("mutmut")
LEAST = 0.95
"""The share of changes that the tests have to notice."""
EXPLAINED = Path(__file__).with_name("mutants_that_survive.md")
"""The changes that no test can notice, or need not, each with its reason."""

_LITERAL = re.compile(r"""f?"(?:[^"\\]|\\.)*"|f?'(?:[^'\\]|\\.)*'""")
_VALUE = re.compile(r"{[^}]*}")
_NAME = re.compile(r"airflow_okta_workflows\.(.+)\.x(?:ǁ(.+)ǁ|_)(.+)__mutmut_\d+")


def main() -> int:
    """Test all mutants, print a report, and return 0 if enough of them were noticed."""
    shutil.rmtree("mutants", ignore_errors=True)  # mutmut would keep the verdicts of earlier tests
    _run()
    verdicts = _verdicts()
    changes = {name: _change(name) for name, verdict in verdicts.items() if verdict in ("survived", "no tests")}
    words = {name for name, (before, after) in changes.items() if _without_words(before) == _without_words(after)}
    explained = _explained()
    for name, (before, after) in changes.items():
        if name not in words:
            note = "explained" if (_function(name), after) in explained else "NOT EXPLAINED"
            print(f"{_function(name)}, {note}\n  - {before}\n  + {after}")
    total, judged = len(verdicts), len(verdicts) - len(words)
    noticed = total - len(changes)
    print(f"{total} mutants: {dict(Counter(verdicts.values()))}")
    print(f"{noticed / total:.1%} of all noticed; {len(words)} of the others change only words of a message")
    print(f"{noticed / judged:.1%} of the other {judged} noticed; at least {LEAST:.0%} have to be")
    return 0 if noticed / judged >= LEAST else 1


def _run() -> None:
    running = subprocess.Popen([MUTMUT, "run", "--max-children", "2"], start_new_session=True)
    try:
        if running.wait():
            sys.exit("mutmut could not run the tests")
    finally:
        # With it, what the tests of a mutant that hung have started.
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


def _mutmut(*arguments: str) -> str:
    # In this process: a process for each of some hundred changes would take longer than the tests of many.
    from click.testing import CliRunner
    from mutmut.__main__ import cli

    return CliRunner().invoke(cli, arguments, catch_exceptions=False).output


def _verdicts() -> dict[str, str]:
    lines = (line.strip().rpartition(": ") for line in _mutmut("results", "--all", "true").splitlines())
    return {name: verdict for name, _, verdict in lines if "__mutmut_" in name}


def _change(name: str) -> tuple[str, str]:
    """Return the lines before and after a change."""
    diff = [line for line in _mutmut("show", name).splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+")
    return before, after


def _function(name: str) -> str:
    match = _NAME.fullmatch(name)
    assert match
    return ".".join(filter(None, match.groups()))


def _without_words(line: str) -> str:
    """Return a line without its sentences, of which the values in them stay."""
    return _LITERAL.sub(lambda text: "".join(_VALUE.findall(text[0])) if " " in text[0] else text[0], line)


def _explained() -> set[tuple[str, str]]:
    """Return the functions and the changed lines that have a reason: below each heading, all that is set as code."""
    _, *parts = re.split(r"^## `(.+)`$", EXPLAINED.read_text(), flags=re.MULTILINE)
    sections = zip(parts[::2], parts[1::2], strict=True)
    return {(function, code) for function, text in sections for code in re.findall(r"`([^`]+)`", text)}


if __name__ == "__main__":
    sys.exit(main())
