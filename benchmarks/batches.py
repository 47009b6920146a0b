"""Many invocations at once, for the rows ``batch`` and ``flows``: ways to make them, and their results."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from airflow.providers.http.hooks.http import HttpAsyncHook

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator
from benchmarks.airflow_environment import HTTP_CONN_ID
from benchmarks.figures import Figure, at_least, at_most, compare
from benchmarks.measuring import cost_of, in_forks
from benchmarks.peers import thread_pool
from tests.integration.task_context import Store, with_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.org_process import OrgCounts, OrgProcess

RATE = 10
"""Invocations per second that a flow accepts; Okta's limit."""
FLOW_SECONDS = 0.5
"""Seconds that a flow takes to respond."""
OURS, POOL = "ours", f"a pool of {thread_pool.THREADS} threads"


@dataclass(frozen=True)
class Batch:
    """Result of many invocations.

    :param asked: number of invocations to make
    :param flows: number of flows that were invoked
    :param wall: seconds of wall time from start to end
    :param cpu: CPU seconds of all processes that made the invocations; None if not measured
    :param lost: number of invocations that did not succeed in the end
    :param seen: what the org counted
    """

    asked: int
    flows: int
    wall: float
    cpu: float | None
    lost: int
    seen: OrgCounts

    @property
    def share(self) -> float:
        """Percentage of the org's rate limit that the successful invocations reached."""
        return 100 * (self.asked - self.lost) / self.wall / (RATE * self.flows)

    @property
    def share_while_running(self) -> float:
        """Percentage of the rate limit from each flow's first run to its last, without the start and the end."""
        return 100 * (self.seen.runs - self.flows) / self.seen.running / RATE

    @property
    def refused_share(self) -> float:
        """Percentage of the requests that got 429."""
        return 100 * self.seen.refused / self.seen.requests if self.seen.requests else 0.0


def run_batch(org: OrgProcess, flows: Sequence[str], count: int, invoke_all: Callable[[str, int], int]) -> Batch:
    """Invoke each flow from its own forked process, all at the same time.

    :param org: the org
    :param flows: names of the flows
    :param count: number of invocations of each flow
    :param invoke_all: makes the invocations of one flow, and returns how many succeeded
    """
    # The org's limit covers the last second, which must not include requests of the previous run.
    time.sleep(1.1)
    org.forget()
    began = time.perf_counter()
    found = in_forks([partial(_with_cpu, invoke_all, flow, count) for flow in flows])
    wall = time.perf_counter() - began
    return Batch(
        asked=count * len(flows),
        flows=len(flows),
        wall=wall,
        cpu=sum(cpu for _, cpu in found),
        lost=count * len(flows) - sum(good for good, _ in found),
        seen=org.counts(),
    )


def _with_cpu(invoke_all: Callable[[str, int], int], flow: str, count: int) -> tuple[int, float]:
    good = 0

    def work() -> None:
        nonlocal good
        good = invoke_all(flow, count)

    cost = cost_of(work)
    return good, cost.cpu


def payloads(count: int) -> list[dict[str, int]]:
    """Return distinct payloads, so that the org can detect which of them ran twice.

    :param count: number of payloads
    """
    return [{"n": number} for number in range(count)]


def by_our_operator(flow: str, count: int) -> int:
    """Invoke a flow with our batch operator, as one task does, and return how many invocations succeeded.

    :param flow: the flow's name
    :param count: number of invocations
    """
    operator = InvokeOktaFlowBatchOperator(
        task_id="batch",
        flow=flow,
        payloads=payloads(count),
        max_rate=RATE,
        max_in_flight=600,
        on_error="collect",
    )
    records = operator.execute(with_store(Store()))
    return sum(record["outcome"] == "succeeded" for record in records)


def by_thread_pool(org: OrgProcess, token: str) -> Callable[[str, int], int]:
    """Return a function that makes the invocations with a thread pool.

    :param org: the org
    :param token: a valid access token
    """
    return lambda flow, count: thread_pool.invoke_all(org.url + org.endpoint(flow), token, payloads(count))


def by_async_hook(org: OrgProcess) -> Callable[[str, int], int]:
    """Return a function that invokes as the http provider's triggers do: all at once, with a hook and a session each.

    :param org: the org
    """

    async def invoke(endpoint: str, payload: dict[str, int]) -> bool:
        async with aiohttp.ClientSession() as session:
            hook = HttpAsyncHook("POST", http_conn_id=HTTP_CONN_ID)
            response = await hook.run(session=session, endpoint=endpoint, data=json.dumps(payload))
            return response.status == 200

    async def invoke_all(flow: str, count: int) -> int:
        responses = await asyncio.gather(
            *(invoke(org.endpoint(flow), payload) for payload in payloads(count)), return_exceptions=True
        )
        return sum(response is True for response in responses)

    return lambda flow, count: asyncio.run(invoke_all(flow, count))


def figures(found: dict[str, Batch], where: str) -> list[Figure]:
    """Return the table's lines.

    :param found: the result of each way to invoke, by its name
    :param where: the flows that were invoked, in words
    """
    ours, pool = found[OURS], found[POOL]
    what = f"{ours.asked:,} invocations, {where}"
    lines = [
        compare(
            f"{what}: share of the limit",
            "%",
            [ours.share],
            POOL,
            [pool.share],
            how=f"good responses by the time from the fork to its end; the flow takes {FLOW_SECONDS} s",
            target=at_least(95, "%"),
        ),
        compare(
            f"{what}: share of the limit, from the first run to the last",
            "%",
            [ours.share_while_running],
            POOL,
            [pool.share_while_running],
            how="runs by the time between the first and the last of each flow: without start and end",
        ),
    ]
    if ours.cpu is not None and pool.cpu is not None:
        lines.append(compare(f"{what}: CPU", "s", [ours.cpu], POOL, [pool.cpu], how="of the processes that invoke"))
    for name, batch in found.items():
        if name != OURS:
            lines += _beside(what, ours, name, batch)
    return lines


def _beside(what: str, ours: Batch, name: str, peer: Batch) -> list[Figure]:
    # Our figures repeat next to each peer, so only the lines with the first peer carry targets.
    first = name == POOL
    scale = ours.asked / peer.asked
    scaled = f"; extrapolated from {peer.asked}" if scale != 1 else ""
    wall = compare(
        f"{what}: wall time", "s", [ours.wall], name, [scale * peer.wall], how=f"from the start to the end{scaled}"
    )
    return [
        # A peer that loses invocations finishes early, which makes the ratio meaningless.
        replace(wall, ratio=None) if peer.lost > ours.lost else wall,
        compare(
            f"{what}: lost",
            "",
            [ours.lost],
            name,
            [scale * peer.lost],
            how=f"without a good response in the end{scaled}",
            target=at_most(0) if first else None,
        ),
        compare(
            f"{what}: doubled",
            "",
            [ours.seen.doubled],
            name,
            [scale * peer.seen.doubled],
            how=f"runs of one payload beyond its first, at the org{scaled}",
            target=at_most(0) if first else None,
        ),
        compare(
            f"{what}: requests returned 429",
            "%",
            [ours.refused_share],
            name,
            [peer.refused_share],
            how=f"at the org; {ours.seen.refused:,} and {peer.seen.refused:,}",
            target=at_most(1, "%") if first else None,
        ),
    ]
