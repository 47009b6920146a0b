"""Simulated batches: alone, sharing a flow, on slow flows, on a network that pauses; and the data that they store."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
from airflow_okta_workflows.core.batch.items import list_rows, parse_items
from airflow_okta_workflows.core.batch.sources import csv_rows
from airflow_okta_workflows.core.flows.expressions import Expression
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.operators.batch_items import BatchItems
from airflow_okta_workflows.operators.batch_records import BatchRecords
from airflow_okta_workflows.operators.batch_runner import BatchRun
from airflow_okta_workflows.pace.configured import Pace
from benchmarks.simulation.comparison import Row, about, at_least, at_most, exactly
from benchmarks.simulation.counting_store import CountingStore
from benchmarks.simulation.org import FLOW, Network, SimulatedHook, SimulatedOrg
from benchmarks.simulation.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.client.loop_resources import LoopResources
    from airflow_okta_workflows.core.batch.sources import Row as SourceRow
    from benchmarks.simulation.comparison import Formulas

PLAIN = Network(handshake=0)
JITTER = Network(jitter=0.005)
STEADY_FROM = 100.0
"""Seconds after which batches that started together have settled on their rates."""


class SimulatedBatch(BatchRun):
    """Batch that runs on the simulation's event loop instead of in its own thread.

    :param hook: the hook of its process
    :param items: its items
    :param checkpoints: their checkpoints
    :param options: its pace, ``max_rate`` and ``max_in_flight``
    """

    def __init__(
        self, hook: SimulatedHook, items: BatchItems, checkpoints: BatchCheckpointStore, **options: Any
    ) -> None:
        self._simulated = hook.client
        template = hook.settings.build_invocation(FLOW, {}, idempotency_key="simulated")
        super().__init__(
            hook,
            template,
            items,
            BatchRecords(len(items)),
            checkpoints=checkpoints,
            evaluate=lambda response, _key: response.body,
            **options,
        )

    def _client(self, _resources: LoopResources) -> AsyncFlowClient:
        return self._simulated

    async def finish(self) -> BatchRecords:
        """Run the batch, and return its records."""
        await self._main()
        return self._records


@dataclass(frozen=True)
class Plan:
    """Parameters of a simulation.

    :param items: number of items of each batch
    :param network: the network between the batches and the org
    :param flow_seconds: how long the flow runs, in seconds
    :param varies: whether ``flow_seconds`` is only the mean of an exponential distribution
    :param max_rate: ``max_rate`` of each batch
    :param max_in_flight: ``max_in_flight`` of each batch
    :param from_file: whether the payloads are rows of a CSV file, with an ``item_key``
    """

    items: Sequence[int]
    network: Network = JITTER
    flow_seconds: float = 1.0
    varies: bool = True
    max_rate: float = 10.0
    max_in_flight: int = 600
    from_file: bool = False


@dataclass(frozen=True)
class Seen:
    """Result of a simulation.

    :param org: the org, with what it recorded
    :param seconds: virtual seconds until the last batch ended
    :param stores: the task state store of each batch
    :param records: the records of each batch
    """

    org: SimulatedOrg
    seconds: float
    stores: list[CountingStore]
    records: list[BatchRecords]

    def refused_share(self, begin: float = 0.0, end: float = float("inf")) -> float:
        """Return the share of requests that got 429.

        :param begin: start of the period, in virtual seconds
        :param end: its end, not included
        """
        return self.org.refused_share(begin, end)

    @property
    def lost_or_doubled(self) -> int:
        """Number of items that did not succeed, plus those that did not run exactly once."""
        lost = sum(len(records) - records.counts[Outcome.SUCCEEDED] for records in self.records)
        runs = Counter(arrival.key for arrival in self.org.arrivals if arrival.ran)
        return lost + sum(runs[record["key"]] != 1 for records in self.records for record in records)

    @property
    def shared_until(self) -> float:
        """Time until which all batches share the flow: the last arrival from the batch that ended first."""
        return min({arrival.sender: arrival.at for arrival in self.org.arrivals}.values())


def simulate(plan: Plan) -> Seen:
    """Simulate batches that run side by side on one flow, each in a separate process.

    :param plan: the batches
    """
    return in_virtual_time(_simulate(plan))


async def _simulate(plan: Plan) -> Seen:
    chance = random.Random(1)
    mean = plan.flow_seconds
    org = SimulatedOrg(chance, plan.network, lambda: chance.expovariate(1 / mean) if plan.varies else mean)
    batches, stores = [], []
    for number, count in enumerate(plan.items):
        store = CountingStore()
        checkpoints = BatchCheckpointStore({"task_state_store": store, "ti": SimpleNamespace(max_tries=0)}, FLOW)
        items = BatchItems(parse_items(*_rows(count, checkpoints.key, from_file=plan.from_file)))
        # Each keeps its own pace, as batches on different hosts do.
        options = {"pace": Pace("off"), "max_rate": plan.max_rate, "max_in_flight": plan.max_in_flight}
        batches.append(SimulatedBatch(SimulatedHook(org, f"batch {number}"), items, checkpoints, **options))
        stores.append(store)
    records = await asyncio.gather(*(batch.finish() for batch in batches))
    return Seen(org, org.runtime.monotonic(), stores, records)


def _rows(count: int, key: str, *, from_file: bool) -> tuple[Iterator[SourceRow], str, Expression | None]:
    if not from_file:
        return list_rows({"id": item} for item in range(count)), key, None
    lines = chain([b"email,name\n"], (f"person{item}@example.com,Person {item}\n".encode() for item in range(count)))
    return csv_rows(lines)[1], key, Expression("email", "item_key")


def rows(formulas: Formulas, *, quick: bool) -> list[Row]:
    """Compare the page's formulas for batches with simulations.

    :param formulas: the page's formulas
    :param quick: whether to run shorter simulations
    """
    alone, together = _Alone(formulas, quick=quick), _Together(formulas, quick=quick)
    return [
        *alone.rows(),
        *_slow_flow(formulas, quick=quick),
        *together.rows(),
        exactly("all batches above: items lost or doubled", 0, alone.lost_or_doubled + together.lost_or_doubled),
        *_divided(formulas, quick=quick),
        *_left_behind(formulas, quick=quick),
        *_from_file(formulas, quick=quick),
    ]


class _Simulations:
    """Simulations, with a count of the items that were lost or doubled in any of them.

    :param formulas: the page's formulas
    :param quick: whether to run shorter simulations
    """

    def __init__(self, formulas: Formulas, *, quick: bool) -> None:
        self._formulas = formulas
        self._quick = quick
        self.lost_or_doubled = 0

    def _simulate(self, plan: Plan) -> Seen:
        seen = simulate(plan)
        self.lost_or_doubled += seen.lost_or_doubled
        return seen


class _Alone(_Simulations):
    """One batch that has a flow to itself."""

    def rows(self) -> list[Row]:
        items = 600 if self._quick else 6_000
        plain = self._simulate(Plan([items], PLAIN, varies=False))
        seconds = self._formulas["batch_seconds"](items, latency=1.04)
        found = [about(f"batch of {items:,}, each taking 1.04 s: seconds", seconds, plain.seconds, tolerance=0.005)]
        for jitter in (0.005,) if self._quick else (0.002, 0.005, 0.02):
            found += self._with_jitter(items, jitter)
        return [*found, self._paused(items)]

    def _with_jitter(self, items: int, jitter: float) -> list[Row]:
        seen = self._simulate(Plan([items], Network(jitter=jitter)))
        what = f"batch of {items:,}, {1000 * jitter:.0f} ms of jitter"
        return [
            at_least(f"{what}: invocations/s", self._formulas["LEAST_PACE"], items / seen.seconds),
            at_most(f"{what}: 429 in 100 requests", self._formulas["refused_in_100"](1), 100 * seen.refused_share()),
        ]

    def _paused(self, items: int) -> Row:
        begin, end = pause = (20.0, 30.0)
        seen = self._simulate(Plan([items], Network(jitter=0.005, pause=pause)))
        return at_most(
            f"batch of {items:,}, nothing gets through for {end - begin:.0f} s: seconds",
            items / self._formulas["LEAST_PACE"] + self._formulas["cost_of_a_pause"](end - begin),
            seen.seconds,
        )


class _Together(_Simulations):
    """Several independent batches on one flow."""

    def rows(self) -> list[Row]:
        if self._quick:
            return self._all_at_once(2)
        return [*(row for count in (2, 4, 8) for row in self._all_at_once(count)), self._recovery()]

    def _all_at_once(self, count: int) -> list[Row]:
        seen = self._simulate(Plan([1_500 if self._quick else 12_000 // count] * count))
        end = seen.shared_until
        ran = seen.org.ran(STEADY_FROM, end)
        slowest = min(seen.org.ran(STEADY_FROM, end, f"batch {number}") for number in range(count))
        formulas, what = self._formulas, f"{count} batches on one flow"
        return [
            at_most(
                f"{what}: 429 in 100 requests, in the first 30 s",
                formulas["refused_in_100_at_first"](count),
                100 * seen.refused_share(0, 30),
            ),
            at_most(
                f"{what}: 429 in 100 requests, later",
                formulas["refused_in_100"](count),
                100 * seen.refused_share(STEADY_FROM, end),
            ),
            at_least(f"{what}: invocations/s in all, later", formulas["LEAST_PACE"], ran / (end - STEADY_FROM)),
            at_least(f"{what}: share of the slowest, later", formulas["least_share"](count), slowest / ran),
        ]

    def _recovery(self) -> Row:
        seen = self._simulate(Plan([2_500, 750]))
        alone_from, fast = seen.shared_until, 9.5 * self._formulas["PACE"]
        seconds = range(int(seen.seconds - alone_from))
        back_after = next((s for s in seconds if seen.org.ran(alone_from + s, alone_from + s + 10) >= fast), inf)
        what = "one of 2 batches ends: seconds until the other is fast"
        return at_most(what, self._formulas["BACK_AFTER"], back_after)


def _slow_flow(formulas: Formulas, *, quick: bool) -> list[Row]:
    items, waves = (600, 3) if quick else (2_000, 8)
    slow = simulate(Plan([items], PLAIN, flow_seconds=30, varies=False))
    bound = simulate(Plan([100 * waves + 100], PLAIN, flow_seconds=30, varies=False, max_in_flight=100))
    took = waves * 30.04
    return [
        about(
            "batch, each taking 30.04 s: calls open",
            formulas["calls_open"](formulas["PACE"], latency=30.04),
            slow.org.most_open,
        ),
        about(
            "the same with max_in_flight=100: invocations/s",
            formulas["rate_reached"](max_in_flight=100, latency=30.04),
            bound.org.ran(0, took) / took,
        ),
    ]


def _divided(formulas: Formulas, *, quick: bool) -> list[Row]:
    count = 3
    max_rate = formulas["max_rate_of_each"](count)
    seen = simulate(Plan([300 if quick else 1_500] * count, max_rate=max_rate))
    end = seen.shared_until
    what = f"{count} batches with max_rate={max_rate}"
    together = count * formulas["rate_reached"](max_rate=max_rate)
    return [
        about(f"{what}: invocations/s in all", together, seen.org.ran(0, end) / end),
        at_most(f"{what}: 429 in 100 requests", 0.1, 100 * seen.refused_share()),
    ]


def _left_behind(formulas: Formulas, *, quick: bool) -> list[Row]:
    count = 1_000 if quick else 4_000
    seen = simulate(Plan([count], flow_seconds=5))
    (store,), (records,) = seen.stores, seen.records
    result = len(json.dumps(records[0]["result"]))
    xcom = len(json.dumps(list(records)))
    return [
        about(f"checkpoints of a batch of {count:,}: rows", formulas["batch_rows"](count), len(store), tolerance=0.05),
        about(
            f"checkpoints of a batch of {count:,}: bytes",
            formulas["batch_checkpoint_bytes"](count, result),
            store.bytes,
        ),
        at_most(f"checkpoints of a batch of {count:,}: writes/s", formulas["MOST_WRITES"], store.sets / seen.seconds),
        about(f"XCom of a batch of {count:,}: bytes", formulas["batch_xcom_bytes"](count, result), xcom),
    ]


def _from_file(formulas: Formulas, *, quick: bool) -> list[Row]:
    count = 2_000 if quick else 1_000_000
    seen = simulate(Plan([count], from_file=True))
    (store,), (records,) = seen.stores, seen.records
    result, name = (len(json.dumps(records[0][member])) for member in ("result", "item"))
    what = f"batch of {count:,} from a CSV file"
    return [
        exactly(f"{what}: items lost or doubled", 0, seen.lost_or_doubled),
        at_least(f"{what}: invocations/s", formulas["LEAST_PACE"], count / seen.seconds),
        about(f"{what}: rows of checkpoints", formulas["batch_rows"](count), len(store), tolerance=0.05),
        about(
            f"{what}: bytes of checkpoints",
            formulas["batch_checkpoint_bytes"](count, result, name),
            store.bytes,
            tolerance=0.05,
        ),
    ]
