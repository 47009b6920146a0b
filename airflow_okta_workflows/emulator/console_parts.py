"""Cells and links of the local org's console; all that comes from a caller or a flow is escaped here."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_okta_workflows.core.addresses import CONSOLE_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORT = 64
"""Maximum number of characters of a body that needs no opening."""
_BEGINNING = 160
"""Maximum number of characters shown of another one before it is opened."""
_MOST = 10_000
"""Maximum number of characters shown of a body."""
_REMOVED = "[token removed]"
_LONGEST_WORD = 40
"""A word of base64 that encodes a JSON object and is longer may be a part of a token."""


def text(value: object) -> str:
    """Return a value escaped for HTML, without tokens.

    :param value: the value
    """
    return escape(without_tokens(str(value)))


def without_tokens(string: str) -> str:
    """Return a string without what may be a token or an assertion: both are JWTs here.

    :param string: the string
    """
    return re.sub(r"[\w.-]+", lambda word: _REMOVED if _may_be_a_token(word[0]) else word[0], string)


def _may_be_a_token(word: str) -> bool:
    # The base64 of a JSON object begins so.
    return "eyJ" in word and ("." in word or len(word) > _LONGEST_WORD)


def link(label: str, **query: str) -> str:
    """Return a link to the page with other query parameters.

    :param label: what it shows
    :param query: the query parameters
    """
    cleaned = {name: without_tokens(value) for name, value in query.items()}
    url = f"{CONSOLE_PATH}?{urlencode(cleaned, errors='replace')}" if query else CONSOLE_PATH
    return f'<a href="{escape(url)}">{text(label)}</a>'


def number_of(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``2 invocations``.

    :param count: the number
    :param noun: the noun in the singular
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def table_head(name: str, columns: Iterable[str]) -> str:
    """Return the beginning of a table, up to its first row.

    The roles are spelled out because a browser drops them where the style sheet shows rows as blocks.

    :param name: its name
    :param columns: the names of the columns
    """
    heads = "".join(f'<th role="columnheader" scope="col" class="{_class_of(one)}">{one}</th>' for one in columns)
    return (
        f'<table role="table" class="{_class_of(name)}" aria-label="{name}"><thead role="rowgroup">'
        f'<tr role="row">{heads}</tr></thead>\n<tbody role="rowgroup">\n'
    )


def cell(column: str, content: str) -> str:
    """Return one cell of a table.

    :param column: the name of its column, which narrow windows show beside it
    :param content: its HTML
    """
    return f'<td role="cell" data-label="{column}" class="{_class_of(column)}"><div>{content}</div></td>'


def _class_of(column: str) -> str:
    return column.lower().replace(" ", "-")


def time_cell(seconds: float) -> str:
    """Return the cell of a time.

    :param seconds: seconds since the epoch
    """
    when = datetime.fromtimestamp(seconds, UTC)
    shown = f"{when:%H:%M:%S}<small>{when:%Y-%m-%d}</small>"
    return cell("Time", f'<time datetime="{when.isoformat(timespec="milliseconds")}">{shown}</time>')


def state_cell(status: int | None, state: str, name: str) -> str:
    """Return the cell of a status.

    :param status: the HTTP status; None without a response
    :param state: what became of the request
    :param name: its class in the style sheet
    """
    code = "" if status is None else f"{status} "
    return cell("Status", f'<span class="state {name}">{code}{state}</span>')


def duration_text(seconds: float | None) -> str:
    """Return a duration, such as ``12 ms`` or ``1.5 s``, as HTML.

    :param seconds: the duration; None while it is not over
    """
    if seconds is None:
        return "…"
    if seconds < 0.001:
        return "&lt;1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def body_cell(column: str, body: str | None) -> str:
    """Return the cell of a body: its beginning, and if it is long, the whole of it to open.

    :param column: the name of its column
    :param body: the body; None if there is none
    """
    if not body:
        return cell(column, f'<span class="none">{"none" if body is None else "empty"}</span>')
    line, whole = _laid_out(body)
    if len(line) <= _SHORT:
        return cell(column, f"<code>{text(line)}</code>")
    # Tokens are removed from the whole, because a part of one might not be recognized.
    line = without_tokens(line)
    beginning = escape(line[:_BEGINNING]) + ("…" if len(line) > _BEGINNING else "")
    left = f"\n… {len(body) - _MOST:,} more characters" if len(body) > _MOST else ""
    return cell(
        column,
        f'<details><summary><code>{beginning}</code></summary><pre tabindex="0">{text(whole)}{left}</pre></details>',
    )


def _laid_out(body: str) -> tuple[str, str]:
    """Return a body on one line and on several."""
    if len(body) <= _MOST:
        try:
            value = json.loads(body)
            return json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            pass
    return " ".join(body[:_MOST].split()), body[:_MOST]
