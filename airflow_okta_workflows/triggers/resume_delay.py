"""Earliest time at which a trigger may fire."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import conf

_LINGERING = 1.0


def resume_not_before(now: float) -> float:
    """Return the earliest time at which a task that defers now may resume, in seconds since the epoch.

    After a deferral the worker's supervisor stays for up to one heartbeat. If the task resumes before the supervisor
    has exited, the scheduler takes the task for failed (Airflow 3.3: "the executor reported success, but the task
    instance's state attribute is queued").

    :param now: the current time, in seconds since the epoch
    """
    heartbeat: float = conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0)
    return now + heartbeat + _LINGERING
