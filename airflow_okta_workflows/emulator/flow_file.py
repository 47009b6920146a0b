"""Flows for the local org from a user's Python file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_okta_workflows.emulator.records import FlowFunction, Security

_MODULE = "okta_flow_file"
_MARK = "okta_flow"


@dataclass(frozen=True)
class DeclaredFlow:
    """One flow of a file.

    :param function: the function that it runs
    :param name: its name in the connection
    :param alias: its alias; None for the org's default
    :param security: its security level
    """

    function: FlowFunction
    name: str
    alias: str | None = None
    security: Security = "oauth"


def flow(
    name: str | None = None, *, alias: str | None = None, security: Security = "oauth"
) -> Callable[[FlowFunction], FlowFunction]:
    """Mark a function as a flow, in a file for ``okta-workflows emulator --flows``.

    :param name: its name in the connection; None for the function's name
    :param alias: its alias; None for the org's default
    :param security: its security level
    """

    def mark(function: FlowFunction) -> FlowFunction:
        declared = DeclaredFlow(function, name or str(getattr(function, "__name__", "flow")), alias, security)
        setattr(function, _MARK, declared)
        return function

    return mark


def flows_in(path: Path) -> list[DeclaredFlow]:
    """Return the flows of a file: the functions marked with :func:`flow`, or all public functions if none is marked.

    The file is executed, and can import modules from its directory.

    :param path: the file
    """
    loader = SourceFileLoader(_MODULE, str(path.resolve()))
    module = importlib.util.module_from_spec(ModuleSpec(_MODULE, loader, origin=loader.path))
    sys.modules[_MODULE] = module
    sys.path.insert(0, str(path.resolve().parent))
    loader.exec_module(module)
    functions = {
        name: value for name, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == _MODULE
    }
    declared = [getattr(value, _MARK) for value in functions.values() if hasattr(value, _MARK)]
    return declared or [DeclaredFlow(value, name) for name, value in functions.items() if not name.startswith("_")]
