"""Mutation tests of the modules in which a mistake can run a flow twice or send a token to the wrong host.

``python -m tests.mutants`` changes them one place at a time (mutmut; its settings are in pyproject.toml), runs the unit
tests that reach the place, and prints each mutant that no test noticed. Mutants that change only the words of a message
are counted separately: a test compares the words with docs/troubleshooting.md, but it reads the unmutated sources.
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
"""Share of the mutants that the tests must notice."""
EXPLAINED = Path(__file__).with_name("mutants_that_survive.md")
"""List of the mutants that tests cannot or need not notice, each with its reason."""

_LITERAL = re.compile(r"""f?"(?:[^"\\]|\\.)*"|f?'(?:[^'\\]|\\.)*'""")
_VALUE = re.compile(r"{[^}]*}")
_NAME = re.compile(r"airflow_okta_workflows\.(.+)\.x(?:ǁ(.+)ǁ|_)(.+)__mutmut_\d+")


def main() -> int:
    """Test all mutants, print a report, and return 0 if enough of them were noticed."""
    shutil.rmtree("mutants", ignore_errors=True)  # otherwise mutmut reuses the results of earlier tests
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
        # The whole group: the tests of a mutant that hung may have left processes.
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


def _mutmut(*arguments: str) -> str:
    # In this process: starting hundreds of processes, one per mutant, would take longer than testing many mutants.
    from click.testing import CliRunner
    from mutmut.__main__ import cli

    return CliRunner().invoke(cli, arguments, catch_exceptions=False).output


def _verdicts() -> dict[str, str]:
    lines = (line.strip().rpartition(": ") for line in _mutmut("results", "--all", "true").splitlines())
    return {name: verdict for name, _, verdict in lines if "__mutmut_" in name}


def _change(name: str) -> tuple[str, str]:
    """Return the changed lines before and after a mutation."""
    diff = [line for line in _mutmut("show", name).splitlines() if not line.startswith(("---", "+++"))]
    before, after = (" ".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+")
    return before, after


def _function(name: str) -> str:
    match = _NAME.fullmatch(name)
    assert match
    return ".".join(filter(None, match.groups()))


def _without_words(line: str) -> str:
    """Return a line without the words of its messages; values that are formatted into them stay."""
    return _LITERAL.sub(lambda text: "".join(_VALUE.findall(text[0])) if " " in text[0] else text[0], line)


def _explained() -> set[tuple[str, str]]:
    """Return the explained pairs of function and changed line: a heading, and each piece of inline code below it."""
    _, *parts = re.split(r"^## `(.+)`$", EXPLAINED.read_text(), flags=re.MULTILINE)
    sections = zip(parts[::2], parts[1::2], strict=True)
    return {(function, code) for function, text in sections for code in re.findall(r"`([^`]+)`", text)}


if __name__ == "__main__":
    sys.exit(main())
