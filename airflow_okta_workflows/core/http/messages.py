"""Messages from servers, in a form that is safe to log."""

from __future__ import annotations

from typing import Any

from airflow_okta_workflows.core.http.json_values import parse_json_value

_LONGEST_LINE = 300
_LONGEST_READ = 10 * _LONGEST_LINE
"""Characters of a server's message that are processed; the rest is ignored."""


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; an empty one if the body is anything other than a JSON object.

    :param body: the body, as untrusted input from a server
    """
    try:
        value = parse_json_value(body.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def error_message(body: Any) -> str:
    """Return the message in an error response, on one line of at most 300 characters; empty if there is none.

    Only members that are meant for people are read; nothing else in the body is shown.

    :param body: the response's body, parsed
    """
    if not isinstance(body, dict):
        return ""
    for name in ("message", "errorSummary", "error_description", "error", "errorMessage"):
        value = body.get(name)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str) and (line := one_line(value)):
            return line
    return ""


def one_line(text: str) -> str:
    """Return a server's message as one line of at most 300 printable characters, safe to log.

    :param text: the message, which could otherwise forge log lines (CWE-117)
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:_LONGEST_READ]).split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
