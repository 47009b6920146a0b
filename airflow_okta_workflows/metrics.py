"""Metrics through Airflow's own client, if ``[metrics]`` turns on StatsD, Datadog or OpenTelemetry."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from airflow.providers.common.compat.sdk import conf

_PREFIX = "okta_workflows."
_BACKENDS = ("statsd_on", "statsd_datadog_enabled", "otel_on")


def are_on() -> bool:
    """Return whether Airflow sends metrics anywhere."""
    return _stats() is not None


def count(name: str, value: int = 1, **tags: str) -> None:
    """Increase a counter.

    :param name: its name, without the prefix
    :param value: by how much
    :param tags: its tags; their values have to come from a bounded set
    """
    if stats := _stats():
        stats.incr(_PREFIX + name, value, tags=tags)


def timing(name: str, seconds: float, **tags: str) -> None:
    """Record a duration.

    :param name: its name, without the prefix
    :param seconds: the duration in seconds
    :param tags: its tags; their values have to come from a bounded set
    """
    if stats := _stats():
        # A timedelta, because Airflow 2 takes numbers for seconds or milliseconds, depending on its configuration.
        stats.timing(_PREFIX + name, timedelta(seconds=seconds), tags=tags)


def gauge(name: str, value: float, **tags: str) -> None:
    """Set a gauge.

    :param name: its name, without the prefix
    :param value: its value
    :param tags: its tags; their values have to come from a bounded set
    """
    if stats := _stats():
        stats.gauge(_PREFIX + name, value, tags=tags)


@cache
def _stats() -> Any:
    # Not imported without need: outside of a task, Stats brings along much of Airflow.
    if not any(conf.getboolean("metrics", name, fallback=False) for name in _BACKENDS):
        return None
    from airflow.providers.common.compat.sdk import Stats

    return Stats
