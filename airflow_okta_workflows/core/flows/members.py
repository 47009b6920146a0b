"""Members of a response that a condition refers to, and what a message may show of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.secret import is_plain, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MemberPath = tuple[str | int, ...]
"""Names of members and indexes of lists, starting from the body; empty for the body itself."""

_LONGEST_VALUE = 40
_LONGEST_LIST = 60
"""Characters after which a description shows no further members, so that it fits on one line."""
_MOST_NAMES = 10
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(r"pass(?:word|wd|phrase)|secret|token|credential|private|otp|api_?key", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,40}")
_WITHIN = (
    "subexpression",
    "index_expression",
    "pipe",
    "projection",
    "value_projection",
    "filter_projection",
    "flatten",
)
"""Types of nodes whose other children apply to what the first child selects, not to the body."""
_ABSENT = object()


def member_paths(expression: Mapping[str, Any]) -> tuple[MemberPath, ...]:
    """Return the paths that an expression refers to, without duplicates, in order.

    :param expression: the expression, as JMESPath parsed it
    """
    paths: dict[MemberPath, None] = {}
    waiting: list[Any] = [expression]
    while waiting:
        node = waiting.pop()
        if (path := _path(node)) is not None:
            paths[path] = None
        elif node["type"] in _WITHIN:
            waiting.append(node["children"][0])
        elif node["type"] not in ("literal", "expref"):
            waiting.extend(reversed(node["children"]))
    return tuple(paths)


def has_any(body: Any, paths: tuple[MemberPath, ...]) -> bool:
    """Return whether a body has at least one of the members, or there are no paths.

    :param body: the response's body
    :param paths: the paths
    """
    return not paths or any(_find(body, path) is not _ABSENT for path in paths)


def describe_members(body: Any, paths: tuple[MemberPath, ...], content_type: str = "") -> str:
    """Return what a body has at the paths of a condition: "status is 'PENDING'".

    Names of members and short values are shown, but nothing that may be a secret, and no long string.

    :param body: the response's body
    :param paths: the paths
    :param content_type: the response's content type
    """
    if not paths or (not isinstance(body, (dict, list)) and () not in paths):
        return f"the response is {describe_body(body, content_type)}"
    text = ""
    for path in paths:
        value = _find(body, path)
        state = "not in the response" if value is _ABSENT else _short(value, path)
        text += f"{', ' if text else ''}{_name(path)} is {state}"
        if len(text) > _LONGEST_LIST:
            break
    return text


def describe_body(body: Any, content_type: str = "") -> str:
    """Return a description of a body: "text (text/html), not JSON", or an object and the names of its members.

    :param body: the response's body
    :param content_type: the response's content type
    """
    if isinstance(body, dict):
        names = [name for name in body if is_plain(name) and 0 < len(name) <= _LONGEST_VALUE][:_MOST_NAMES]
        more = f"{len(body) - len(names)} more" if len(body) > len(names) else ""
        return f"an object with {', '.join(filter(None, [*names, more]))}" if body else "an empty object"
    if isinstance(body, str):
        media_type = content_type.partition(";")[0].strip().lower()
        return f"text ({media_type}), not JSON" if _MEDIA_TYPE.fullmatch(media_type) else "text, not JSON"
    return "empty" if body is None else _short(body, ())


def _path(node: Mapping[str, Any]) -> MemberPath | None:
    """Return the path of an expression such as ``jobs[0].status``; None if it is another kind of expression."""
    match node["type"]:
        case "field" | "index":
            return (node["value"],)
        case "current" | "identity":
            return ()
        case "subexpression" | "index_expression":
            steps = [_path(child) for child in node["children"]]
            return None if None in steps else tuple(step for path in steps if path for step in path)
    return None


def _find(body: Any, path: MemberPath) -> Any:
    for step in path:
        try:
            if not isinstance(body, dict if isinstance(step, str) else list):
                return _ABSENT
            body = body[step]  # type: ignore[index]  # the step has the type that its container needs
        except LookupError:
            return _ABSENT
    return body


def _name(path: MemberPath) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _PLAIN_NAME.fullmatch(step) else json.dumps(step))
    return text or "@"


def _short(value: Any, path: MemberPath) -> str:
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if any(isinstance(step, str) and _SECRET_NAME.search(step) for step in path):
        return "***"
    if isinstance(value, str):
        return shown(value, _LONGEST_VALUE)
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"a number of {len(text)} characters"
