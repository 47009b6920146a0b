"""What the rows need of Airflow: a home of their own, and a process that is set up as a task's is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

HTTP_CONN_ID = "http_bench"
"""The http provider's connection to the org, for the peers: it carries a ready token."""


def use_own_home(folder: Path) -> None:
    """Point Airflow, which reads its settings when it is imported, to an empty home.

    :param folder: the folder
    """
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    for name in [name for name in os.environ if name.startswith("AIRFLOW_") or name.lower() in proxies]:
        del os.environ[name]
    os.environ.update(
        {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": str(folder / "tokens"),
        }
    )


def log_as_in_a_task() -> None:
    """Format and write log lines as a task process does, but into nothing."""
    from airflow.sdk.log import configure_logging

    # Open for as long as the process lives: the loggers hold it.
    nowhere = Path(os.devnull).open("wb", buffering=0)  # noqa: SIM115
    configure_logging(json_output=True, output=nowhere, sending_to_supervisor=True)


def connect(conn_id: str, connection: dict[str, Any]) -> None:
    """Define a connection for this process and those that it starts.

    :param conn_id: its id
    :param connection: the connection, as :meth:`airflow.models.Connection.from_json` takes it
    """
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)


def connect_http(url: str, token: str) -> None:
    """Define the connection that the http provider's hooks and triggers use.

    :param url: the org
    :param token: a ready access token, which they cannot get by themselves
    """
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connect(HTTP_CONN_ID, {"conn_type": "http", "host": url, "extra": headers})
