"""When a trigger may fire at the earliest."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import conf

_LINGERING = 1.0


def resume_not_before(now: float) -> float:
    """Return the moment from which a task that defers now may be taken up again, in seconds since the epoch.

    After a deferral the worker's supervisor lingers for up to one of its heartbeats. A task that is back before it has
    gone is taken for a failed one by the scheduler (Airflow 3.3: "the executor reported success, but the task
    instance's state attribute is queued").

    :param now: the current time, in seconds since the epoch
    """
    heartbeat: float = conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0)
    return now + heartbeat + _LINGERING
