"""Reading of the key file, and the search for a private key in fields where it must not be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.errors import CoreError, configuration_error, split_code
from airflow_okta_workflows.core.keys.encodings import decode_text
from airflow_okta_workflows.core.keys.parsing import MAX_KEY_CHARS, contains_private_key, parse_key_text
from airflow_okta_workflows.core.secret import PART_OF_KEY, may_hold_key, shown

if TYPE_CHECKING:
    from airflow_okta_workflows.core.keys.parsing import KeyText


def parse_key_file(value: object, kid: str | None) -> KeyText:
    """Return the private key in a key file.

    :param value: the path of the file
    :param kid: which key to take, if there are several JWKs
    :raises CoreError: if the file cannot be read or contains no usable key, or if the value is the key itself
    """
    path = str(value).strip()
    content = _content(path)
    try:
        return replace(parse_key_text(content, kid), source=f"the key file {path}")
    except CoreError as error:
        code, fix = split_code(error.hint)
        raise configuration_error(error.message, f"{code}: In {shown(path)}: {fix}", detail=error.detail) from None


def _content(text: str) -> str:
    """Return the content of a file as a string; that of a binary file as base64."""
    may_be_path = text.startswith(("/", "~", ".")) or not may_hold_key(text)
    if not may_be_path or text.startswith("{") or "\n" in text:
        # Opening it would put the key into the message of an OSError.
        raise _no_path(text)
    reason = ""
    data = b""
    try:
        with Path(text).expanduser().open("rb") as file:
            data = file.read(MAX_KEY_CHARS + 1)
    except RuntimeError:
        reason = "there is no home directory for its ~"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
    if not reason:
        return decode_text(data)
    if may_hold_key(text):
        raise _no_path(text)
    raise configuration_error(
        f"key_file {shown(text)} cannot be read: {reason}.",
        "OKW-1103: It must be there, and readable, on every worker and on the triggerer.",
    )


def _no_path(text: str) -> CoreError:
    return configuration_error(
        f"key_file has a value of {len(text)} characters that is not a path.",
        "OKW-1102: key_file takes the path of a file. Paste the key itself into Private key (Password).",
    )


def misplaced_keys(
    key_text: KeyText | None, connection: Any, extra: Mapping[str, Any], unknown: Mapping[str, Any]
) -> list[CoreError]:
    """Return an error for each other field that contains a private key: its value may be sent, logged or shown.

    :param key_text: the connection's key, no part of which may be in a field either; None if there is none
    :param connection: the connection
    :param extra: the fields in its extra
    :param unknown: the other members of its extra
    """
    own = {"private_key"} if connection.password or "private_key" in extra else {"private_key", "key_file"}
    fields = {
        "The Okta domain (Host)": connection.host,
        "The Client ID (Login)": connection.login,
        "Schema": connection.schema,
        "Description": getattr(connection, "description", None),
        **{name: extra[name] for name in sorted(extra.keys() - own)},
        **{f"{shown(name)} in extra": value for name, value in unknown.items()},
    }
    # Computing the parts of a key is slow, and most connections have no field that could contain one.
    suspects = {name: text for name, value in fields.items() if may_hold_key(text := _text(value))}
    parts = [part for part in key_text.secret_forms() if len(part) >= PART_OF_KEY] if suspects and key_text else []
    found = {
        name: "a part of the private key"
        if any(part in text for part in parts)
        else "a private key"
        if contains_private_key(text)
        else ""
        for name, text in suspects.items()
    }
    return [misplaced_key(name, what) for name, what in found.items() if what]


def misplaced_key(name: str, what: str = "a private key") -> CoreError:
    """Return the error for a private key in a field where it must not be.

    :param name: the field
    :param what: how much of a key is there
    """
    return configuration_error(
        f"{name} has {what} in it (not shown).",
        "OKW-1101: Remove it there: the key belongs in Private key (Password) alone.",
    )


def is_private_key(extra: Any) -> bool:
    """Return whether the whole extra of a connection is a private key instead of fields, such as a JWK or a PEM.

    :param extra: its extra, decoded or not
    """
    return (not isinstance(extra, Mapping) or "kty" in extra) and contains_private_key(_text(extra))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
