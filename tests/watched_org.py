"""A local org whose client assertions a test can look for."""

from __future__ import annotations

from typing import Any

from airflow_okta_workflows.emulator import LocalOrg


class WatchedOrg(LocalOrg):
    """A local org that keeps the assertions it was sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.assertions: list[str] = []

    def on_assertion(self, assertion: str) -> None:
        self.assertions.append(assertion)
