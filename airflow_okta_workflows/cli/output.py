"""The output of a command: its result on stdout, everything else on stderr."""

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
    """Yield a stream on stdout for the result, and meanwhile redirect everything else from stdout to stderr.

    The file descriptor is redirected as well: Airflow's loggers keep the stream that was ``sys.stdout`` when logging
    was configured, so replacing ``sys.stdout`` does not affect them.
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
    """Redirect stdout to stderr when the process exits, because Airflow 2 still logs then.

    This is called after a command has run, and so after Airflow has registered its exit functions: ``atexit`` runs the
    function registered last first.
    """

    def turn() -> None:
        sys.stdout.flush()
        os.dup2(2, 1)

    atexit.register(turn)


_OWN = "airflow_okta_workflows"
_LEVELS = {
    # In Airflow before 3.2, this logs each look-up.
    "airflow.hooks.base": logging.WARNING,
    "alembic.runtime.plugins": logging.WARNING,
    # These warn about the _ in this connection type.
    "airflow.models.connection.Connection": logging.ERROR,
    "airflow.sdk.definitions.connection": logging.ERROR,
    # These warn about a secret that is too short to be masked; the name depends on the version of Airflow.
    "airflow._shared.secrets_masker.secrets_masker": logging.ERROR,
    "airflow.sdk._shared.secrets_masker.secrets_masker": logging.ERROR,
    "airflow.sdk.execution_time.secrets_masker": logging.ERROR,
}
"""The lowest level that is shown of each of these loggers; all others are not changed."""


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Suppress routine log messages, because a command reports its own progress."""
    own = logging.getLogger(_OWN)
    before = own.level
    own.setLevel(logging.WARNING)
    # Filters, because Airflow resets the levels of its loggers when it configures its logging, at its first import.
    filters = {name: functools.partial(_is_shown, level) for name, level in _LEVELS.items()}
    for name, is_shown in filters.items():
        logging.getLogger(name).addFilter(is_shown)
    try:
        yield
    finally:
        own.setLevel(before)
        for name, is_shown in filters.items():
            logging.getLogger(name).removeFilter(is_shown)


def _is_shown(level: int, record: logging.LogRecord) -> bool:
    return record.levelno >= level


class Output:
    """The writer of a command's result and messages.

    :param results: the stream for the result
    :param as_json: whether the result is JSON, for scripts
    """

    def __init__(self, results: TextIO, *, as_json: bool) -> None:
        self.as_json = as_json
        self._results = results
        self._terminal = results.isatty()

    def json(self, value: Any) -> None:
        """Write the result as JSON, in ASCII so that it works with any terminal and encoding.

        :param value: a JSON value
        """
        self._write(json.dumps(value, indent=2))

    def text(self, text: str) -> None:
        """Write a string that is part of the result; on a terminal, without control characters.

        :param text: the string, possibly from a server
        """
        self._write(printable(text) if self._terminal else text)

    def value(self, value: Any) -> None:
        """Write a JSON value for people: indented, and in color on a terminal.

        :param value: the value
        """
        text = json.dumps(value, indent=2, ensure_ascii=False)
        if self._terminal:
            from rich.console import Console

            Console(file=self._results).print_json(printable(text), indent=2)
        else:
            self._write(text)

    def row(self, result: str, name: str, detail: str, notes: Sequence[str] = (), *, to_stderr: bool = False) -> None:
        """Write one line of a list of steps, and its notes below it.

        :param result: ``passed``, ``failed``, ``warning`` or ``skipped``
        :param name: the name of the step
        :param detail: what was found
        :param notes: the lines below, such as the fix
        :param to_stderr: whether to write to stderr, because the steps are not the command's result
        """
        stream = sys.stderr if to_stderr else self._results
        lines = [printable(line).replace("\n", " ") for line in (detail, *notes)]
        if stream.isatty():
            # rich is installed with Airflow.
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
    """Return a string with the terminal's control characters replaced; newlines and tabs stay.

    :param text: the string, possibly from a server
    """
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def confirmed(question: str) -> bool:
    """Ask a question on stderr, and return whether the answer is yes.

    :param question: the question, with the possible answers at its end
    """
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
