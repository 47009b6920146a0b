"""The connection to a local org in a file, which keeps it valid when the org restarts."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CONN_ID = "okta_workflows_default"


def kept_app(path: Path) -> dict[str, Any]:
    """Return the app's client id and key from a connections file, as keyword arguments of :class:`LocalOrg`.

    :param path: the file; if it does not exist, the result is empty
    :raises OSError: if it cannot be read
    :raises ValueError: if it does not have the format that :func:`keep_connection` writes
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    try:
        connection = json.loads(text)[CONN_ID]
        return {"client_id": str(connection["login"]), "private_jwk": json.loads(connection["password"])}
    except (ValueError, TypeError, LookupError):
        # Anything in the file may be a key, so the error quotes none of it.
        raise ValueError(f"it does not hold a connection {CONN_ID} with a client id and a JWK") from None


def keep_connection(path: Path, connection: Mapping[str, Any]) -> None:
    """Write the connection atomically to a file that only this user can read.

    Both ``airflow connections import`` and Airflow's local filesystem secrets backend read its format.

    :param path: the file
    :param connection: the connection, with its key
    :raises OSError: if it cannot be written
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A new file that only this user can read, because a killed run may have left an old one.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({CONN_ID: connection}, file, indent=2)
            file.write("\n")
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
