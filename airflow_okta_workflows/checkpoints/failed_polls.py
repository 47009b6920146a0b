"""What a sensor remembers from poll to poll: how many in a row failed or were slow, and whether it has warned."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from airflow_okta_workflows.exceptions import OktaWorkflowsError, is_transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.pace.slow_polls import SlowPolls

log = logging.getLogger(__name__)

MOST_FAILED_POLLS = 1_000_000
"""Upper bound of a sensor's ``max_failed_polls``."""

_NAME = "okta_workflows_failed_polls"
_WARNED = "okta_workflows_warned"
_SLOW = "okta_workflows_slow_polls"
_WARNED_OF_SLOW = "okta_workflows_warned_of_slow_polls"


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


class _Count:
    """A number of consecutive polls, which a memory stores.

    :param name: its name in the memory
    :param memory: stores the number; it has to outlive a poll
    :param attempt: identifies this try of the task: polls of other tries do not count
    """

    def __init__(self, name: str, memory: Memory, attempt: str) -> None:
        self._name = name
        self._memory = memory
        self._attempt = attempt

    def value(self) -> int:
        """Return the number."""
        kept = self._memory.get(self._name, None)
        # Stored by another try, or by a version of this provider with another format.
        if not isinstance(kept, dict) or kept.get("attempt") != self._attempt:
            return 0
        count = kept.get("count")
        return count if isinstance(count, int) and count > 0 else 0

    def keep(self, count: int) -> None:
        """Store the number."""
        self._memory.set(self._name, {"attempt": self._attempt, "count": count})


class FailedPolls:
    """A counter of consecutive failed polls, with a limit.

    :param limit: the number of consecutive failed polls to tolerate
    :param memory: stores the count; it has to outlive a poll
    :param attempt: identifies this try of the task: polls of other tries do not count
    """

    def __init__(self, limit: int, memory: Memory, attempt: str = "") -> None:
        self._limit = limit
        self._count = _Count(_NAME, memory, attempt)

    def record_failure(self, error: OktaWorkflowsError) -> None:
        """Count a failed poll, or raise its error if the limit is exceeded or the error is not transient.

        :param error: what the poll ended with
        """
        count = self._count.value() + 1
        if count > self._limit or not is_transient(error):
            raise error
        log.warning("Poll failed, %d of %d in a row: %s", count, self._limit, error)
        self._count.keep(count)

    def reset(self) -> None:
        """Reset the count after a successful poll."""
        if self._count.value():
            self._count.keep(0)


class SensorMemory:
    """What a sensor remembers from poll to poll.

    This process remembers it, or Airflow's task state store (3.3+) where each poll runs in a process of its own.
    """

    def __init__(self) -> None:
        self._process = ProcessMemory()
        self.warned = False
        self.warned_of_slow = False

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
        warned, self.warned = self.warned, True
        return not warned and self._is_first(_WARNED, context, across_processes=across_processes)

    def record_wait(
        self, context: Mapping[str, Any], polls: SlowPolls, waited: float, *, across_processes: bool
    ) -> None:
        """Record the wait of one poll for its turns; warn once in this try of the task if its polls stay slow.

        :param context: the task's context
        :param polls: the polls of this process
        :param waited: how long the poll waited, in seconds
        :param across_processes: whether each poll runs in a process of its own
        """
        store = _store(context) if across_processes else None
        count = _Count(_SLOW, self._process if store is None else store, _attempt(context))
        before = polls.in_a_row = count.value()
        slow = polls.record(waited)
        if polls.in_a_row != before:
            count.keep(polls.in_a_row)
        if slow and not self.warned_of_slow:
            self.warned_of_slow = True
            if self._is_first(_WARNED_OF_SLOW, context, across_processes=across_processes):
                polls.warn(waited)

    def _is_first(self, name: str, context: Mapping[str, Any], *, across_processes: bool) -> bool:
        if not across_processes:
            return True
        if (store := _store(context)) is not None:
            if store.get(name, None) == _attempt(context):
                return False
            store.set(name, _attempt(context))
            return True
        first_reschedule = getattr(context["ti"], "get_first_reschedule_date", None)  # Airflow 3
        return not (first_reschedule and first_reschedule(context))


def _store(context: Mapping[str, Any]) -> Memory | None:
    return context.get("task_state_store")


def _attempt(context: Mapping[str, Any]) -> str:
    """Return a string that identifies a try of a task, also among the tries before the task was cleared."""
    ti = context["ti"]
    return f"{ti.try_number}/{ti.max_tries}"
