"""How many polls of a sensor have failed in a row."""

from __future__ import annotations

import logging
from typing import Protocol

from airflow_okta_workflows.exceptions import OktaWorkflowsError, is_transient

log = logging.getLogger(__name__)

MOST_FAILED_POLLS = 1_000_000
"""That may be tolerated."""

_NAME = "okta_workflows_failed_polls"


class Memory(Protocol):
    """Be a place that keeps a number, such as Airflow's task state store."""

    def get(self, key: str, default: int) -> int:
        """Return what is kept."""

    def set(self, key: str, value: int) -> None:
        """Keep a number."""


class ProcessMemory:
    """Keep numbers for as long as this process lives."""

    def __init__(self) -> None:
        self._values: dict[str, int] = {}

    def get(self, key: str, default: int) -> int:
        """Return what is kept."""
        return self._values.get(key, default)

    def set(self, key: str, value: int) -> None:
        """Keep a number."""
        self._values[key] = value


class FailedPolls:
    """Count the polls that failed in a row, and say when there are too many.

    :param limit: so many are tolerated
    :param memory: where the count is kept; it has to outlive a poll
    """

    def __init__(self, limit: int, memory: Memory) -> None:
        self._limit = limit
        self._memory = memory

    def tolerate(self, error: OktaWorkflowsError) -> None:
        """Count a failed poll, or raise its error if it is one too many or will not pass.

        :param error: what the poll ended with
        """
        count = self._memory.get(_NAME, 0) + 1
        if count > self._limit or not is_transient(error):
            raise error
        log.warning("Poll failed, %d of %d in a row: %s", count, self._limit, error)
        self._memory.set(_NAME, count)

    def forget(self) -> None:
        """Begin to count anew after a poll that went well."""
        if self._memory.get(_NAME, 0):
            self._memory.set(_NAME, 0)
