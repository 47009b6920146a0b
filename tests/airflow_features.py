"""What the tests need of Airflow and find in another place, or not at all, in another Airflow.

Each feature is asked for by name; no version number is compared. A test that means nothing without a feature has
:func:`needs` on it: it is left out where the feature is missing, and the reason is printed at the end of the run.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import pytest


def importable(module: str, *names: str) -> bool:
    """Tell whether a module is there, and has all these names."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        return False
    return all(hasattr(found, name) for name in names)


@dataclass(frozen=True)
class Feature:
    """Hold something that only some Airflows have.

    :param name: in words, for whoever reads why a test was left out
    :param there: whether this Airflow has it
    """

    name: str
    there: bool


TASK_SDK = Feature("the task SDK (airflow.sdk)", find_spec("airflow.sdk") is not None)
"""Without it tasks run in the process of their supervisor, and have the database."""

TASK_STATE_STORE = Feature(
    "the task state store", importable("airflow.sdk.execution_time.context", "TaskStateStoreAccessor")
)

RETRY_POLICY = Feature("retry policies", importable("airflow.sdk", "RetryPolicy"))

SHARED_MASKER = Feature(
    "the masker that forgets (airflow.sdk._shared)", importable("airflow.sdk._shared.secrets_masker")
)
"""Only there does the provider touch the masker; elsewhere it leaves all to Airflow's own function."""

ASYNC_MASKING = Feature("masking on an event loop", importable("airflow.sdk.log", "amask_secret"))

PROVIDER_COMMANDS = Feature(
    "commands of providers", '"cli"' in files("airflow").joinpath("provider_info.schema.json").read_text()
)


def connection_class() -> Any:
    """Return the class of connections that can be read from JSON."""
    from airflow.providers.common.compat.sdk import Connection

    return Connection if hasattr(Connection, "from_json") else importlib.import_module("airflow.models").Connection


def needs(feature: Feature) -> pytest.MarkDecorator:
    """Mark tests that mean nothing without a feature of Airflow."""
    return pytest.mark.for_airflow(feature, True)


def lacks(feature: Feature) -> pytest.MarkDecorator:
    """Mark tests of what the provider does where Airflow lacks a feature."""
    return pytest.mark.for_airflow(feature, False)


def reason_to_leave_out(item: pytest.Item) -> str | None:
    """Return why a test means nothing on this Airflow, or None."""
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
    """Return the module of Airflow's masker, as tasks have it."""
    for name in _MASKERS:
        if importable(name):
            return importlib.import_module(name)
    raise ImportError("Airflow's masker is in none of the places that are known here")


def forget_masks() -> None:
    """Let Airflow's maskers begin anew: its server, whose classes older ones use for connections, has one of its own."""
    for name in {masker_module().__name__, *filter(importable, _MASKERS[:2])}:
        masker = importlib.import_module(name)._secrets_masker()
        masker.patterns = set()
        masker.replacer = None


def logged(text: str) -> str:
    """Return what Airflow makes of a line of a task's log."""
    if TASK_SDK.there:
        from airflow.sdk.log import mask_logs

        return str(mask_logs(None, "info", {"event": text, "level": "info"})["event"])
    return str(masker_module()._secrets_masker().redact(text))


# ---- what has another name


def gives_connection(conn_id: str) -> bool:
    """Tell whether Airflow hands a connection on, or finds a fault in it itself."""
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        BaseHook.get_connection(conn_id)
    except Exception:  # whatever Airflow says of it
        return False
    return True


def kept_by_airflow(dag: Any) -> Any:
    """Return a DAG as Airflow's server has it: serialized, and back."""
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
"""What a DAG file imports anyway, whatever its operators are."""
