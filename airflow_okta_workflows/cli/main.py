# PYTHON_ARGCOMPLETE_OK
"""The program ``okta-workflows``: the commands with their own parser.

It does not use Airflow's parser: importing it takes seconds, and two of the commands need no Airflow.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, NoReturn

from airflow_okta_workflows import __version__
from airflow_okta_workflows.cli.commands import COMMANDS, GROUP, GROUP_HELP

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """\
a first flow in four steps:
  okta-workflows keygen --out okta-key.jwk         # paste the public key into an API Services app
  okta-workflows connection --domain acme.okta.com --client-id 0oa… --key-file okta-key.jwk --flow hello=…
  okta-workflows check                             # with the line that connection printed
  okta-workflows invoke hello

tab completion:
  eval "$(register-python-argcomplete okta-workflows)"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    The code is 0 for success, 1 for a failed check or invocation, 2 for wrong usage, and 130 or 143 for an interruption
    by SIGINT or SIGTERM.

    :param argv: the arguments; None for those of the process
    """
    parser = standalone_parser()
    if "_ARGCOMPLETE" in os.environ:
        # Only the shell's completion sets it; Airflow brings the library.
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(argv)

    from airflow_okta_workflows.cli.runner import run

    return run(args.command, args)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors do not quote a possible key, such as a part of an argument that the shell has split."""

    def error(self, message: str) -> NoReturn:
        from airflow_okta_workflows.core.secret import without_keys

        super().error(without_keys(message))


def standalone_parser() -> argparse.ArgumentParser:
    """Return the parser of ``okta-workflows``."""
    parser = _Parser(
        prog=GROUP,
        description=f"{GROUP_HELP}.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for argument in command.arguments:
            subparser.add_argument(*argument.flags, **argument.options)
    return parser
