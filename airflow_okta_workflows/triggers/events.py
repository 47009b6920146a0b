"""Events that the triggers fire, and their validation by the operator and the sensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaWorkflowsError

if TYPE_CHECKING:
    from collections.abc import Collection

SETTLED = "settled"
"""A condition of the sensor is true: ``{"outcome": "settled"}``."""
TIMEOUT = "timeout"
"""The deadline of the sensor is past: ``{"outcome": "timeout"}``."""
ERROR = "error"
"""The status flow could not be polled: ``{"outcome": "error", "reason": <the error's class>}``."""
STATUS_OUTCOMES = (SETTLED, TIMEOUT, ERROR)
CANCELLED_WITHIN = 3.0
"""Seconds that a ``cancel_flow`` gets: Airflow kills a task's process after five."""
GRACE = 60.0
"""Seconds past the deadline that a busy triggerer gets before Airflow itself ends the deferral."""

ENCRYPTED = "encrypted"
"""The response, or the error, of an invocation: ``{"outcome": "encrypted", "result": <string>}``."""
NOT_HANDED_OVER = "not_handed_over"
"""The worker has to invoke the flow itself: ``{"outcome": "not_handed_over", "reason": <string>}``."""
INVOCATION_OUTCOMES = (ENCRYPTED, NOT_HANDED_OVER)


def require_outcome(event: Any, outcomes: Collection[str], task_id: str) -> str:
    """Return the outcome of an event.

    :param event: the event, as Airflow passes it to the task
    :param outcomes: the outcomes that the task knows
    :param task_id: the task's id
    :raises OktaWorkflowsError: if the outcome is not one of them, for example after an upgrade of only the triggerer
    """
    outcome = event.get("outcome") if isinstance(event, dict) else None
    if outcome not in outcomes:
        raise OktaWorkflowsError(
            f"The trigger of {task_id!r} fired an event that is not known here: {shown(outcome)}.",
            hint="OKW-1605: Install the same version of this provider on the triggerer and the workers.",
        )
    return str(outcome)
