"""What a server says, as a person may read it in a log."""

from __future__ import annotations

from typing import Any

from airflow_okta_workflows.core.http.json_values import parse_json_value

_LONGEST_LINE = 300
_LONGEST_READ = 10 * _LONGEST_LINE
"""Characters of a server's words that are looked at."""


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds, or an empty one if it holds none.

    :param body: the body, from a server and so of any form
    """
    try:
        value = parse_json_value(body.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def error_message(body: Any) -> str:
    """Return the sentence in which a failed flow says why, on one line of at most 300 characters, or nothing.

    Only members that are there to be read by people are looked at; nothing else of the body is shown.

    :param body: the answer's body
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
    """Return a server's words as a log may have them: on one line, of at most 300 characters, all of them printable.

    :param text: the words, which could otherwise begin log lines of their own (CWE-117)
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:_LONGEST_READ]).split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
