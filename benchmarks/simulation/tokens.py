"""A simulated day of task processes, which share tokens with those on their host through its files."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.oauth.access_token import AccessToken
from airflow_okta_workflows.tokens.file_cache import open_token_cache
from benchmarks.simulation.comparison import Row, about, at_most, exactly
from benchmarks.simulation.org import Network, SimulatedOrg
from benchmarks.simulation.virtual_time import in_virtual_time

if TYPE_CHECKING:
    from benchmarks.simulation.comparison import Formulas

DAY = 86_400.0
Starts = list[float]
"""Start times of processes that each need a token, in seconds."""


def rows(formulas: Formulas, *, quick: bool) -> list[Row]:
    """Compare the page's formulas for token requests with a simulated day.

    :param formulas: the page's formulas
    :param quick: whether to run shorter simulations
    """
    requests_a_day = formulas["token_requests_a_day"]
    chance = random.Random(2)
    gap = 120 if quick else 20
    pods, herd = (100, 20) if quick else (500, 200)
    hours = [hour * 3600.0 for hour in range(24)]
    found = [
        about(
            f"one host, a task every {gap} s on average: token requests a day",
            requests_a_day(1, gap=gap),
            _token_requests([_now_and_then(chance, gap=gap)]),
            tolerance=0.05,
        ),
        about(
            f"one host, {herd} tasks at the same moment of each hour: token requests a day",
            # The token of the hour before is still cached, but too old to use.
            requests_a_day(1, gap=3600 - formulas["RENEWED_AFTER"]),
            _token_requests([[hour for hour in hours for _ in range(herd)]]),
        ),
        exactly(
            f"{pods:,} pods, each its own host: token requests",
            formulas["token_requests_of_pods"](pods),
            _token_requests([[chance.uniform(0, DAY)] for _ in range(pods)]),
        ),
    ]
    if quick:
        return found
    ten_minutes = [float(second) for second in range(600)]
    return [
        *found,
        about(
            "8 hosts, on each a task every 10 minutes on average: token requests a day",
            requests_a_day(8, gap=600),
            _token_requests([_now_and_then(chance, gap=600) for _ in range(8)]),
            tolerance=0.05,
        ),
        at_most(
            "8 hosts, on each a task a second, and the org refuses: token requests in 10 minutes",
            600 * formulas["refused_token_requests_a_second"](8),
            _token_requests([ten_minutes] * 8, grants=False),
        ),
    ]


def _now_and_then(chance: random.Random, gap: float) -> Starts:
    """Return independent start times over a day."""
    starts, now = [], chance.expovariate(1 / gap)
    while now < DAY:
        starts.append(now)
        now += chance.expovariate(1 / gap)
    return starts


def _token_requests(hosts: list[Starts], *, grants: bool = True) -> int:
    with TemporaryDirectory() as folder:
        return in_virtual_time(_simulate(hosts, Path(folder), grants=grants))


async def _simulate(hosts: list[Starts], folder: Path, *, grants: bool) -> int:
    # The simulated day ends now, so that no cache file, whose modification time is real, appears old to the cache.
    org = SimulatedOrg(random.Random(3), Network(), epoch=time.time() - DAY, grants_tokens=grants)
    tokens = await asyncio.gather(*(_host(org, folder / str(number), starts) for number, starts in enumerate(hosts)))
    if any(isinstance(token, AccessToken) is not grants for of_host in tokens for token in of_host):
        raise RuntimeError("A process has a token that it should not have, or has none")
    return org.token_requests


async def _host(org: SimulatedOrg, folder: Path, starts: Starts) -> list[AccessToken | BaseException]:
    cache = open_token_cache(folder, org.settings.token_cache_id, org.settings.cache_encryption_key())
    if cache is None:
        raise RuntimeError(f"{folder} cannot hold a token cache")
    processes = []
    for number, start in enumerate(starts):
        await asyncio.sleep(max(0.0, start - org.runtime.monotonic()))
        processes.append(asyncio.ensure_future(org.client(f"{folder.name}.{number}", cache).access_token()))
    return await asyncio.gather(*processes, return_exceptions=True)
