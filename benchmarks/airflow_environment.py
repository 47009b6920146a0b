"""Setup of Airflow for the rows: an isolated home, and a process configured like a task's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

HTTP_CONN_ID = "http_bench"
"""The http provider's connection to the org, for the peers; it carries a token that was obtained beforehand."""


def use_own_home(folder: Path) -> None:
    """Point Airflow to an empty home. Call it before Airflow is imported, because Airflow reads its settings then.

    :param folder: the home
    """
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    for name in [name for name in os.environ if name.startswith("AIRFLOW_") or name.lower() in proxies]:
        del os.environ[name]
    os.environ.update(
        {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": str(folder / "tokens"),
            # Rows that measure the pace turn it on.
            "AIRFLOW__OKTA_WORKFLOWS__PACE": "off",
        }
    )


def log_as_in_a_task() -> None:
    """Format and write log lines as a task process does, but discard them."""
    from airflow.sdk.log import configure_logging

    # Not closed, because the loggers write to it until the process ends.
    nowhere = Path(os.devnull).open("wb", buffering=0)  # noqa: SIM115
    configure_logging(json_output=True, output=nowhere, sending_to_supervisor=True)


def connect(conn_id: str, connection: dict[str, Any]) -> None:
    """Define a connection for this process and its children.

    :param conn_id: the connection's id
    :param connection: the connection, in the form of :meth:`airflow.models.Connection.from_json`
    """
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)


def connect_http(url: str, token: str) -> None:
    """Define the connection that the http provider's hooks and triggers use.

    :param url: the org's URL
    :param token: an access token, which the http provider cannot obtain itself
    """
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connect(HTTP_CONN_ID, {"conn_type": "http", "host": url, "extra": headers})
