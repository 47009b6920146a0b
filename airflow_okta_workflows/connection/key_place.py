"""Reading of the key file, and the search for a private key in fields where it must not be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.keys.encodings import decode_text
from airflow_okta_workflows.core.keys.parsing import MAX_KEY_CHARS, contains_private_key
from airflow_okta_workflows.core.secret import PART_OF_KEY, may_hold_key, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_okta_workflows.core.errors import CoreError
    from airflow_okta_workflows.core.keys.parsing import KeyText


def read_key_file(value: object) -> str:
    """Return the content of a key file as a string; that of a binary file as base64.

    :param value: its path
    :raises CoreError: if the file cannot be read, or if the value is the key itself and not a path
    """
    text = str(value).strip()
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
    key_text: KeyText | None, connection: Any, extra: Mapping[str, Any], known: Iterable[str]
) -> list[CoreError]:
    """Return an error for each other field that contains a private key: its value may be sent, logged or shown.

    :param key_text: the connection's key, no part of which may be in a field either; None if there is none
    :param connection: the connection
    :param extra: its extra
    :param known: names of the fields in extra that are read
    """
    fields = {
        "The Okta domain (Host)": connection.host,
        "The Client ID (Login)": connection.login,
        "Schema": connection.schema,
        **{name: extra[name] for name in sorted(known) if name in extra and name not in ("private_key", "key_file")},
    }
    # Computing the parts of a key is slow, and most connections have no field that could contain one.
    suspects = {name: texts for name, value in fields.items() if any(map(may_hold_key, texts := _strings(value)))}
    parts = [part for part in key_text.secret_forms() if len(part) >= PART_OF_KEY] if suspects and key_text else []
    found = {
        name: "a part of the private key"
        if any(part in text for text in texts for part in parts)
        else "a private key"
        if any(map(contains_private_key, texts))
        else ""
        for name, texts in suspects.items()
    }
    return [
        configuration_error(
            f"{name} has {what} in it (not shown).",
            "OKW-1101: Remove it there: the key belongs in Private key (Password) alone.",
        )
        for name, what in found.items()
        if what
    ]


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
