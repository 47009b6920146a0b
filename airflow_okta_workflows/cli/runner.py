"""From parsed arguments to an exit code, the same for both command lines."""

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
    """Raised on SIGTERM, as KeyboardInterrupt is on SIGINT."""


_EXIT_CODES: dict[type[BaseException], int] = {
    KeyboardInterrupt: 128 + signal.SIGINT,
    TerminatedError: 128 + signal.SIGTERM,
}
"""128 and the number of the signal, as shells have it."""
INTERRUPTIONS = tuple(_EXIT_CODES)


class CommandFailedError(Exception):
    """What a command could not do, in words for people; it ends with exit code 1."""


class UsageError(Exception):
    """What is wrong with the arguments; the command ends with exit code 2."""


def run(name: str, args: argparse.Namespace) -> int:
    """Run a command and return its exit code.

    :param name: its name
    :param args: its parsed arguments
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
            # Whoever read the result has gone. What is still buffered must not fail again when the stream is closed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), results.fileno())
            return FAILED
    sys.stderr.flush()
    return code


def interrupted_code(interruption: BaseException) -> int:
    """Return the exit code of a command that was interrupted.

    :param interruption: what it was interrupted with
    """
    return next(code for kind, code in _EXIT_CODES.items() if isinstance(interruption, kind))


@contextmanager
def _sigterm_raised() -> Iterator[None]:
    """Raise on SIGTERM while a command runs, so that it can say how far it got."""
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
