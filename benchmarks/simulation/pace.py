"""Simulated crowds of batches and single tasks that share one flow's pace, on one host and on up to a hundred."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
from airflow_okta_workflows.client.rate_limiter import FlowRateLimiter
from airflow_okta_workflows.core.batch.items import list_rows, parse_items
from airflow_okta_workflows.operators.batch_items import BatchItems
from airflow_okta_workflows.pace.configured import Pace
from benchmarks.simulation.batches import JITTER, SimulatedBatch
from benchmarks.simulation.comparison import Row, at_least, at_most, exactly
from benchmarks.simulation.counting_store import CountingStore
from benchmarks.simulation.org import FLOW, SimulatedHook, SimulatedOrg
from benchmarks.simulation.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from benchmarks.simulation.comparison import Formulas

FLOW_SECONDS = 0.5
_ON_THE_WAY = 0.5
"""Seconds for the token, the handshakes and the way to the flow and back, at most."""


@dataclass(frozen=True)
class Crowd:
    """Batches and single tasks that start together, each in a separate process.

    :param hosts: number of hosts
    :param batches: number of batches on each host
    :param items: number of items of each batch
    :param singles: number of single tasks on each host, or of deferred ones in its triggerer
    :param deferred: whether the single tasks are deferred
    :param one_pace: whether all hosts share one pace, as with Redis, or each keeps its own
    """

    hosts: int
    batches: int
    items: int
    singles: int
    deferred: bool = False
    one_pace: bool = True

    @property
    def invocations(self) -> int:
        """Number of invocations in all."""
        return self.hosts * (self.batches * self.items + self.singles)


@dataclass(frozen=True)
class Seen:
    """Result of a simulation.

    :param org: the org, with what it recorded
    :param seconds: virtual seconds until the last response
    :param slowest: virtual seconds until the slowest single task had its response
    :param batches: names of the batches
    """

    org: SimulatedOrg
    seconds: float
    slowest: float
    batches: list[str]

    @property
    def apart(self) -> float:
        """Rate of the fastest batch as a multiple of the slowest one's, while all of them run."""
        last = {arrival.sender: arrival.at for arrival in self.org.arrivals if arrival.sender in self.batches}
        ran = [self.org.ran(0, min(last.values()), name) for name in self.batches]
        return max(ran) / min(ran)


def simulate(crowd: Crowd) -> Seen:
    """Simulate a crowd on a flow that nobody has invoked yet.

    :param crowd: the crowd
    """
    return in_virtual_time(_simulate(crowd))


async def _simulate(crowd: Crowd) -> Seen:
    chance = random.Random(3)
    org = SimulatedOrg(chance, JITTER, lambda: FLOW_SECONDS)
    names, works, singles = [], [], []
    everywhere = Pace("process")
    for host in range(crowd.hosts):
        pace = everywhere if crowd.one_pace else Pace("process")
        for number in range(crowd.batches):
            names.append(f"batch {number} on host {host}")
            works.append(_batch(org, names[-1], crowd.items, pace).finish())
        triggerer = _limiter(org, pace, pace.block) if crowd.deferred else None
        singles += [
            _single(org, f"task {number} on host {host}", triggerer or _limiter(org, pace))
            for number in range(crowd.singles)
        ]
    responded = await asyncio.gather(*singles, *works)
    slowest = max((float(at) for at in responded[: len(singles)] if isinstance(at, float)), default=0.0)
    return Seen(org, org.runtime.monotonic(), slowest, names)


def _batch(org: SimulatedOrg, name: str, count: int, pace: Pace) -> SimulatedBatch:
    checkpoints = BatchCheckpointStore({"task_state_store": CountingStore(), "ti": SimpleNamespace(max_tries=0)}, FLOW)
    rows = list_rows({"from": name, "id": item} for item in range(count))
    items = BatchItems(parse_items(rows, checkpoints.key, None))
    return SimulatedBatch(SimulatedHook(org, name), items, checkpoints, pace=pace, max_rate=10.0, max_in_flight=600)


def _limiter(org: SimulatedOrg, pace: Pace, block: int = 1) -> FlowRateLimiter:
    turns = pace.turns(org.settings.find_flow(FLOW).url)
    assert turns is not None  # this pace is not off
    return FlowRateLimiter((turns,), org.runtime, block)


async def _single(org: SimulatedOrg, name: str, limiter: FlowRateLimiter) -> float:
    call = org.settings.build_invocation(FLOW, {"from": name}, idempotency_key=org.runtime.new_id())
    await org.client(name).invoke_flow(call, limiter=limiter)
    return org.runtime.monotonic()


def rows(formulas: Formulas, *, quick: bool) -> list[Row]:
    """Compare the page's formulas for a shared pace with simulations.

    :param formulas: the page's formulas
    :param quick: whether to run shorter simulations
    """
    if quick:
        return _together(formulas, Crowd(hosts=1, batches=4, items=50, singles=10))
    crowds = [
        Crowd(hosts=1, batches=4, items=300, singles=40),
        Crowd(hosts=1, batches=4, items=300, singles=40, deferred=True),
        Crowd(hosts=2, batches=2, items=300, singles=20),
        Crowd(hosts=10, batches=1, items=300, singles=4),
        Crowd(hosts=100, batches=1, items=30, singles=1),
    ]
    found = [row for crowd in crowds for row in _together(formulas, crowd)]
    return [*found, *(_apart(formulas, crowd) for crowd in crowds if crowd.hosts > 1)]


def _together(formulas: Formulas, crowd: Crowd) -> list[Row]:
    seen, what = simulate(crowd), f"one pace, {_in_words(crowd)}"
    if crowd.deferred:
        until_last_turn = formulas["seconds_until_deferred"](crowd.singles, crowd.batches)
    else:
        until_last_turn = formulas["seconds_until_turn"](crowd.hosts * (crowd.batches + crowd.singles) - 1)
    ran = Counter(arrival.key for arrival in seen.org.arrivals if arrival.ran)
    return [
        at_least(f"{what}: invocations/s", formulas["LEAST_PACE_TOGETHER"], crowd.invocations / seen.seconds),
        at_most(f"{what}: 429 in 100 requests", formulas["REFUSED_IN_100_TOGETHER"], 100 * seen.org.refused_share()),
        at_most(f"{what}: fastest batch by the slowest", formulas["MOST_APART_TOGETHER"], seen.apart),
        at_most(
            f"{what}: slowest single task, seconds",
            until_last_turn + FLOW_SECONDS + _ON_THE_WAY,
            seen.slowest,
        ),
        exactly(
            f"{what}: lost or doubled", 0, crowd.invocations - len(ran) + sum(count != 1 for count in ran.values())
        ),
    ]


def _apart(formulas: Formulas, crowd: Crowd) -> Row:
    seen = simulate(replace(crowd, one_pace=False))
    return at_most(
        f"a pace for each host, {_in_words(crowd)}: 429 in 100 requests",
        formulas["REFUSED_IN_100_APART"][crowd.hosts],
        100 * seen.org.refused_share(),
    )


def _in_words(crowd: Crowd) -> str:
    hosts = f"{crowd.hosts} hosts, each with " if crowd.hosts > 1 else "a host with "
    singles = "deferred" if crowd.deferred else "single"
    return f"{hosts}{crowd.batches} x {crowd.items} items and {crowd.singles} {singles} tasks"
