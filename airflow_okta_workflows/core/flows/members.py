"""Members of a response that a condition refers to, and what a message may show of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import is_plain, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MemberPath = tuple[str | int, ...]
"""Names of members and indexes of lists, starting from the body; empty for the body itself."""

_LONGEST_VALUE = 40
_LONGEST_LIST = 60
"""Characters after which a description shows no further members, so that it fits on one line."""
_MOST_NAMES = 10
_PLAIN_NAME = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = lazy_pattern(r"pass(?:word|wd|phrase)|secret|token|credential|private|otp|api_?key", re.IGNORECASE)
_MEDIA_TYPE = lazy_pattern(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,40}")
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
_EACH = "[*]"
"""Step of a path for messages: each element of a list, or each member of an object."""
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


def unmet_by(expression: Mapping[str, Any], body: Any, content_type: str = "") -> str:
    """Return why an expression cannot be true, or selects nothing, for bodies like this: the rest of a sentence.

    :param expression: the expression, as JMESPath parsed it
    :param body: the response's body
    :param content_type: the response's content type
    :return: empty if the body has what the expression looks at, or one alternative of it
    """
    try:
        problems = _unmet(expression, body, ())
    except RecursionError:
        problems = []
    if not problems:
        return ""
    if not isinstance(body, (dict, list)):
        return f"finds nothing: the response is {describe_body(body, content_type)}"
    text = problems[0]
    for problem in problems[1:]:
        if len(text) > 2 * _LONGEST_LIST:
            break
        text += f"; {problem}" if problem not in text else ""
    return text


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


def _unmet(node: Mapping[str, Any], value: Any, base: MemberPath) -> list[str]:
    """Return what keeps an expression from being true for values like this; empty if one alternative can be.

    :param node: the expression, as JMESPath parsed it
    :param value: the value that it applies to
    :param base: path of that value in the body
    """
    children = node["children"]
    if (path := _path(node)) is not None:
        return [_nothing_at(value, path, base)] if _find(value, path) is _ABSENT else []
    match node:
        case {"type": "literal" | "expref" | "not_expression"} | {"type": "comparator", "value": "ne"}:
            return []
        case {"type": "projection" | "value_projection" | "filter_projection"}:
            # Without the condition of a filter, only those elements need the member that the condition selects.
            return _unmet(children[0], value, base) or _unmet_by_elements(children[0], children[-1], value, base)
    parts = [_unmet(child, value, base) for child in (children[:1] if node["type"] in _WITHIN else children)]
    problems = [problem for part in parts for problem in part]
    match node:
        case {"type": "or_expression"} | {"type": "function_expression", "value": "not_null"}:
            return problems if all(parts) else []
        case {"type": "comparator", "value": "eq"}:
            return [] if any(map(_is_null, children)) else problems or _never_equal(children, value, base)
    return problems


def _unmet_by_elements(container: Any, condition: Mapping[str, Any], value: Any, base: MemberPath) -> list[str]:
    """Return what keeps a condition from being true for any element; empty if there are no elements yet."""
    from jmespath.visitor import TreeInterpreter

    try:
        elements = TreeInterpreter().visit(container, value)
    except (TypeError, ValueError, AttributeError):  # a JMESPathError is a ValueError
        return []
    path = base + next(iter(member_paths(container)), ())
    if isinstance(elements, dict):
        elements = list(elements.values())
    problems: list[str] = []
    for element in elements if isinstance(elements, list) else ():
        found = _unmet(condition, element, (*path, _EACH))
        if not found:
            return []
        problems = problems or found
    return problems


def _nothing_at(value: Any, path: MemberPath, base: MemberPath) -> str:
    most = next(most for most in range(len(path) - 1, -1, -1) if _find(value, path[:most]) is not _ABSENT)
    there, place = _find(value, path[:most]), base + path[:most]
    state = describe_body(there) if isinstance(there, dict) else _short(there, place)
    return f"finds nothing at {_name(base + path)}: {_name(place) if place else 'the response'} is {state}"


def _is_null(node: Mapping[str, Any]) -> bool:
    """Return whether a side of a comparison is null on purpose, so that an absent member is equal to it."""
    return node["type"] in ("literal", "field") and node["value"] in (None, "null", "None", "NULL")


def _never_equal(sides: list[Mapping[str, Any]], value: Any, base: MemberPath) -> list[str]:
    """Return why a member and a literal differ whatever the member's value is: by their types, or only in case."""
    for literal, member in (sides, sides[::-1]):
        path = _path(member)
        if literal["type"] != "literal" or path is None:
            continue
        wanted, there = literal["value"], _find(value, path)
        state = f"with {_name(base + path)}, which is {_short(there, base + path)}"
        if there is not None and _kind(there) != _kind(wanted):
            return [f"compares {_kind(wanted)} {state}"]
        if isinstance(there, str) and there != wanted and there.lower() == wanted.lower():
            return [f"compares {shown(wanted, _LONGEST_VALUE)} {state}: upper and lower case differ"]
    return []


def _kind(value: Any) -> str:
    kinds = ((bool, "a bool"), ((int, float), "a number"), (str, "a string"), (list, "a list"), (dict, "an object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


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
        if step == _EACH:
            text += _EACH
        elif isinstance(step, int):
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
