"""A pace in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from airflow_okta_workflows.core.retry.pacer import Pacer
from airflow_okta_workflows.pace.host import HostTurns


class VirtualHostTurns(HostTurns):
    """Turns of a host whose clock shows what the last caller passed."""

    def __init__(self, directory: Path | None, url: str, rate: float) -> None:
        super().__init__(directory, url, rate, lambda: self.now)
        self.now = 0.0

    def change(self, now: float, change: Callable[[Pacer, float], float]) -> float | None:
        self.now = now
        return super().change(now, change)
