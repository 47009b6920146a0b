"""Each message with which the provider reports a problem, as its source has it; for docs/troubleshooting.md.

Parts that vary are an ellipsis: ``The RSA key has … bits; at least … are required.``
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

# Index of the message among the arguments; the hint, if there is one, is the next argument.
_CALLS = {
    "configuration_error": 0,
    "_report": 0,
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
    "OktaFlowNoResponseError": 0,
    "OktaFlowNotSentError": 0,
    "OktaFlowResponseError": 0,
    "OktaFlowOutcomeUnknownError": 0,
    "AirflowSensorTimeout": 0,
    "AirflowTaskTimeout": 0,
    "_not_handed_over": 0,
}
_METHODS = {("problems", "append"), ("warnings", "append"), ("log", "warning")}
_LEAST = 10
"""Literal letters that a message and its hint must have; those with fewer only combine other messages."""


class ErrorText(NamedTuple):
    """One message.

    :param module: path of the module, relative to the package
    :param how: the function or list that it is passed to
    :param text: what happened, and why
    :param hint: what to change; empty if the text says so itself, or if there is nothing to change
    """

    module: str
    how: str
    text: str
    hint: str


def error_texts() -> list[ErrorText]:
    """Return all messages, in the order of the source."""
    return [
        text
        for path in sorted(PACKAGE.rglob("*.py"))
        for text in _in_module(path)
        if own_letters(text.text) and own_letters(text.text + text.hint) >= _LEAST
    ]


def own_letters(text: str) -> int:
    """Return how many letters of a message are literal; an ellipsis does not count.

    :param text: the message
    """
    return len(re.sub(r"[…\W]", "", text))


def literals() -> str:
    """Return all string literals of the source, with ellipses for the parts that vary."""
    nodes = [node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    return "\n".join(_rendered(node) for node in nodes if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)))


def _in_module(path: Path) -> Iterator[ErrorText]:
    module = str(path.relative_to(PACKAGE))
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(_Constants(tree).visit(tree)) if isinstance(node, ast.Call)]
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
        text = _rendered(node.args[place]) if len(node.args) > place else ""
        rest = [_rendered(argument, fill=True) for argument in node.args[place + 1 :]]
        rest += [_rendered(keyword.value, fill=True) for keyword in node.keywords if keyword.arg == "hint"]
        yield ErrorText(module, how, text, rest[0] if rest and how != "log" else "")


class _Constants(ast.NodeTransformer):
    """Replaces the names of a module's string constants by their values."""

    def __init__(self, module: ast.Module) -> None:
        self._values = {
            node.targets[0].id: node.value
            for node in module.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if isinstance(node.value, (ast.Constant, ast.JoinedStr))
        }

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._values.get(node.id, node) if isinstance(node.ctx, ast.Load) else node


def _rendered(node: ast.AST, *, fill: bool = False) -> str:
    """Return a string with ellipses for the parts that vary; constants in an f-string count as such without ``fill``."""
    match node:
        case ast.Constant(value=str(text)):
            text = re.sub(r"%[-.0-9]*[rsdfg]", "…", text)
        case ast.JoinedStr(values=values):
            text = "".join(_rendered(value, fill=fill) for value in values)
        case ast.FormattedValue(value=(ast.Constant(value=str()) | ast.JoinedStr()) as value) if fill:
            text = _rendered(value, fill=True)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            text = _rendered(left, fill=fill) + _rendered(right, fill=fill)
        case ast.Attribute(value=ast.Name(id=hints), attr=name) if hints.endswith("hints"):
            text = str(next(getattr(room, name) for room in HINTS if hasattr(room, name)))
        case _:
            text = "…"
    return re.sub("…+", "…", text.replace("\n", " "))
