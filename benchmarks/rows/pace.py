"""Four batches and forty single tasks that start together, cold, on one flow that takes 10 a second."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

# Unused here, but loaded in the parent of the forks, as in a Celery worker whose broker is Redis.
import redis.connection  # noqa: F401

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from benchmarks.airflow_environment import connect, log_as_in_a_task
from benchmarks.batches import FLOW_SECONDS, POOL, RATE
from benchmarks.figures import Figure, at_least, at_most, compare
from benchmarks.measuring import become_warm_parent, in_forks
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import hand_script, thread_pool
from tests.integration.task_context import Store, context, with_store
from tests.redis_server import LocalRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FLOW = "limited"
INDEPENDENT = "pace=process"
BATCHES = 4


@dataclass(frozen=True)
class _Ended:
    """End of one process.

    :param good: number of invocations that succeeded
    :param seconds: seconds from its first statement to its last
    """

    good: int
    seconds: float


@dataclass(frozen=True)
class Crowd:
    """Result of all processes together.

    :param share: percentage of the limit that the successful invocations reached
    :param lost: number of invocations that did not succeed in the end
    :param doubled: runs beyond the first of each payload, as the org counted them
    :param refused_share: percentage of the requests that got 429
    :param rates: invocations per second of each batch
    :param slowest: seconds of the slowest single task
    """

    share: float
    lost: int
    doubled: int
    refused_share: float
    rates: Sequence[float] = ()
    slowest: float = 0.0

    @property
    def apart(self) -> float:
        """Percentage by which the fastest batch is faster than the slowest."""
        return 100 * (max(self.rates) / min(self.rates) - 1)


def measure(*, quick: bool) -> list[Figure]:
    """Compare the pace of a host, and that of two hosts, with batches that keep their own pace, and with a thread pool.

    :param quick: whether to run in quick mode
    """
    items, singles = (6, 4) if quick else (300, 40)
    asked = BATCHES * items + singles
    log_as_in_a_task()
    with OrgProcess([FlowPlan(FLOW, FLOW_SECONDS)], rate_limit=RATE) as org, LocalRedis() as redis:
        token = hand_script.ask_for_token(org.token_url, org.client_id, org.private_key_pem, org.key_id)
        connect(CONN_ID, org.connection)
        become_warm_parent()
        tasks = [partial(_batch, f"batch-{number}", items) for number in range(BATCHES)]
        tasks += [partial(_single, f"single-{number}") for number in range(singles)]
        on_two_hosts = [partial(_on_host, number % 2, task) for number, task in enumerate(tasks)]
        url = org.url + org.endpoint(FLOW)
        payloads = [{"n": number} for number in range(asked)]
        host = _together(org, tasks, asked, pace="host")
        two_hosts = _together(org, on_two_hosts, asked, pace="redis", redis_url=redis.url())
        independent = _together(org, tasks, asked, pace="process")
        pool = _together(org, [lambda: thread_pool.invoke_all(url, token, payloads)], asked, pace="off")
    what = f"{BATCHES} batches of {items} and {singles} single tasks on a flow held to {RATE}/s"
    return [
        *_lines(f"{what}, pace=host", host, independent, pool),
        *_lines(f"{what}, two hosts, pace=redis", two_hosts, independent, pool),
    ]


def _lines(what: str, ours: Crowd, independent: Crowd, pool: Crowd) -> list[Figure]:
    return [
        *_beside(what, ours, INDEPENDENT, independent),
        *_beside(what, ours, POOL, pool),
        compare(
            f"{what}: how much faster the fastest batch is than the slowest",
            "%",
            [ours.apart],
            INDEPENDENT,
            [independent.apart],
            how=f"rates of {_rates(ours)} and of {_rates(independent)} per second",
            target=at_most(20, "%"),
        ),
        compare(
            f"{what}: slowest single task",
            "s",
            [ours.slowest],
            INDEPENDENT,
            [independent.slowest],
            how=f"from its start to its end; the flow takes {FLOW_SECONDS} s",
            target=at_most(15, "s"),
        ),
    ]


def _batch(name: str, items: int) -> int:
    payloads = [{"from": name, "n": number} for number in range(items)]
    operator = InvokeOktaFlowBatchOperator(
        task_id=name, flow=FLOW, payloads=payloads, max_rate=RATE, on_error="collect"
    )
    return sum(record["outcome"] == "succeeded" for record in operator.execute(with_store(Store())))


def _single(name: str) -> int:
    InvokeOktaFlowOperator(task_id=name, flow=FLOW, payload={"from": name}).execute(context())
    return 1


def _on_host(number: int, task: Callable[[], int]) -> int:
    """Run a task as on one of several hosts: it shares no directory with those of the others."""
    os.environ["AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR"] += f"-{number}"
    return task()


def _together(
    org: OrgProcess, tasks: Sequence[Callable[[], int]], asked: int, *, pace: str, redis_url: str = ""
) -> Crowd:
    # The org's limit covers the last second, which must not include requests of the previous run.
    time.sleep(1.1)
    org.forget()
    os.environ |= {"AIRFLOW__OKTA_WORKFLOWS__PACE": pace, "AIRFLOW__OKTA_WORKFLOWS__REDIS_URL": redis_url}
    began = time.monotonic()
    found = in_forks([partial(_timed, task) for task in tasks])
    wall = time.monotonic() - began
    seen, good = org.counts(), sum(one.good for one in found)
    return Crowd(
        share=100 * good / wall / RATE,
        lost=asked - good,
        doubled=seen.doubled,
        refused_share=100 * seen.refused / seen.requests,
        rates=[one.good / one.seconds for one in found[:BATCHES]],
        slowest=max((one.seconds for one in found[BATCHES:]), default=0.0),
    )


def _timed(task: Callable[[], int]) -> _Ended:
    began = time.monotonic()
    return _Ended(task(), time.monotonic() - began)


def _beside(what: str, ours: Crowd, name: str, peer: Crowd) -> list[Figure]:
    # Our figures repeat next to the second peer, so only the lines with the first one carry targets.
    first = name == INDEPENDENT
    return [
        compare(
            f"{what}: share of the limit",
            "%",
            [ours.share],
            name,
            [peer.share],
            how=f"good responses by the time from the first fork to the last end; the flow takes {FLOW_SECONDS} s",
            target=at_least(93, "%") if first else None,
        ),
        compare(
            f"{what}: requests returned 429",
            "%",
            [ours.refused_share],
            name,
            [peer.refused_share],
            how="at the org",
            target=at_most(1, "%") if first else None,
        ),
        compare(
            f"{what}: lost or doubled",
            "",
            [ours.lost + ours.doubled],
            name,
            [peer.lost + peer.doubled],
            how="without a good response in the end, or runs of one payload beyond its first",
            target=at_most(0) if first else None,
        ),
    ]


def _rates(crowd: Crowd) -> str:
    return ", ".join(f"{rate:.2f}" for rate in crowd.rates)
