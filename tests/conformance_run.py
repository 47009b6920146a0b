"""A run of the conformance probes against a local org, on which no time really passes."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.conformance.recipes import SLOW_SECONDS, add_conformance_flows, find_flows
from airflow_okta_workflows.conformance.run import run_probes
from airflow_okta_workflows.conformance.session import Session
from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.emulator import Flow, LocalOrg
from airflow_okta_workflows.emulator.profile import OrgRules
from airflow_okta_workflows.transport.h11_transport import H11Transport
from tests.conftest import World

if TYPE_CHECKING:
    from airflow_okta_workflows.conformance.findings import Finding
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings

CUT_OFF_AFTER = 0.05
"""Seconds after which a run is really cut off, whatever the org's time limit."""


class QuickOrg(LocalOrg):
    """A local org with the flows of the recipes, whose slow flow lets the time of its world pass."""

    def __init__(self, world: World, **options: Any) -> None:
        super().__init__(clock=lambda: world.now, **options)
        add_conformance_flows(self)

        async def slow(_: Any) -> Any:
            world.now += min(SLOW_SECONDS, self.time_limit or SLOW_SECONDS)
            if self.time_limit:
                await asyncio.sleep(SLOW_SECONDS)
            return {"status": "DONE"}

        self.flow("conformance_slow")(slow)

    def run_timeout(self, flow: Flow) -> asyncio.Timeout:
        is_cut_off = self.time_limit and flow.name == "conformance_slow"
        return asyncio.timeout(CUT_OFF_AFTER if is_cut_off else None)


def settings_of(org: LocalOrg, **extra: Any) -> OktaWorkflowsSettings:
    connection = org.connection(**extra)
    fields = {"conn_id": "okta", "schema": None, "port": None, **connection}
    return parse_connection(
        SimpleNamespace(**{**fields, "extra": json.dumps(connection["extra"])}), connection["extra"]
    )


def run_against(org: LocalOrg, world: World, *, rate: bool = True, compared_with: Any = None, **extra: Any) -> Session:
    """Run all probes against an org, and return the session with its findings."""
    settings = settings_of(org, **extra)
    with closing(H11Transport(settings)) as transport:
        session = Session(settings, transport, world.runtime(), OrgRules(compared_with), lambda _: None)
        run_probes(session, find_flows(settings, {}), rate=rate)
    return session


def results(session: Session, *wanted: str) -> list[str]:
    """Return the numbers of the rules with one of these results, or whose probe failed if ``failed`` is among them."""
    found: list[Finding] = session.findings.all()
    return [one.rule.id for one in found if one.result.value in wanted or ("failed" in wanted and one.failed)]
