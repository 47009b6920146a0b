"""A connection as a line for the shell."""

from __future__ import annotations

import re
import shlex

_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def variable_of(conn_id: str) -> str | None:
    """Return the environment variable in which Airflow looks for a connection, or None if no shell can set it.

    :param conn_id: the connection's id
    """
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    return name if _SHELL_NAME.fullmatch(name) else None


def export_line(variable: str, connection: str) -> str:
    """Return the line that sets a variable in a POSIX shell, quoted so that the shell expands nothing.

    :param variable: its name
    :param connection: the connection as JSON
    """
    return f"export {variable}={shlex.quote(connection)}"
