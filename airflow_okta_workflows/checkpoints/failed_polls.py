"""What a sensor remembers from poll to poll: the number of consecutive failures, and whether it has warned."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from airflow_okta_workflows.exceptions import OktaWorkflowsError, is_transient

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

MOST_FAILED_POLLS = 1_000_000
"""Upper bound of a sensor's ``max_failed_polls``."""

_NAME = "okta_workflows_failed_polls"
_WARNED = "okta_workflows_warned"


class Memory(Protocol):
    """A key-value store, such as Airflow's task state store."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stored value."""

    def set(self, key: str, value: Any) -> None:
        """Store a value."""


class ProcessMemory:
    """A store that lasts as long as this process."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stored value."""
        return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Store a value."""
        self._values[key] = value


class FailedPolls:
    """A counter of consecutive failed polls, with a limit.

    :param limit: the number of consecutive failed polls to tolerate
    :param memory: stores the count; it has to outlive a poll
    :param attempt: identifies this try of the task: polls of other tries do not count
    """

    def __init__(self, limit: int, memory: Memory, attempt: str = "") -> None:
        self._limit = limit
        self._memory = memory
        self._attempt = attempt

    def record_failure(self, error: OktaWorkflowsError) -> None:
        """Count a failed poll, or raise its error if the limit is exceeded or the error is not transient.

        :param error: what the poll ended with
        """
        count = self._count() + 1
        if count > self._limit or not is_transient(error):
            raise error
        log.warning("Poll failed, %d of %d in a row: %s", count, self._limit, error)
        self._keep(count)

    def reset(self) -> None:
        """Reset the count after a successful poll."""
        if self._count():
            self._keep(0)

    def _count(self) -> int:
        kept = self._memory.get(_NAME, None)
        # Stored by another try, or by a version of this provider with another format.
        if not isinstance(kept, dict) or kept.get("attempt") != self._attempt:
            return 0
        count = kept.get("count")
        return count if isinstance(count, int) and count > 0 else 0

    def _keep(self, count: int) -> None:
        self._memory.set(_NAME, {"attempt": self._attempt, "count": count})


class SensorMemory:
    """What a sensor remembers from poll to poll.

    This process remembers it, or Airflow's task state store (3.3+) where each poll runs in a process of its own.
    """

    def __init__(self) -> None:
        self._process = ProcessMemory()
        self.warned = False

    def failed_polls(self, context: Mapping[str, Any], limit: int, *, across_processes: bool) -> FailedPolls:
        """Return the counter of failed polls.

        :param context: the task's context
        :param limit: the number of consecutive failed polls to tolerate
        :param across_processes: whether each poll runs in a process of its own
        """
        memory = _store(context) if across_processes else self._process
        if memory is None:
            # Without a store, failed polls cannot be counted across processes, so none may fail.
            limit, memory = 0, self._process
        return FailedPolls(limit, memory, _attempt(context))

    def is_first_warning(self, context: Mapping[str, Any], *, across_processes: bool) -> bool:
        """Return whether this try of the task has not warned yet, and record that it now has.

        :param context: the task's context
        :param across_processes: whether each poll runs in a process of its own
        """
        if self.warned:
            return False
        self.warned = True
        if not across_processes:
            return True
        if (store := _store(context)) is not None:
            if store.get(_WARNED, None) == _attempt(context):
                return False
            store.set(_WARNED, _attempt(context))
            return True
        first_reschedule = getattr(context["ti"], "get_first_reschedule_date", None)  # Airflow 3
        return not (first_reschedule and first_reschedule(context))


def _store(context: Mapping[str, Any]) -> Memory | None:
    return context.get("task_state_store")


def _attempt(context: Mapping[str, Any]) -> str:
    """Return a string that identifies a try of a task, also among the tries before the task was cleared."""
    ti = context["ti"]
    return f"{ti.try_number}/{ti.max_tries}"
