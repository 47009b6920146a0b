"""The hook as the command line uses it: with any of Airflow's connections, or with one from a file."""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection

from airflow_okta_workflows.cli.runner import UsageError
from airflow_okta_workflows.connection.reader import DEFAULT_CONN_ID
from airflow_okta_workflows.core.secret import may_hold_key, shown
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


class CommandLineHook(OktaWorkflowsHook):
    """Invoke flows from the command line.

    :param conn_id: the connection's id; the default connection if None
    :param connection: the connection itself, if Airflow does not have it
    """

    def __init__(self, conn_id: str | None, connection: Connection | None = None) -> None:
        super().__init__(conn_id or DEFAULT_CONN_ID)
        self._connection = connection

    @property
    def log(self) -> Any:
        """Return a logger that the command line can quiet; Airflow's own for hooks heeds no level set on it."""
        return logging.getLogger(__name__)

    def get_connection(self, conn_id: str) -> Any:  # type: ignore[override]  # which connection is this object's own
        """Return the connection that was given, or Airflow's.

        :param conn_id: its id
        :raises OktaConfigurationError: if Airflow has none of that name
        """
        if self._connection is not None:
            return self._connection
        with suppress(AirflowNotFoundException), _as_on_a_server():
            # Airflow 2 logs the query that looks for an id, and would log a key that was given instead of one.
            if not may_hold_key(conn_id):
                return super().get_connection(conn_id)
        hint = "Name another with --conn-id, or make it: okta-workflows connection --help."
        raise OktaConfigurationError(f"Airflow has no connection {shown(conn_id)}. {hint}", hint=hint)


def hook_with(conn_id: str, members: Mapping[str, Any]) -> CommandLineHook:
    """Return a hook with a connection that Airflow does not have.

    :param conn_id: what to call it
    :param members: the connection, as :meth:`airflow.models.Connection.from_json` takes it
    :raises TypeError: if there are members that no connection has
    :raises ValueError: if a member has a value that no connection has
    """
    if hasattr(Connection, "from_json"):
        return CommandLineHook(conn_id, Connection.from_json(json.dumps(members), conn_id=conn_id))
    # In Airflow 3.0 only the database's own class can be read from JSON.
    from airflow.models import Connection as StoredConnection

    return CommandLineHook(conn_id, StoredConnection.from_json(json.dumps(members), conn_id=conn_id))


def hook_from_file(name: str) -> CommandLineHook:
    """Return a hook with the connection in a file.

    :param name: the path of a JSON file, as for ``airflow connections add --conn-json``
    :raises UsageError: if there is no such connection in it
    """
    try:
        members = json.loads(Path(name).expanduser().read_bytes())
        if not isinstance(members, dict):
            raise TypeError  # noqa: TRY301  # as for the other things that are not a connection
        return hook_with(Path(name).stem, members)
    except OSError as error:
        raise UsageError(f"{shown(name)} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError, RuntimeError):
        # What these errors say may hold parts of the key.
        raise UsageError(
            f"{shown(name)} is not a connection as JSON, as for airflow connections add --conn-json"
        ) from None


@contextmanager
def _as_on_a_server() -> Iterator[None]:
    """Make Airflow 3 look in its database too, as its own commands for connections do."""
    before = os.environ.get(_CONTEXT)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONTEXT]
        else:
            os.environ[_CONTEXT] = before
