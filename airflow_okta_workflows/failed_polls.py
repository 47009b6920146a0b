"""How many polls of a sensor have failed in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.exceptions import OktaWorkflowsError, is_transient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor

_NAME = "okta_workflows_failed_polls"


class FailedPolls:
    """Count the polls that failed in a row, and say when there are too many.

    In ``mode="reschedule"`` each poll has a process of its own, and the count lives in the task state store (Airflow
    3.3+); without one, no failure is tolerated there.

    :param sensor: the sensor
    :param context: the task's context
    """

    def __init__(self, sensor: OktaFlowSensor, context: Mapping[str, Any]) -> None:
        self._sensor = sensor
        self._rescheduled = sensor.reschedule and not sensor.deferrable
        self._store: Any = context.get("task_state_store") if self._rescheduled else None

    def tolerate(self, error: OktaWorkflowsError) -> None:
        """Count a failed poll, or raise its error if it is one too many or will not pass.

        :param error: what the poll ended with
        """
        if not is_transient(error) or (self._rescheduled and self._store is None):
            raise error
        count = self._count() + 1
        if count > self._sensor.max_failed_polls:
            raise error
        self._sensor.log.warning("Poll failed, %d of %d in a row: %s", count, self._sensor.max_failed_polls, error)
        self._set(count)

    def forget(self) -> None:
        """Begin to count anew after a poll that went well."""
        if self._count():
            self._set(0)

    def _count(self) -> int:
        return int(self._store.get(_NAME, 0) or 0) if self._store is not None else self._sensor.failed_polls

    def _set(self, count: int) -> None:
        if self._store is not None:
            self._store.set(_NAME, count)
        else:
            self._sensor.failed_polls = count
