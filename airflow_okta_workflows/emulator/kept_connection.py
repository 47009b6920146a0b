"""The connection to a local org in a file, so that it stays good when the org is started again."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONN_ID = "okta_workflows_default"


def kept_app(path: Path) -> dict[str, Any]:
    """Return client id and key of the app that a file of connections is for, as :class:`LocalOrg` takes them.

    :param path: the file; the result is empty if it is not there
    :raises OSError: if it cannot be read
    :raises ValueError: if it is not what :func:`keep_connection` writes
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    try:
        connection = json.loads(text)[CONN_ID]
        return {"client_id": str(connection["login"]), "private_jwk": json.loads(connection["password"])}
    except (ValueError, TypeError, LookupError):
        # Whatever it holds may be a key, so nothing of it is shown.
        raise ValueError(f"it does not hold a connection {CONN_ID} with a client id and a JWK") from None


def keep_connection(path: Path, connection: Mapping[str, Any]) -> None:
    """Write the connection, at once for all who read it, into a file that only this user can read.

    It is in the form that ``airflow connections import`` and Airflow's secrets backend for local files take.

    :param path: the file
    :param connection: the connection, with its key
    :raises OSError: if it cannot be written
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({CONN_ID: connection}, file, indent=2)
        file.write("\n")
    temporary.replace(path)
