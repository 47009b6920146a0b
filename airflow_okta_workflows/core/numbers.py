"""Checks of numbers in arguments and fields: finite, within bounds, and no bool."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.secret import shown

YEAR = 366 * 86_400.0
"""Seconds; the longest wait that any setting allows."""

_LARGEST_TOLD = 10**20
_FIRST_WITH_COMMAS = 10_000


def seconds(value: Any) -> Any:
    """Return a ``timedelta`` in seconds, and anything else as it is.

    :param value: a ``timedelta``, or what :func:`check_number` is to check
    """
    return value.total_seconds() if isinstance(value, timedelta) else value


def check_number(value: object, name: str, *, least: float, most: float, whole: bool = False) -> None:
    """Raise if an argument is not a number within its bounds.

    :param value: the argument
    :param name: its name, for the error
    :param least: the smallest allowed number
    :param most: the largest allowed number
    :param whole: whether it has to be an int
    :raises CoreError: if it is anything else, such as infinity, a bool or a string
    """
    kinds = int if whole else (int, float)
    # The bounds exclude infinity and NaN.
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise configuration_error(
            f"{name} is {_told(value)}.", f"OKW-1048: Set it to {kind} from {_readable(least)} to {_readable(most)}."
        )


def _readable(number: float) -> str:
    return f"{number:,.0f}" if number >= _FIRST_WITH_COMMAS else f"{number:g}"


def _told(value: object) -> str:
    if isinstance(value, float):
        return str(value)
    if isinstance(value, int):
        return str(value) if abs(value) < _LARGEST_TOLD else "a very large number"
    return shown(value, 20)
