"""The configured pace: ``[okta_workflows] pace`` and ``flow_rate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import conf

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.retry.pacer import FLOW_RATE, check_rate
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.pace.turns import ProcessTurns
from airflow_okta_workflows.private_directory import configured_directory

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_okta_workflows.pace.turns import Turns


@dataclass(frozen=True)
class Pace:
    """The pace of all flows.

    :param mode: who shares it: ``host``, ``process`` or ``off``
    :param flow_rate: invocations per second of each flow
    :param directory: the private directory, for ``host``; None if the user has no home directory for it
    """

    mode: str
    flow_rate: float = FLOW_RATE
    directory: Path | None = None
    _turns: dict[str, Turns] = field(default_factory=dict, init=False, repr=False, compare=False)

    def turns(self, url: str) -> Turns | None:
        """Return the turns of a flow, which all users of this object share; None if it is invoked without.

        :param url: the flow's invoke URL
        """
        if self.mode == "off":
            return None
        if (turns := self._turns.get(url)) is None:
            # setdefault: two threads may come at the same time.
            turns = self._turns.setdefault(url, self._new_turns(url))
        return turns

    def turns_of_share(self, url: str, max_rate: float) -> tuple[Turns, ...]:
        """Return the turns of a caller that invokes a flow often: its own, the shared ones, or both in this order.

        :param url: the flow's invoke URL
        :param max_rate: the caller's own limit, in invocations per second
        """
        shared = self.turns(url)
        if shared is None:
            return (ProcessTurns(max_rate),)
        return (ProcessTurns(max_rate), shared) if max_rate < self.flow_rate else (shared,)

    def _new_turns(self, url: str) -> Turns:
        if self.mode == "process":
            return ProcessTurns(self.flow_rate)
        from airflow_okta_workflows.pace.host import HostTurns

        return HostTurns(self.directory, url, self.flow_rate)


_paces: dict[Pace, Pace] = {}
"""The paces that were configured in this process, one for each configuration."""


def configured_pace() -> Pace:
    """Return the pace that the config specifies, the same object for all callers in this process.

    :raises OktaConfigurationError: for a value that cannot be used
    """
    mode = conf.get("okta_workflows", "pace", fallback="host").strip().lower()
    if mode not in ("host", "process", "off"):
        raise OktaConfigurationError(
            f"[okta_workflows] pace is {shown(mode, 20)}.", hint="OKW-1802: Set it to host, process or off."
        )
    configured = conf.get("okta_workflows", "flow_rate", fallback=str(FLOW_RATE)).strip()
    try:
        flow_rate = float(configured)
        check_rate(flow_rate, "flow_rate")
    except (ValueError, CoreError):
        raise OktaConfigurationError(
            f"[okta_workflows] flow_rate is {shown(configured, 20)}.",
            hint="OKW-1803: Set it to the invocations per second that Okta allows for one flow, such as 10.",
        ) from None
    pace = Pace(mode, flow_rate, configured_directory() if mode == "host" else None)
    return _paces.setdefault(pace, pace)
