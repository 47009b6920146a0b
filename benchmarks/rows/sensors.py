"""A thousand deferred sensors on one event loop: our trigger, the http provider's, and a bare aiohttp session."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from airflow.providers.http.triggers.http import HttpSensorTrigger

from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
from benchmarks.airflow_environment import HTTP_CONN_ID, connect, connect_http, log_as_in_a_task
from benchmarks.figures import Figure, alone, at_most, at_most_times, compare
from benchmarks.measuring import LoopWatch, alternate, become_warm_parent, cost_of, in_fork, resident_bytes
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import hand_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow.triggers.base import BaseTrigger

    from benchmarks.figures import Target, Unit

OURS, HTTP, BARE = "ours", "HttpSensorTrigger", "a bare aiohttp session"
PAYLOAD = {"job_id": "1b671a64-40d5-491e-99b0-da01ff1f3341"}
PATIENCE = 120.0


@dataclass(frozen=True)
class Plan:
    """Size of a measurement.

    :param sensors: number of waiting sensors
    :param flows: number of status flows over which they are spread
    :param interval: seconds between two polls of one sensor
    :param polls: number of measured polls of each sensor, after the first one
    :param rounds: number of rounds
    :param at_once: whether all sensors start at the same moment, instead of evenly over an interval
    """

    sensors: int
    flows: int
    interval: float
    polls: int
    rounds: int
    at_once: bool = False

    def delay(self, number: int) -> float:
        """Return the seconds after which a sensor starts.

        :param number: the sensor's index
        """
        return 0.0 if self.at_once else self.interval * number / self.sensors


@dataclass(frozen=True)
class Wait:
    """Cost of waiting.

    :param cpu_per_thousand: CPU seconds per 1,000 polls
    :param connections: TCP connections opened since the start
    :param token_requests: token requests since the start
    :param stall: longest stall of the loop after the first polls, in seconds of wall time
    :param own_stall: the same, in CPU seconds of the loop's thread
    :param first_stall: longest stall of the loop until all sensors had polled once, in seconds of wall time
    :param start_cpu: CPU seconds until all sensors had polled once
    :param memory: growth of the resident memory, in bytes per trigger
    """

    cpu_per_thousand: float
    connections: int
    token_requests: int
    stall: float
    own_stall: float
    first_stall: float
    start_cpu: float
    memory: float


Waits = dict[str, list[Wait]]
Polls = list[Coroutine[Any, Any, None]]
"""One coroutine per sensor, which polls without end."""


def measure(*, quick: bool) -> list[Figure]:
    """Compare what waiting sensors cost.

    :param quick: whether to run in quick mode
    """
    spread = Plan(40, 10, 0.5, 2, 1) if quick else Plan(1000, 125, 3.0, 2, 5)
    at_once = replace(spread, at_once=True)
    log_as_in_a_task()
    # The http provider's sensor waits as long as it gets 404.
    running = [FlowPlan(f"running-{number}") for number in range(spread.flows)]
    missing = [FlowPlan(f"missing-{number}", status=404) for number in range(spread.flows)]
    with OrgProcess([*running, *missing]) as org:
        token = hand_script.ask_for_token(org.token_url, org.client_id, org.private_key_pem, org.key_id)
        connect(CONN_ID, org.connection)
        connect_http(org.url, token)
        OktaWorkflowsHook().settings  # noqa: B018  # imports in the parent what a triggerer has loaded
        gc.collect()
        collection = cost_of(gc.collect).cpu
        become_warm_parent()
        lines = _lines_when_spread(spread, _waits(org, token, spread)) + _lines_at_once(_waits(org, token, at_once))
    return [
        *lines,
        alone(
            "a full garbage collection of what Airflow imports",
            "ms",
            [1000 * collection],
            how="left out of the stalls; a triggerer has one now and then, whatever its triggers do",
        ),
    ]


def _waits(org: OrgProcess, token: str, plan: Plan) -> Waits:
    def ours() -> Polls:
        return [_fire(_our_trigger(plan, number), plan.delay(number)) for number in range(plan.sensors)]

    def http() -> Polls:
        return [_fire(_http_trigger(org, plan, number), plan.delay(number)) for number in range(plan.sensors)]

    ways: dict[str, Callable[[], Polls]] = {OURS: ours, HTTP: http, BARE: partial(_bare_polls, org, token, plan)}
    return alternate(
        plan.rounds, {name: partial(in_fork, partial(_wait, org, plan, begin)) for name, begin in ways.items()}
    )


def _of(waits: Waits, name: str, attribute: str, scale: float = 1.0) -> list[float]:
    return [scale * getattr(wait, attribute) for wait in waits[name]]


def _beside(
    waits: Waits,
    peer: str,
    attribute: str,
    what: str,
    unit: Unit,
    how: str,
    target: Target | None = None,
    scale: float = 1.0,
) -> Figure:
    ours, others = _of(waits, OURS, attribute, scale), _of(waits, peer, attribute, scale)
    return compare(what, unit, ours, peer, others, how=how, target=target)


def _own_stall(waits: Waits, peer: str, many: str) -> Figure:
    how = "of the loop's thread between two such sleeps: without what else the machine did"
    return _beside(waits, peer, "own_stall", f"{many}: longest stall, CPU", "ms", how, scale=1000)


def _lines_when_spread(plan: Plan, waits: Waits) -> list[Figure]:
    many = f"{plan.sensors:,} sensors"
    how = (
        f"of the process; {plan.polls} polls each after the first, {plan.interval:g} s apart, begun one after the"
        f" other, over {plan.flows} flows; median of {plan.rounds} rounds"
    )
    cpu = partial(_beside, waits, attribute="cpu_per_thousand", what=f"{many}: CPU per 1,000 polls", unit="s")
    late = "lateness of asyncio.sleep(0.005), after the first polls"
    stall = partial(_beside, waits, attribute="stall", what=f"{many}: longest stall of the loop", unit="ms", scale=1000)
    return [
        cpu(HTTP, how=how),
        cpu(BARE, how="the floor", target=at_most_times(1.25)),
        _beside(
            waits,
            HTTP,
            "token_requests",
            f"{many}: token requests",
            "",
            "at the org; the peer was given a ready token",
            at_most(1),
        ),
        _beside(waits, HTTP, "connections", f"{many}: connections opened", "", "at the org, first polls included"),
        stall(HTTP, how=late, target=at_most(20, "ms")),
        stall(BARE, how="the floor"),
        _own_stall(waits, HTTP, many),
        _own_stall(waits, BARE, many),
    ]


def _lines_at_once(waits: Waits) -> list[Figure]:
    many = "the same, begun at once"
    stall = partial(_beside, waits, attribute="stall", what=f"{many}: longest stall", unit="ms", scale=1000)
    return [
        stall(HTTP, how="as above, after the first polls", target=at_most(20, "ms")),
        stall(BARE, how="polls in step, as the peer does"),
        _own_stall(waits, HTTP, many),
        _own_stall(waits, BARE, many),
        _beside(
            waits,
            HTTP,
            "first_stall",
            f"{many}: longest stall at first",
            "ms",
            "until each has polled once",
            scale=1000,
        ),
        _beside(waits, HTTP, "start_cpu", f"{many}: CPU at first", "s", "until each has polled once"),
        _beside(
            waits,
            HTTP,
            "memory",
            "memory per trigger",
            "KiB",
            "growth of the resident set until all have polled, by their number",
            scale=1 / 1024,
        ),
        _beside(waits, BARE, "memory", "memory per trigger", "KiB", "the floor", scale=1 / 1024),
    ]


def _wait(org: OrgProcess, plan: Plan, begin: Callable[[], Polls]) -> Wait:
    """Run all sensors in this process, which does nothing else, with its own token cache."""
    org.forget()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR"] = folder
        return asyncio.run(_watched(org, plan, begin))


async def _watched(org: OrgProcess, plan: Plan, begin: Callable[[], Polls]) -> Wait:
    memory, start = resident_bytes(), time.process_time()
    async with LoopWatch() as watch:
        tasks = [asyncio.create_task(one) for one in begin()]
        deadline = time.monotonic() + PATIENCE
        while (await asyncio.to_thread(org.counts)).requests < plan.sensors:
            _require_waiting(tasks)
            if time.monotonic() > deadline:
                raise TimeoutError("the sensors have not polled once each")
            await asyncio.sleep(0.2)
        await asyncio.sleep(plan.interval / 2)
        memory = resident_bytes() - memory
        first = await asyncio.to_thread(org.counts)
        first_stall, cpu = watch.take(), time.process_time()
        await asyncio.sleep(plan.interval * plan.polls)
        end, stall, last = time.process_time(), watch.take(), org.counts()
        _require_waiting(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return Wait(
        cpu_per_thousand=1000 * (end - cpu) / (last.requests - first.requests),
        connections=last.connections,
        token_requests=last.token_requests,
        stall=stall.wall,
        own_stall=stall.cpu,
        first_stall=first_stall.wall,
        start_cpu=cpu - start,
        memory=memory / plan.sensors,
    )


def _require_waiting(tasks: list[asyncio.Task[None]]) -> None:
    ended = [task for task in tasks if task.done()]
    if ended:
        raise RuntimeError(f"{len(ended)} of {len(tasks)} sensors have ended: {ended[0].exception() or 'fired'}")


async def _fire(trigger: BaseTrigger, delay: float) -> None:
    """Run a trigger to its event, as the triggerer does."""
    await asyncio.sleep(delay)
    events: AsyncIterator[Any] = trigger.run()
    async for _ in events:
        return


def _our_trigger(plan: Plan, number: int) -> BaseTrigger:
    return OktaFlowStatusTrigger(
        flow=f"running-{number % plan.flows}",
        payload=json.dumps(PAYLOAD),
        poke_interval=plan.interval,
        deadline=time.time() + 3600,
        okta_workflows_conn_id=CONN_ID,
    )


def _http_trigger(org: OrgProcess, plan: Plan, number: int) -> BaseTrigger:
    return HttpSensorTrigger(
        endpoint=org.endpoint(f"missing-{number % plan.flows}"),
        http_conn_id=HTTP_CONN_ID,
        method="POST",
        data=json.dumps(PAYLOAD),
        poke_interval=plan.interval,
    )


def _bare_polls(org: OrgProcess, token: str, plan: Plan) -> Polls:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers)
    waiting = plan.sensors

    async def poll(url: str, delay: float) -> None:
        nonlocal waiting
        try:
            await asyncio.sleep(delay)
            while True:
                async with session.post(url, data=json.dumps(PAYLOAD)) as response:
                    if (await response.json())["status"] != "RUNNING":
                        return
                await asyncio.sleep(plan.interval)
        finally:
            waiting -= 1
            if not waiting:
                await session.close()

    urls = [org.url + org.endpoint(f"running-{number % plan.flows}") for number in range(plan.sensors)]
    return [poll(url, plan.delay(number)) for number, url in enumerate(urls)]
