"""Connections in a file, as this command line prints them, or as ``airflow connections export`` writes them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.cli.runner import UsageError
from airflow_okta_workflows.connection.fields import is_okta_workflows
from airflow_okta_workflows.connection.reader import DEFAULT_CONN_ID
from airflow_okta_workflows.connection.serialized import MEMBERS, json_problem, problems_of
from airflow_okta_workflows.core.secret import may_hold_key, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_URI = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]*://\S*")
_LINE = re.compile(r"(?:export\s+)?([^\s=:'\"{}]+)=(.*)")
_VARIABLE = "AIRFLOW_CONN_"
_LONGEST = 5_000_000


def connection_in_file(name: str, conn_id: str | None) -> tuple[str, dict[str, Any] | str]:
    """Return a connection in a file: its id, and its members or its URI.

    :param name: the path of the file: JSON or YAML, with one connection or several by their ids; lines ``ID=…`` or
        ``export AIRFLOW_CONN_ID=…`` with JSON or URIs; or one URI
    :param conn_id: the id of the connection to take, if there are several
    :raises UsageError: if the file cannot be read, or if it is not clear which connection in it is meant
    """
    path = Path(name)
    try:
        data = path.expanduser().read_bytes()[:_LONGEST]
    except RuntimeError:
        raise UsageError(f"{shown(name)} cannot be read: there is no home directory for its ~") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{shown(name)} cannot be read: {getattr(error, 'strerror', None) or 'no path'}") from None
    connections = _connections(data.decode("utf-8-sig", "replace"), name, path.stem)
    chosen = _chosen(connections, conn_id, name)
    value = connections[chosen]
    if isinstance(value, str):
        if problem := next(problems_of(value, f"{shown(name)}"), None):
            raise UsageError(str(problem))
        value = json.loads(value) if value.lstrip().startswith("{") else value.strip()
    if isinstance(value, dict):
        value = {member: item for member, item in value.items() if member not in ("conn_id", "id")}
        value |= {"extra": value.pop("extra_dejson")} if "extra_dejson" in value else {}
    return chosen, value


def _connections(text: str, name: str, stem: str) -> Mapping[str, dict[str, Any] | str]:
    text = text.strip()
    if _URI.fullmatch(text):
        return {stem: text}
    found = _lines(text) or _structure(text, name)
    if MEMBERS & found.keys():
        return {stem: found}
    return {
        str(key).removeprefix(_VARIABLE).lower() if str(key).startswith(_VARIABLE) else str(key): value
        for key, (value, *_) in (
            (key, value if isinstance(value, list) and value else [value]) for key, value in found.items()
        )
        if isinstance(value, str) or (isinstance(value, dict) and MEMBERS & value.keys())
    }


def _lines(text: str) -> dict[str, str]:
    """Return the values of an env file by name; an empty dict for any other file."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            return {}
        found[match[1]] = _unquoted(match[2].strip())
    return found


def _unquoted(value: str) -> str:
    if not value.startswith(("'", '"')):
        return value
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value


def _structure(text: str, name: str) -> dict[str, Any]:
    import yaml  # type: ignore[import-untyped]  # Airflow depends on it, but not on its type stubs

    value: Any = None
    if text.startswith("{"):
        if problem := json_problem(text, shown(name)):
            raise UsageError(str(problem))
        value = json.loads(text)
    else:
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            # The error is dropped, because its message quotes the file.
            value = None
    if not isinstance(value, dict):
        raise UsageError(f"{shown(name)} is not a connection as JSON, YAML, URI or variable")
    return value


def _chosen(connections: Mapping[str, Any], conn_id: str | None, name: str) -> str:
    ids = [conn_id] if conn_id else list(connections)
    if not conn_id and len(ids) > 1:
        ids = [one for one in ids if _is_ours(connections[one])]
        ids = [DEFAULT_CONN_ID] if DEFAULT_CONN_ID in ids else ids
    if len(ids) == 1 and ids[0] in connections:
        return ids[0]
    if not connections:
        raise UsageError(f"{shown(name)} contains no connection")
    known = ", ".join(repr(one) if not may_hold_key(one) else "…" for one in connections)
    raise UsageError(f"{shown(name)} contains the connections {known}: name one of them with --conn-id")


def _is_ours(value: Any) -> bool:
    conn_type = value.get("conn_type") if isinstance(value, dict) else value.partition("://")[0]
    if isinstance(value, str) and value.lstrip().startswith("{") and not json_problem(value, ""):
        conn_type = json.loads(value).get("conn_type")
    return is_okta_workflows(conn_type)
