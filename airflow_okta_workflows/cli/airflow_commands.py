"""``airflow okta-workflows``: the commands as Airflow 3.2+ takes them from provider info."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_okta_workflows.cli.commands import COMMANDS, GROUP, GROUP_HELP

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airflow.cli.cli_config import GroupCommand


def get_okta_workflows_commands() -> list[GroupCommand]:
    """Return the group of commands; Airflow's parser calls this whenever ``airflow`` is called."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    subcommands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            description=command.description,
            epilog=command.epilog,
            func=_function(command.name),
            args=[Arg(one.flags, **one.options) for one in command.arguments],  # type: ignore[no-untyped-call]  # Airflow's
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name=GROUP, help=GROUP_HELP, subcommands=subcommands)]


def _function(name: str) -> Callable[[argparse.Namespace], None]:
    def run_command(args: argparse.Namespace) -> None:
        from airflow_okta_workflows.cli.runner import run

        # Airflow ignores what a command returns.
        sys.exit(run(name, args))

    return run_command
