"""Where a command's words go: the result to stdout, and everything else to stderr."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow", "warning": "bold yellow"}


@contextlib.contextmanager
def results_only_on_stdout() -> Iterator[TextIO]:
    """Give a stream on stdout for the result; whatever else writes to stdout meanwhile comes out on stderr.

    It is the file descriptor that is turned: Airflow's loggers hold on to the stdout they found when logging was
    configured, so replacing ``sys.stdout`` is too late for them.
    """
    sys.stdout.flush()
    before = os.dup(1)
    try:
        with os.fdopen(os.dup(before), "w", encoding=sys.stdout.encoding, errors="backslashreplace") as results:
            os.dup2(2, 1)
            with contextlib.redirect_stdout(sys.stderr):
                yield results
    finally:
        os.dup2(before, 1)
        os.close(before)
        _turn_stdout_at_exit()


@functools.cache
def _turn_stdout_at_exit() -> None:
    """Turn stdout for good when the process ends: Airflow 2 logs even then.

    Called after a command has run, and so after Airflow has registered its own functions: the last one comes first.
    """

    def turn() -> None:
        sys.stdout.flush()
        os.dup2(2, 1)

    atexit.register(turn)


_LEVELS = {
    "airflow_okta_workflows": logging.WARNING,
    # Of Airflow before 3.2: the first tells of each look-up, the second warns of the _ in this type of connection.
    "airflow.hooks.base": logging.WARNING,
    "airflow.models.connection.Connection": logging.ERROR,
}


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Keep all but warnings out of the log: a command itself says what it does."""
    before = {name: logging.getLogger(name).level for name in _LEVELS}
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class Output:
    """Write a command's result and its messages.

    :param results: the stream for the result
    :param as_json: whether the result is JSON, for scripts
    """

    def __init__(self, results: TextIO, *, as_json: bool) -> None:
        self.as_json = as_json
        self._results = results
        self._terminal = results.isatty()

    def json(self, value: Any) -> None:
        """Write the result as JSON, in ASCII so that any terminal and any encoding takes it.

        :param value: a JSON value
        """
        self._write(json.dumps(value, indent=2))

    def text(self, text: str) -> None:
        """Write text of the result; on a terminal without what could control it.

        :param text: the text, possibly from a server
        """
        self._write(printable(text) if self._terminal else text)

    def value(self, value: Any) -> None:
        """Write a JSON value for people: indented, and in colours on a terminal.

        :param value: the value
        """
        text = json.dumps(value, indent=2, ensure_ascii=False)
        if self._terminal:
            from rich.console import Console

            Console(file=self._results).print_json(printable(text), indent=2)
        else:
            self._write(text)

    def row(self, result: str, name: str, detail: str, notes: Sequence[str] = (), *, to_stderr: bool = False) -> None:
        """Write one line of a list of steps, and below it what is to be noted.

        :param result: ``passed``, ``failed``, ``warning`` or ``skipped``
        :param name: what the line is about
        :param detail: what was found
        :param notes: lines to follow, such as the fix
        :param to_stderr: whether the steps are not the result, but the way to it
        """
        stream = sys.stderr if to_stderr else self._results
        lines = [printable(line).replace("\n", " ") for line in (detail, *notes)]
        if stream.isatty():
            # It comes with Airflow.
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text

            table = Table.grid(padding=(0, 2))
            table.add_column(width=7)
            table.add_column(width=10)
            table.add_column(overflow="fold")
            table.add_row(Text(result, style=_STYLES[result]), Text(name), Text("\n".join(lines)))
            Console(file=stream).print(table)
        else:
            indent = "\n" + " " * 21
            stream.write(f"{result:<9}{name:<12}{indent.join(lines)}\n")
            stream.flush()

    def say(self, text: str) -> None:
        """Write a message for people to stderr.

        :param text: the message
        """
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def _write(self, text: str) -> None:
        self._results.write(text + "\n")
        self._results.flush()


def printable(text: str) -> str:
    """Return a text without the characters that control a terminal; newlines and tabs stay.

    :param text: the text, possibly from a server
    """
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
