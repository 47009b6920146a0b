"""The HR table of the example that offboards its leavers, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

TABLE = Path(__file__).parent.parent / "dags" / "okta_offboarding.sql"


def hr_database(directory: Path) -> dict[str, str]:
    """Make the table, and return environment variables with the connection to it.

    :param directory: the directory for the database
    """
    file = directory / "hr.db"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(TABLE.read_text("utf-8"))
    return {"AIRFLOW_CONN_HR_DATABASE": json.dumps({"conn_type": "sqlite", "host": str(file)})}
