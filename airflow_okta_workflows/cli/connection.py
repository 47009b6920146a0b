"""The ``connection`` command, which builds a working connection from a domain, a client id and a key file."""

from __future__ import annotations

import getpass
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.cli.runner import GOOD, CommandFailedError, UsageError
from airflow_okta_workflows.cli.shell import export_line, variable_of
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    import argparse

    from airflow_okta_workflows.cli.output import Output
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings


def run(args: argparse.Namespace, output: Output) -> int:
    """Build a connection, check it, and print or add it.

    :param args: the parsed arguments
    :param output: where to write
    """
    from airflow_okta_workflows.connection.fields import CONN_TYPE
    from airflow_okta_workflows.connection.http_guard import GUARD
    from airflow_okta_workflows.connection.reader import DEFAULT_CONN_ID

    conn_id = args.conn_id or DEFAULT_CONN_ID
    if args.replace and not args.add:
        raise UsageError("--replace requires --add")
    variable = variable_of(conn_id)
    if variable is None and args.format == "env" and not args.add:
        raise UsageError(f"no shell can set a variable for the id {shown(conn_id)}: use --format json or --add")
    draft = {
        "conn_type": CONN_TYPE,
        "host": args.domain,
        "login": args.client_id,
        "extra": {
            **GUARD,
            "key_file": _anywhere(args.key_file) if args.keep_key_file else args.key_file,
            **_optional_fields(args),
        },
    }
    settings = _checked(conn_id, draft, output, offline=args.offline)
    connection = _finished(draft, settings, keep_key_file=args.keep_key_file)
    if args.add:
        _into_database(conn_id, connection, replace=args.replace)
        output.say(f"{conn_id} is in Airflow's database.")
    elif args.format == "json":
        output.say(_warning("What follows", connection))
        output.json(connection)
    else:
        output.say(_warning("The following line", connection))
        output.text(export_line(str(variable), json.dumps(connection)))
    return GOOD


def _anywhere(path: str) -> str:
    """Return a path that names the same file from any working directory; symbolic links are not resolved."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  # pathlib raises without a home directory


def _optional_fields(args: argparse.Namespace) -> dict[str, Any]:
    fields = {
        "key_id": args.key_id,
        "workflows_host": args.workflows_host,
        "flows": dict(args.flow) if args.flow else None,
        "verify": _anywhere(args.ca_file) if args.ca_file else None,
    }
    return {name: value for name, value in fields.items() if value}


def _checked(conn_id: str, draft: dict[str, Any], output: Output, *, offline: bool) -> OktaWorkflowsSettings:
    """Check the draft and return its settings; if the key is encrypted, ask for its passphrase and add it to the draft.

    :raises CommandFailedError: if a step fails, as it would in ``okta-workflows check``
    """
    from airflow_okta_workflows.cli.check import show_step
    from airflow_okta_workflows.cli.hook import hook_with
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.diagnostics import CheckResult, check_connection
    from airflow_okta_workflows.exceptions import OktaConfigurationError

    hook = hook_with(conn_id, draft)
    try:
        if hook.settings.key_text.encrypted:
            draft["extra"]["key_passphrase"] = _passphrase()
            hook = hook_with(conn_id, draft)
    except OktaConfigurationError:
        pass  # the first step of the check reports it
    failed = False
    for step in check_connection(lambda: hook.settings, Runtime()):
        show_step(step, output, to_stderr=True)
        failed = failed or step.result is CheckResult.FAILED
        if offline and step.name == "key":
            break
    if failed:
        raise CommandFailedError("the connection does not work yet, so it is neither printed nor added.")
    return hook.settings


def _passphrase() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Passphrase of the key: ", stream=sys.stderr)
    return sys.stdin.readline().rstrip("\n")


def _finished(draft: dict[str, Any], settings: OktaWorkflowsSettings, *, keep_key_file: bool) -> dict[str, Any]:
    """Return the connection with the normalized domain and, unless the key file is kept, the normalized key itself."""
    domain = settings.domain
    # On loopback, a domain without a scheme means plain HTTP; elsewhere, a bare name is refused.
    short = domain.scheme == "https" and "." in domain.host and not domain.is_loopback
    connection = {**draft, "host": domain.netloc if short else domain.url}
    if keep_key_file:
        return connection
    extra = {name: value for name, value in draft["extra"].items() if name != "key_file"}
    return {**connection, "password": settings.key_text.text.reveal(), "extra": extra}


def _warning(what: str, connection: dict[str, Any]) -> str:
    if "password" in connection:
        return f"{what} holds the private key: keep it out of logs and of shared histories."
    if "key_passphrase" in connection["extra"]:
        return f"{what} holds the key's passphrase: keep it out of logs and of shared histories."
    return f"{what} holds no secret: the key stays in its file."


def _add(conn_id: str, connection: dict[str, Any]) -> None:
    """Add a connection as ``airflow connections add`` does, but in this process: no command line contains the key."""
    from airflow.cli.cli_parser import get_parser

    args = get_parser().parse_args(["connections", "add", conn_id, "--conn-json", json.dumps(connection)])
    try:
        args.func(args)
    except SystemExit as end:
        if end.code:
            raise CommandFailedError(str(end.code)) from None


def _replace(conn_id: str, connection: dict[str, Any]) -> None:
    """Add a connection and remove the one with the same id, if any, in one transaction.

    Airflow's own commands could leave no connection, if the second one failed, or keep an old password that the new
    connection does not have.
    """
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == conn_id))
        session.add(Connection.from_json(json.dumps(connection), conn_id=conn_id))


def _into_database(conn_id: str, connection: dict[str, Any], *, replace: bool) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_okta_workflows.cli.hook import quiet_connections

    try:
        with quiet_connections():
            (_replace if replace else _add)(conn_id, connection)
    except SQLAlchemyError as error:
        # The message of the error is not shown: it contains the values sent to the database.
        raise CommandFailedError(
            f"Airflow's database did not take {conn_id} ({type(error).__name__}), and is as it was. See whether"
            " airflow db check reaches it, and what its own log says."
        ) from None
