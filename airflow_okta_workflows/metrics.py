"""Metrics through Airflow's own client, if ``[metrics]`` turns on StatsD, Datadog or OpenTelemetry."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from functools import cache
from typing import Any

from airflow.providers.common.compat.sdk import conf

log = logging.getLogger(__name__)

_PREFIX = "okta_workflows."
_BACKENDS = ("statsd_on", "statsd_datadog_enabled", "otel_on")


class _Harmless:
    """Context manager that suppresses the errors of what only observes, and logs the first of a process.

    A metrics client, a span processor or an exporter may be anyone's. What it raises must not decide what becomes of an
    invocation: a flow that has run would count as unknown.
    """

    __slots__ = ("_warned_in",)

    def __init__(self) -> None:
        self._warned_in = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        if self._warned_in != os.getpid():
            self._warned_in = os.getpid()
            # Only the class: the message may quote anything.
            log.warning(
                "Metrics or traces cannot be sent: %s. Invocations go on without them, and further errors are not"
                " logged. Check [metrics], [traces] and the span processors of this Airflow.",
                f"{kind.__module__}.{kind.__qualname__}",
            )
        return True


harmless = _Harmless()
"""Suppresses the errors of what only observes: ``with harmless: …``."""


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
        with harmless:
            stats.incr(_PREFIX + name, value, tags=tags)


def timing(name: str, seconds: float, **tags: str) -> None:
    """Record a duration.

    :param name: its name, without the prefix
    :param seconds: the duration in seconds
    :param tags: its tags; their values have to come from a bounded set
    """
    if stats := _stats():
        with harmless:
            # A timedelta, because Airflow 2 takes numbers for seconds or milliseconds, depending on its configuration.
            stats.timing(_PREFIX + name, timedelta(seconds=seconds), tags=tags)


def gauge(name: str, value: float, **tags: str) -> None:
    """Set a gauge.

    :param name: its name, without the prefix
    :param value: its value
    :param tags: its tags; their values have to come from a bounded set
    """
    if stats := _stats():
        with harmless:
            stats.gauge(_PREFIX + name, value, tags=tags)


@cache
def _stats() -> Any:
    with harmless:
        # Not imported without need: outside of a task, Stats brings along much of Airflow.
        if any(conf.getboolean("metrics", name, fallback=False) for name in _BACKENDS):
            from airflow.providers.common.compat.sdk import Stats

            return Stats
    return None
