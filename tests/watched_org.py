"""A local org whose client assertions a test can search for."""

from __future__ import annotations

from typing import Any

from airflow_okta_workflows.emulator import LocalOrg


def without_kid(text: str, org: LocalOrg) -> str:
    """Return a text without the kid of the org's key, which is random: it may contain ``eyJ``, with which JWTs begin."""
    return text.replace(org.private_jwk["kid"], "")


class WatchedOrg(LocalOrg):
    """Local org that records the client assertions that it receives."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.assertions: list[str] = []

    def on_assertion(self, assertion: str) -> None:
        self.assertions.append(assertion)
