"""Mistakes in a JMESPath expression that its parser accepts, and why an evaluation fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import shown

Node = Mapping[str, Any]

_BOOLS = frozenset({"true", "false"})
_CAPITALS = lazy_pattern(r"(?!NULL$|TRUE$|FALSE$)[A-Z][A-Z0-9_]+")
_LITERAL_ARGUMENTS = {"contains": 1, "starts_with": 1, "ends_with": 1, "join": 0}
"""Position of the argument that is usually a literal, for functions whose other argument is a member."""
_ORDER = lazy_pattern(r"'([<>]=?)' not supported between instances of '(\w+)' and '(\w+)'")


def check_expression(parsed: Node, text: str, parameter: str) -> None:
    """Raise for an expression that can only fail or never be true, whatever the body.

    :param parsed: the expression, as JMESPath parsed it
    :param text: the expression
    :param parameter: the parameter that it was passed as, for error messages
    :raises CoreError: for an unknown function, a wrong number of arguments, or a name where a literal is meant
    """
    quoted = _quoted_names(text)
    for node in _nodes(parsed):
        if node["type"] == "function_expression":
            _check_call(node, parameter)
        _check_literals(node, quoted, parameter)


def evaluation_problem(error: Exception) -> str:
    """Return which types made an evaluation fail, without the values; empty if they did not.

    :param error: what JMESPath raised
    """
    from jmespath.exceptions import JMESPathTypeError

    if isinstance(error, JMESPathTypeError):
        wanted = " or ".join(kind.replace("-", " of ") for kind in error.expected_types)
        return f"{error.function_name}() takes {wanted}, not {_kind(error.actual_type)}"
    if isinstance(error, TypeError) and (order := _ORDER.match(str(error))):
        return f"{order[1]} cannot compare {_kind(order[2])} with {_kind(order[3])}"
    return ""


def _nodes(parsed: Node) -> Iterator[Node]:
    # No recursion, since an expression may be nested deeply.
    waiting = [parsed]
    while waiting:
        node = waiting.pop()
        yield node
        # The children of a slice are numbers.
        waiting.extend(child for child in node["children"] if isinstance(child, dict))


def _check_call(node: Node, parameter: str) -> None:
    from jmespath.functions import Functions

    name, given, table = node["value"], len(node["children"]), Functions.FUNCTION_TABLE
    if name not in table:
        import difflib

        near = difflib.get_close_matches(name.lower(), table, n=1)
        raise configuration_error(
            f"{parameter} calls {shown(name, 40)}, and JMESPath has no such function.",
            f"OKW-1580: {f'Did you mean {near[0]}()? ' if near else ''}Its functions are {', '.join(sorted(table))}.",
        )
    signature = table[name]["signature"]
    variadic = bool(signature) and signature[-1].get("variadic", False)
    if given < len(signature) or (given > len(signature) and not variadic):
        arguments = ", ".join("|".join(argument["types"]) or "any" for argument in signature)
        raise configuration_error(
            f"{parameter} calls {name}() with {given} argument{'' if given == 1 else 's'}.",
            f"OKW-1581: Write it as {name}({arguments}{', …' if variadic else ''}).",
        )


def _check_literals(node: Node, quoted: frozenset[str], parameter: str) -> None:
    """Raise for a name where a literal is meant: an element of that name is hardly ever there."""
    children = node["children"]
    if node["type"] == "comparator":
        left, right = children
        _check_name(right, left, quoted, parameter)
        # A member may be on the left side, also in double quotes.
        _check_name(left, right, frozenset(), parameter)
    elif len(children) == 2 and (at := _LITERAL_ARGUMENTS.get(node.get("value", ""))) is not None:
        _check_name(children[at], children[1 - at], quoted, parameter)


def _check_name(node: Node, other: Node, quoted: frozenset[str], parameter: str) -> None:
    if node["type"] != "field":
        return
    name = node["value"]
    if name in quoted or (_CAPITALS.fullmatch(name) and not _may_be_beside_capitals(other)):
        raise configuration_error(
            f"{parameter} has the member named {shown(name, 40)} where a string is meant.",
            "OKW-1518: Write a string in single quotes: status == 'SUCCEEDED'. If the member is meant, write"
            ' @."name".',
        )
    if name.lower() in _BOOLS:
        raise configuration_error(
            f"{parameter} has the member named {name!r} where a bool is meant.",
            f"OKW-1517: Write a bool in backticks: done == `{name.lower()}`.",
        )


def _may_be_beside_capitals(node: Node) -> bool:
    """Return whether a name in capitals beside this node may be a member: it is a literal, or such a name itself."""
    while node["type"] == "subexpression":
        node = node["children"][-1]
    return bool(node["type"] == "literal" or (node["type"] == "field" and node["value"] == node["value"].upper()))


def _quoted_names(text: str) -> frozenset[str]:
    """Return the names that an expression has only in double quotes."""
    if '"' not in text:
        return frozenset()
    from jmespath.lexer import Lexer

    names: dict[str, set[str]] = {"quoted_identifier": set(), "unquoted_identifier": set()}
    for token in Lexer().tokenize(text):
        names.get(token["type"], set()).add(token["value"])
    return frozenset(names["quoted_identifier"] - names["unquoted_identifier"])


def _kind(name: str) -> str:
    from jmespath.functions import TYPES_MAP

    return TYPES_MAP.get(name, name)
