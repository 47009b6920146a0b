"""What the tests need of Airflow and find in another place, or not at all, in another Airflow.

Each feature is asked for by name; no version number is compared. A test that means nothing without a feature has
:func:`needs` on it: it is left out where the feature is missing, and the reason is printed at the end of the run.
"""

from __future__ import annotations

import importlib
import logging
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

RETRY_POLICY = Feature("retry policies", importable("airflow.sdk", "RetryPolicy"))

SHARED_MASKER = Feature("the masker that forgets (airflow.sdk._shared)", importable("airflow.sdk._shared.secrets_masker"))
"""Only there does the provider touch the masker; elsewhere it leaves all to Airflow's own function."""

ASYNC_MASKING = Feature("masking on an event loop", importable("airflow.sdk.log", "amask_secret"))

PROVIDER_COMMANDS = Feature(
    "commands of providers", '"cli"' in files("airflow").joinpath("provider_info.schema.json").read_text()
)


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


def masker_module() -> Any:
    """Return the module of Airflow's masker."""
    for name in (
        "airflow.sdk._shared.secrets_masker",
        "airflow.sdk.execution_time.secrets_masker",
        "airflow.utils.log.secrets_masker",
    ):
        if importable(name):
            return importlib.import_module(name)
    raise ImportError("Airflow's masker is in none of the places that are known here")


def forget_masks() -> None:
    """Let Airflow's masker begin anew."""
    masker = masker_module()._secrets_masker()
    masker.patterns = set()
    masker.replacer = None


def logged(text: str) -> str:
    """Return what Airflow makes of a line of a task's log."""
    if TASK_SDK.there:
        from airflow.sdk.log import mask_logs

        return str(mask_logs(None, "info", {"event": text, "level": "info"})["event"])
    record = logging.LogRecord("airflow.task", logging.INFO, __file__, 1, text, (), None)
    masker_module()._secrets_masker().filter(record)
    return record.getMessage()

