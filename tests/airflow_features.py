"""Features of Airflow that the tests need and that other versions have elsewhere or not at all.

Each feature is looked up by name; no version number is compared. A test that is meaningless without a feature is marked
with :func:`needs`: it is deselected where the feature is missing, and the reason is printed at the end of the run.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import pytest
from airflow.secrets.local_filesystem import LocalFilesystemBackend


def importable(module: str, *names: str) -> bool:
    """Return whether a module can be imported and has all these names."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        return False
    return all(hasattr(found, name) for name in names)


@dataclass(frozen=True)
class Feature:
    """Feature that only some versions of Airflow have.

    :param name: its name in words, for the reason why a test was deselected
    :param there: whether this Airflow has it
    """

    name: str
    there: bool


TASK_SDK = Feature("the task SDK (airflow.sdk)", find_spec("airflow.sdk") is not None)
"""Without it, tasks run in their supervisor's process and can access the database."""

TASK_STATE_STORE = Feature(
    "the task state store", importable("airflow.sdk.execution_time.context", "TaskStateStoreAccessor")
)

QUESTIONS = Feature("required actions", importable("airflow.sdk.execution_time.hitl"))

RETRY_POLICY = Feature("retry policies", importable("airflow.sdk", "RetryPolicy"))

CONFIGS_FILE = Feature(
    "settings in the secrets backend for local files",
    "configs_file_path" in inspect.signature(LocalFilesystemBackend).parameters,
)

SHARED_MASKER = Feature(
    "the masker that forgets (airflow.sdk._shared)", importable("airflow.sdk._shared.secrets_masker")
)
"""The provider changes the state of this masker only; with any other it only calls Airflow's ``mask_secret``."""

ASYNC_MASKING = Feature("masking on an event loop", importable("airflow.sdk.log", "amask_secret"))

PROVIDER_COMMANDS = Feature(
    "commands of providers", '"cli"' in files("airflow").joinpath("provider_info.schema.json").read_text()
)


def _has_object_storage() -> bool:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        ObjectStoragePath("file:///tmp")
    except TypeError:
        return False
    return True


OBJECT_STORAGE = Feature("an ObjectStoragePath that works with this universal-pathlib", _has_object_storage())
"""That of Airflow 3.0 does not work with universal-pathlib 0.3."""

SQLITE_PROVIDER = Feature("the provider of SQLite", importable("airflow.providers.sqlite"))


def connection_class() -> Any:
    """Return the connection class that has ``from_json``."""
    from airflow.providers.common.compat.sdk import Connection

    return Connection if hasattr(Connection, "from_json") else importlib.import_module("airflow.models").Connection


def needs(feature: Feature) -> pytest.MarkDecorator:
    """Mark tests that are meaningless without a feature of Airflow."""
    return pytest.mark.for_airflow(feature, True)


def lacks(feature: Feature) -> pytest.MarkDecorator:
    """Mark tests of the provider's behavior on an Airflow that lacks a feature."""
    return pytest.mark.for_airflow(feature, False)


def reason_to_leave_out(item: pytest.Item) -> str | None:
    """Return why a test is meaningless on this Airflow; None if it is not."""
    for marker in item.iter_markers("for_airflow"):
        feature, there = marker.args
        if feature.there is not there:
            return f"{'needs' if there else 'is about an Airflow without'} {feature.name}"
    return None


# ---- the masker


_MASKERS = (
    "airflow.sdk._shared.secrets_masker",
    "airflow._shared.secrets_masker",
    "airflow.sdk.execution_time.secrets_masker",
    "airflow.utils.log.secrets_masker",
)


def masker_module() -> Any:
    """Return the module of the masker that this Airflow's tasks use."""
    for name in _MASKERS:
        if importable(name):
            return importlib.import_module(name)
    raise ImportError("Airflow's masker is in none of the places that are known here")


def forget_masks() -> None:
    """Reset Airflow's maskers: the server, whose connection classes older versions use, has a separate one."""
    for name in {masker_module().__name__, *filter(importable, _MASKERS[:2])}:
        masker = importlib.import_module(name)._secrets_masker()
        masker.patterns = set()
        masker.replacer = None


def logged(text: str) -> str:
    """Return a line of a task's log as Airflow masks it."""
    if TASK_SDK.there:
        from airflow.sdk.log import mask_logs

        return str(mask_logs(None, "info", {"event": text, "level": "info"})["event"])
    return str(masker_module()._secrets_masker().redact(text))


# ---- names that differ between versions


def gives_connection(conn_id: str) -> bool:
    """Return whether Airflow returns a connection without rejecting it."""
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        BaseHook.get_connection(conn_id)
    except Exception:  # any error of Airflow counts as a rejection
        return False
    return True


def kept_by_airflow(dag: Any) -> Any:
    """Return a DAG as Airflow's server has it: serialized and deserialized."""
    module = importlib.import_module("airflow.serialization.serialized_objects")
    kind = getattr(module, "DagSerialization", None) or module.SerializedDAG
    return kind.from_dict(kind.to_dict(dag))


IMPORTS_OF_A_DAG_FILE = (
    "from airflow.sdk import dag, task; import airflow.sdk.bases.operatorlink, airflow.sdk.bases.sensor"
    if TASK_SDK.there
    else "from airflow.decorators import dag, task; import airflow.sensors.base, airflow.models.taskinstance;"
    " import airflow.models.baseoperatorlink;"
    " from airflow.providers.common.compat.sdk import BaseSensorOperator, conf, determine_kwargs"
)
"""Imports that any DAG file causes, whatever its operators."""
