"""JSON objects and lists in a string, also in the notations of Python and JavaScript, and with text around them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.patterns import lazy_pattern

if TYPE_CHECKING:
    from airflow_okta_workflows.core.keys.work import Work

# Tokens in which Python's and JavaScript's notations differ from JSON: strings in single quotes, names without quotes,
# a comma after the last member. A URL encoder may have turned each space into a plus. An unclosed string matches, too,
# so that the time is linear.
_LOOSE = lazy_pattern(
    r"""b?'((?:[^'\\]|\\.)*+)'?|("(?:[^"\\]|\\.)*+"?)|\b([A-Za-z_]\w*+)|,(?=[\s+]*+[}\]])|(?<![Ee])\+""",
    re.DOTALL | re.ASCII,
)
_IN_SINGLE_QUOTES = lazy_pattern(r"\\x([0-9A-Fa-f]{2})|\\.|\"", re.DOTALL)
_CONSTANTS = {"None": "null", "True": "true", "False": "false", "null": "null", "true": "true", "false": "false"}
_OPENING = lazy_pattern(r"[{\[]")
_STRING_OR_BRACKET = lazy_pattern(r"""'(?:[^'\\]|\\.)*+'?|"(?:[^"\\]|\\.)*+"?|[{}\[\]]""", re.DOTALL)
_DEPTHS = {"{": 1, "[": 1, "}": -1, "]": -1}
_TOKEN_COST = 8
"""Characters that a search could look at in the time for one token."""
_DECODER = json.JSONDecoder(strict=False)

_Value = tuple[Any, int]
"""A value, and the index of its end."""


def find_values(text: str, work: Work) -> tuple[list[Any], str]:
    """Return the JSON objects and lists in a string, and the string without them.

    :param text: the string
    :param work: the work of the search
    """
    values: list[Any] = []
    rest: list[str] = []
    at = done = 0
    while opening := _OPENING.search(text, at):
        work.spend()
        start = opening.start()
        found = _strict_value(text, start, work) or _loose_value(text, start, work)
        if found is None:
            at = start + 1
            continue
        values.append(found[0])
        rest.append(text[done:start])
        at = done = found[1]
    return values, "\n".join([*rest, text[done:]])


def _strict_value(text: str, start: int, work: Work) -> _Value | None:
    # A JSONDecodeError contains the whole document, so it must not become the context of another error.
    end = len(text)
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        end = error.pos
    except (ValueError, RecursionError):  # a number of too many digits, or too many levels
        pass
    work.spend(end - start, parts=0)
    return None


def _loose_value(text: str, start: int, work: Work) -> _Value | None:
    depth = tokens = 0
    end = None
    for token in _STRING_OR_BRACKET.finditer(text, start):
        tokens += 1
        depth += _DEPTHS.get(token[0], 0)
        if depth == 0:
            end = token.end()
            break
    work.spend((end or len(text)) - start + tokens * _TOKEN_COST, parts=0)
    if end is None:
        return None
    try:
        return json.loads(_LOOSE.sub(_as_json, text[start:end]), strict=False), end
    except (ValueError, RecursionError):
        return None


def _as_json(token: re.Match[str]) -> str:
    single, double, name = token.groups()
    if double is not None:
        return double
    if name is not None:
        return _CONSTANTS.get(name, f'"{name}"')
    if single is None:
        return " "
    return f'"{_IN_SINGLE_QUOTES.sub(_escaped, single)}"'


def _escaped(token: re.Match[str]) -> str:
    if token[0] == '"':
        return '\\"'
    # JSON has neither of these two escapes.
    return "'" if token[0] == "\\'" else f"\\u00{token[1]}" if token[1] else token[0]
