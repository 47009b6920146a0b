"""A local org whose client assertions a test can search for."""

from __future__ import annotations

from typing import Any

from airflow_okta_workflows.emulator import LocalOrg

JWT_START = "eyJhbGciOi"
"""How each client assertion and each access token of a local org begins: ``{"alg":``. A shorter beginning is sometimes part
of a random kid."""


class WatchedOrg(LocalOrg):
    """Local org that records the client assertions that it receives."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.assertions: list[str] = []

    def on_assertion(self, assertion: str) -> None:
        self.assertions.append(assertion)
