"""From parsed arguments to an exit code, the same for both command lines."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from airflow_okta_workflows.cli.definition import GROUP
from airflow_okta_workflows.cli.output import Output, quiet_log, results_alone

if TYPE_CHECKING:
    import argparse

GOOD, FAILED, WRONG_USAGE = 0, 1, 2
_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


class CommandFailedError(Exception):
    """Tell what a command could not do, in words for people; it ends with exit code 1."""


class UsageError(Exception):
    """Tell what is wrong with the arguments; the command ends with exit code 2."""


def run(name: str, args: argparse.Namespace) -> int:
    """Run a command and return its exit code.

    :param name: its name
    :param args: its parsed arguments
    """
    command = importlib.import_module(f"airflow_okta_workflows.cli.{name}")
    with results_alone() as results, quiet_log():
        output = Output(results, as_json=getattr(args, "output", "text") == "json")
        try:
            code: int = command.run(args, output)
        except UsageError as error:
            output.say(f"{GROUP} {name}: {error}")
            return WRONG_USAGE
        except CommandFailedError as error:
            output.say(f"{GROUP} {name}: {error}")
            return FAILED
        except KeyboardInterrupt:
            return _INTERRUPTED
        except BrokenPipeError:
            # Whoever read the result has gone. What is still buffered must not fail again when the stream is closed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), results.fileno())
            return FAILED
    sys.stderr.flush()
    return code
