"""How many polls of a sensor have failed in a row."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from airflow_okta_workflows.exceptions import OktaWorkflowsError, is_transient

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

MOST_FAILED_POLLS = 1_000_000
"""That may be tolerated."""

_NAME = "okta_workflows_failed_polls"


class Memory(Protocol):
    """A place that keeps values, such as Airflow's task state store."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is kept."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""


class ProcessMemory:
    """A memory that lasts as long as this process."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is kept."""
        return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self._values[key] = value


class FailedPolls:
    """Count the polls that failed in a row, and say when there are too many.

    :param limit: so many are tolerated
    :param memory: where the count is kept; it has to outlive a poll
    :param attempt: what tells this try of the task from others: their polls do not count
    """

    def __init__(self, limit: int, memory: Memory, attempt: str = "") -> None:
        self._limit = limit
        self._memory = memory
        self._attempt = attempt

    def record_failure(self, error: OktaWorkflowsError) -> None:
        """Count a failed poll, or raise its error if it is one too many or will not pass.

        :param error: what the poll ended with
        """
        count = self._count() + 1
        if count > self._limit or not is_transient(error):
            raise error
        log.warning("Poll failed, %d of %d in a row: %s", count, self._limit, error)
        self._keep(count)

    def reset(self) -> None:
        """Start the count again after a poll that went well."""
        if self._count():
            self._keep(0)

    def _count(self) -> int:
        kept = self._memory.get(_NAME, None)
        # Another try's, or of a version that keeps it in another form.
        if not isinstance(kept, dict) or kept.get("attempt") != self._attempt:
            return 0
        count = kept.get("count")
        return count if isinstance(count, int) and count > 0 else 0

    def _keep(self, count: int) -> None:
        self._memory.set(_NAME, {"attempt": self._attempt, "count": count})


def attempt_of(context: Mapping[str, Any]) -> str:
    """Return what tells a try of a task from its other tries, those before it was cleared included.

    :param context: the task's context
    """
    ti = context["ti"]
    return f"{ti.try_number}/{ti.max_tries}"
