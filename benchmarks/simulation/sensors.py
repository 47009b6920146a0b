"""Simulated deferred sensors that share a status flow, in one triggerer and in several."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.client.loop_resources import LoopResources
from airflow_okta_workflows.pace.configured import Pace
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
    """Flow of a triggerer with a simulated connection.

    :param hook: the triggerer's hook
    """

    hook: SimulatedHook = field(kw_only=True)

    async def _read_settings(self) -> OktaWorkflowsSettings:
        return await self.hook.asettings()


class _Resources(LoopResources):
    """Resources of a simulated triggerer's event loop.

    :param hook: the triggerer's hook
    :param clock: monotonic clock, in seconds
    """

    def __init__(self, hook: SimulatedHook, clock: Callable[[], float]) -> None:
        session: Any = None  # not used
        super().__init__(session, clock, Pace("process"))
        self._hook = hook

    def client(self, *_: Any) -> AsyncFlowClient:
        """Return the triggerer's client."""
        return self._hook.client


@dataclass
class _Triggerer:
    """What the triggers of one triggerer share.

    :param hook: the triggerer's hook
    :param resources: resources of its event loop
    """

    hook: SimulatedHook
    resources: LoopResources


class _Trigger(OktaFlowStatusTrigger):
    """Trigger of a sensor, in a triggerer with a simulated network."""

    def __init__(self, triggerer: _Triggerer, org: SimulatedOrg, poke_interval: float) -> None:
        super().__init__(flow=FLOW, poke_interval=poke_interval, deadline=1e10, runtime=org.runtime)
        self._triggerer = triggerer

    @asynccontextmanager
    async def _invoker(self, **request: Any) -> AsyncIterator[_Flow]:
        request = {"payload": {"job": 1}, "method": "POST", **request}
        yield _Flow(self._triggerer.resources, CONN_ID, self._runtime, FLOW, request, hook=self._triggerer.hook)


@dataclass(frozen=True)
class Seen:
    """Result of a simulation.

    :param interval: mean seconds between two polls of one sensor
    :param refused: share of the polls that got 429
    :param look_ups: look-ups of the connection per hour, over all triggerers
    :param token_requests: total number of token requests
    """

    interval: float
    refused: float
    look_ups: float
    token_requests: int


def simulate(sensors: int, *, poke_interval: float, triggerers: int = 1, seconds: float) -> Seen:
    """Simulate sensors that wait for one flow.

    :param sensors: total number of sensors
    :param poke_interval: ``poke_interval`` of each sensor, in seconds
    :param triggerers: number of triggerers over which the sensors are spread
    :param seconds: duration of the measurement, once all sensors have started
    """
    return in_virtual_time(_simulate(sensors, poke_interval, triggerers, seconds))


async def _simulate(sensors: int, poke_interval: float, count: int, seconds: float) -> Seen:
    org = SimulatedOrg(random.Random(4), Network(jitter=0.002), lambda: FLOW_SECONDS)
    clock = org.runtime.monotonic
    # Each triggerer has its own pacer, look-ups and connections.
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
    """Compare the page's formulas for sensors with simulations.

    :param formulas: the page's formulas
    :param quick: whether to run shorter simulations
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
