"""The hook of the command line, for a connection in Airflow or in a file."""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, Connection

from airflow_okta_workflows.cli.connection_file import connection_in_file
from airflow_okta_workflows.cli.runner import UsageError
from airflow_okta_workflows.connection.reader import DEFAULT_CONN_ID
from airflow_okta_workflows.connection.serialized import problems_of
from airflow_okta_workflows.core.secret import may_hold_key, shown
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


class CommandLineHook(OktaWorkflowsHook):
    """The hook that invokes flows from the command line.

    :param conn_id: the connection's id; None for the default connection
    :param connection: the connection itself; None to get it from Airflow
    """

    def __init__(self, conn_id: str | None, connection: Connection | None = None) -> None:
        super().__init__(conn_id or DEFAULT_CONN_ID)
        self._connection = connection

    @property
    def log(self) -> Any:
        """A logger that the command line can quiet; Airflow's own logger for hooks ignores a level set on it."""
        return logging.getLogger(__name__)

    def get_connection(self, conn_id: str) -> Any:  # type: ignore[override]  # no class method: the connection is the object's
        """Return the connection passed to the constructor, or the one in Airflow.

        :param conn_id: its id
        :raises OktaConfigurationError: if Airflow has no connection with that id
        """
        if self._connection is not None:
            return self._connection
        with suppress(AirflowNotFoundException), _as_on_a_server(), quiet_connections():
            # Airflow 2 logs the query for the id, which would expose a key that was passed as the id by mistake.
            if not may_hold_key(conn_id):
                return super().get_connection(conn_id)
        raise OktaConfigurationError(
            f"Airflow has no connection {shown(conn_id)}.",
            hint="OKW-1701: Name another with --conn-id, or make it: okta-workflows connection --help.",
        )


def hook_with(conn_id: str, connection: Mapping[str, Any] | str) -> CommandLineHook:
    """Return a hook with a connection that is not stored in Airflow.

    :param conn_id: the id to give it
    :param connection: its members, as :meth:`airflow.models.Connection.from_json` takes them, or its URI
    :raises TypeError: if it has a member that connections do not have
    :raises ValueError: if the value of a member is invalid
    """
    kind: Any = Connection
    if not hasattr(Connection, "from_json"):
        # In Airflow 3.0, only the class for the database has from_json().
        from airflow.models import Connection as kind  # noqa: N813
    if isinstance(connection, str):
        # Only the task SDK's class has from_uri(), and before Airflow 3.3 it takes no uri.
        read = kind.from_uri if hasattr(kind, "from_uri") else kind
        return CommandLineHook(conn_id, read(conn_id=conn_id, uri=connection))
    return CommandLineHook(conn_id, kind.from_json(json.dumps(connection, default=str), conn_id=conn_id))


def hook_from_file(name: str, conn_id: str | None) -> CommandLineHook:
    """Return a hook with the connection in a file.

    :param name: the path of the file, in any format that :mod:`airflow_okta_workflows.cli.connection_file` reads
    :param conn_id: the id of the connection to take, if there are several
    :raises UsageError: if the file cannot be read or contains no such connection
    """
    found, connection = connection_in_file(name, conn_id)
    try:
        return hook_with(found, connection)
    except (ValueError, TypeError, AttributeError, AirflowException):
        # The messages of these errors may contain parts of the key.
        text = connection if isinstance(connection, str) else json.dumps(connection, default=str)
        problem = next(problems_of(text, shown(name)), None)
        raise UsageError(str(problem or f"{shown(name)} is not a connection that Airflow can read")) from None


@contextmanager
def quiet_connections() -> Iterator[None]:
    """Make stored connections log with the standard library, which the command line can quiet.

    Otherwise Airflow 3.2+ warns about the ``_`` in this connection type, through a logger of structlog.
    """
    from airflow.models.connection import Connection as StoredConnection

    stored: Any = StoredConnection
    before = stored._log  # noqa: SLF001  # Airflow's LoggingMixin has no public way
    stored._log = logging.getLogger(f"{stored.__module__}.{stored.__name__}")  # noqa: SLF001
    try:
        yield
    finally:
        stored._log = before  # noqa: SLF001


@contextmanager
def _as_on_a_server() -> Iterator[None]:
    """Make Airflow 3 also search its database, as its own connection commands do."""
    before = os.environ.get(_CONTEXT)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONTEXT]
        else:
            os.environ[_CONTEXT] = before
