"""The types that the hook returns, for annotations. Each is imported on access, so that parsing a DAG stays cheap."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.oauth.access_token import AccessToken

__all__ = ["AccessToken", "FlowResponse"]

_MODULES = {"AccessToken": "core.oauth.access_token", "FlowResponse": "core.flows.response"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"airflow_okta_workflows.{_MODULES[name]}"), name)
