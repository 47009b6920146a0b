"""Each text with which this provider tells people what went wrong, as its source has it; for docs/troubleshooting.md.

Whatever differs from case to case is an ellipsis: ``The RSA key has … bits; … are the least that is allowed.``
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import airflow_okta_workflows
from airflow_okta_workflows.core.flows import hints as flow_hints
from airflow_okta_workflows.core.http import hints as http_hints
from airflow_okta_workflows.core.oauth import hints as oauth_hints

HINTS = (flow_hints, oauth_hints, http_hints)
PACKAGE = Path(airflow_okta_workflows.__file__).parent

# The place of the text among the arguments; a hint stands behind it.
_CALLS = {
    "configuration_error": 0,
    "CoreError": 1,
    "as_error": 1,
    "_fail": 1,
    "TransportFailure": 1,
    "ExpressionError": 0,
    "UsageError": 0,
    "CommandFailedError": 0,
    "OktaWorkflowsError": 0,
    "OktaConfigurationError": 0,
    "OktaFlowFailedError": 0,
    "OktaFlowResponseError": 0,
    "OktaFlowOutcomeUnknownError": 0,
    "AirflowSensorTimeout": 0,
    "AirflowTaskTimeout": 0,
    "_not_handed_over": 0,
}
_METHODS = {("problems", "append"), ("warnings", "append"), ("log", "warning")}
_LEAST = 10
"""Letters of its own that a text must have, its hint included, to be one: the rest are made of others."""


class ErrorText(NamedTuple):
    """Hold one text.

    :param module: the module, as a path below the package
    :param how: the function it is given to
    :param text: what happened, and why
    :param hint: what to change; empty if the text says so itself, or if there is nothing to say
    """

    module: str
    how: str
    text: str
    hint: str


def error_texts() -> list[ErrorText]:
    """Return all texts, in the order of the source."""
    return [
        text
        for path in sorted(PACKAGE.rglob("*.py"))
        for text in _in_module(path)
        if own_letters(text.text) and own_letters(text.text + text.hint) >= _LEAST
    ]


def own_letters(text: str) -> int:
    """Return how many letters of a text are its own, and not another's in its place.

    :param text: the text
    """
    return len(re.sub(r"[…\W]", "", text))


def literals() -> str:
    """Return all text that stands in the source, with ellipses for what differs."""
    nodes = [node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    return "\n".join(_rendered(node) for node in nodes if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)))


def _in_module(path: Path) -> Iterator[ErrorText]:
    module = str(path.relative_to(PACKAGE))
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        match node.func:
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name) if (
                owner,
                name,
            ) in _METHODS:
                how, place = owner, 0
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _CALLS:
                how, place = name, _CALLS[name]
            case _:
                continue
        text, *rest = [_rendered(argument) for argument in node.args[place:]] or [""]
        yield ErrorText(module, how, text, rest[0] if rest and how != "log" else "")


def _rendered(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            text = re.sub(r"%[-.0-9]*[rsdfg]", "…", text)
        case ast.JoinedStr(values=values):
            text = "".join(map(_rendered, values))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            text = _rendered(left) + _rendered(right)
        case ast.Attribute(value=ast.Name(id=hints), attr=name) if hints.endswith("hints"):
            text = str(next(getattr(room, name) for room in HINTS if hasattr(room, name)))
        case _:
            text = "…"
    return re.sub("…+", "…", text.replace("\n", " "))
