"""Deferred sensors that share a status flow, in one triggerer and in several."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.client.loop_resources import LoopResources
from airflow_okta_workflows.triggers.invoker import TriggererInvoker
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
from benchmarks.simulation.comparison import Row, about, at_most, exactly
from benchmarks.simulation.org import CONN_ID, FLOW, Network, SimulatedHook, SimulatedOrg
from benchmarks.simulation.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from benchmarks.simulation.comparison import Formulas

FLOW_SECONDS = 0.5


@dataclass
class _Flow(TriggererInvoker):
    """Be the flow over a simulated connection.

    :param hook: the triggerer's hook
    """

    hook: SimulatedHook = field(kw_only=True)

    async def _read_settings(self) -> OktaWorkflowsSettings:
        return await self.hook.asettings()


class _Resources(LoopResources):
    """What the loop of a simulated triggerer shares.

    :param hook: its connection
    :param clock: gives seconds that never go back
    """

    def __init__(self, hook: SimulatedHook, clock: Callable[[], float]) -> None:
        session: Any = None  # not used
        super().__init__(session, clock)
        self._hook = hook

    def client(self, *_: Any) -> AsyncFlowClient:
        """Return the triggerer's client."""
        return self._hook.aclient(self)


@dataclass
class _Triggerer:
    """Hold what the triggers of one triggerer share.

    :param hook: its connection
    :param resources: what its loop shares
    """

    hook: SimulatedHook
    resources: LoopResources


class _Trigger(OktaFlowStatusTrigger):
    """Be a sensor's trigger, in a triggerer whose network is simulated."""

    def __init__(self, triggerer: _Triggerer, org: SimulatedOrg, poke_interval: float) -> None:
        super().__init__(FLOW, poke_interval=poke_interval, deadline=1e10, runtime=org.runtime)
        self._triggerer = triggerer

    @asynccontextmanager
    async def _invoker(self, **request: Any) -> AsyncIterator[_Flow]:
        request = {"payload": {"job": 1}, "method": "POST", **request}
        yield _Flow(self._triggerer.resources, CONN_ID, self._runtime, FLOW, request, hook=self._triggerer.hook)


@dataclass(frozen=True)
class Seen:
    """Hold what came of it.

    :param interval: seconds between two polls of one sensor, on average
    :param refused: the share of polls that were answered 429
    :param look_ups: look-ups of the connection in an hour, of all triggerers
    :param token_requests: token requests in all
    """

    interval: float
    refused: float
    look_ups: float
    token_requests: int


def simulate(sensors: int, *, poke_interval: float, triggerers: int = 1, seconds: float) -> Seen:
    """Let sensors on one flow wait.

    :param sensors: how many there are in all
    :param poke_interval: seconds between two polls of one sensor, as it is asked for
    :param triggerers: over how many triggerers they are spread
    :param seconds: for how long, once all have begun
    """
    return in_virtual_time(_simulate(sensors, poke_interval, triggerers, seconds))


async def _simulate(sensors: int, poke_interval: float, count: int, seconds: float) -> Seen:
    org = SimulatedOrg(random.Random(4), Network(jitter=0.002), lambda: FLOW_SECONDS)
    clock = org.runtime.monotonic
    # Pace, look-ups and connections are each triggerer's own.
    hooks = [SimulatedHook(org, f"triggerer {number}") for number in range(count)]
    triggerers = [_Triggerer(hook, _Resources(hook, clock)) for hook in hooks]
    waits = [
        asyncio.ensure_future(anext(_Trigger(triggerers[number % count], org, poke_interval).run()))
        for number in range(sensors)
    ]
    begin = max(2 * poke_interval, sensors / 4)
    await asyncio.sleep(begin)
    before = sum(triggerer.hook.look_ups for triggerer in triggerers)
    await asyncio.sleep(seconds)
    look_ups = sum(triggerer.hook.look_ups for triggerer in triggerers) - before
    if ended := [wait for wait in waits if wait.done()]:
        raise RuntimeError(f"{len(ended)} of {sensors} sensors have ended: {ended[0]}")
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return Seen(
        interval=sensors * seconds / org.ran(begin),
        refused=org.refused_share(begin),
        look_ups=look_ups / seconds * 3600,
        token_requests=org.token_requests,
    )


def rows(formulas: Formulas, *, quick: bool) -> list[Row]:
    """Compare what the page says of sensors with what a simulation of them shows.

    :param formulas: what the page says
    :param quick: in the small form
    """
    latency = FLOW_SECONDS + 0.044
    found = []
    for sensors in (100, 700) if quick else (300, 1_000):
        interval = formulas["poll_interval"](sensors, poke_interval=60, latency=latency)
        seen = simulate(sensors, poke_interval=60, seconds=(2 if quick else 10) * interval)
        found.append(about(f"{sensors:,} sensors on one flow: seconds between polls of one", interval, seen.interval))
    sensors, triggerers = (250, 2) if quick else (900, 3)
    interval = formulas["poll_interval"](sensors, poke_interval=20, latency=latency)
    seen = simulate(sensors, poke_interval=20, triggerers=triggerers, seconds=20 * interval)
    what = f"{sensors:,} sensors on one flow, in {triggerers} triggerers"
    return [
        *found,
        about(f"{what}: seconds between polls of one", interval, seen.interval, tolerance=0.1),
        at_most(f"{what}: 429 in 100 requests", formulas["refused_in_100"](triggerers), 100 * seen.refused),
        about(
            f"{what}: look-ups of the connection an hour",
            formulas["look_ups_an_hour"](triggerers, connections=1),
            seen.look_ups,
            tolerance=0.1,
        ),
        exactly(f"{what}: token requests", triggerers, seen.token_requests),
    ]
