"""The runner of a command with parsed arguments, shared by both command lines."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_okta_workflows.cli.commands import GROUP
from airflow_okta_workflows.cli.output import Output, quiet_log, results_only_on_stdout

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

GOOD, FAILED, WRONG_USAGE = 0, 1, 2


class TerminatedError(BaseException):
    """The exception raised on SIGTERM, as KeyboardInterrupt is on SIGINT."""


_EXIT_CODES: dict[type[BaseException], int] = {
    KeyboardInterrupt: 128 + signal.SIGINT,
    TerminatedError: 128 + signal.SIGTERM,
}
"""128 plus the number of the signal, as in shells."""
INTERRUPTIONS = tuple(_EXIT_CODES)


class CommandFailedError(Exception):
    """The failure of a command, with a message for the user; the exit code is 1."""


class UsageError(Exception):
    """An error in the arguments; the exit code is 2."""


def run(name: str, args: argparse.Namespace) -> int:
    """Run a command and return its exit code.

    :param name: the command's name
    :param args: the parsed arguments
    """
    command = importlib.import_module(f"airflow_okta_workflows.cli.{name}")
    with results_only_on_stdout() as results, quiet_log(), _sigterm_raised():
        output = Output(results, as_json=getattr(args, "output", "text") == "json")
        try:
            code: int = command.run(args, output)
        except UsageError as error:
            output.say(f"{GROUP} {name}: {error}")
            return WRONG_USAGE
        except CommandFailedError as error:
            output.say(f"{GROUP} {name}: {error}")
            return FAILED
        except INTERRUPTIONS as interruption:
            return interrupted_code(interruption)
        except BrokenPipeError:
            # The reader of stdout has closed it. Closing the stream must not fail again on what is still buffered.
            os.dup2(os.open(os.devnull, os.O_WRONLY), results.fileno())
            return FAILED
    sys.stderr.flush()
    return code


def interrupted_code(interruption: BaseException) -> int:
    """Return the exit code of a command that was interrupted.

    :param interruption: the exception that interrupted it
    """
    return next(code for kind, code in _EXIT_CODES.items() if isinstance(interruption, kind))


@contextmanager
def _sigterm_raised() -> Iterator[None]:
    """Raise TerminatedError on SIGTERM while a command runs, so that it can report how far it got."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(*_: object) -> None:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
