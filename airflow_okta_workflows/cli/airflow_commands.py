"""The commands as ``airflow okta-workflows``, which Airflow 3.2+ finds through the provider info."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_okta_workflows.cli.commands import COMMANDS, GROUP, GROUP_HELP

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airflow.cli.cli_config import GroupCommand


def get_okta_workflows_commands() -> list[GroupCommand]:
    """Return the command group; Airflow's parser calls this in every run of ``airflow``."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    subcommands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            description=command.description,
            epilog=command.epilog,
            func=_function(command.name),
            args=[Arg(one.flags, **one.options) for one in command.arguments],  # type: ignore[no-untyped-call]  # untyped in Airflow
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name=GROUP, help=GROUP_HELP, subcommands=subcommands)]


def _function(name: str) -> Callable[[argparse.Namespace], None]:
    def run_command(args: argparse.Namespace) -> None:
        from airflow_okta_workflows.cli.runner import run

        # Airflow ignores the return value of a command.
        sys.exit(run(name, args))

    return run_command
