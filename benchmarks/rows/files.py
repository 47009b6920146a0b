"""100,000 invocations from a CSV file to a file of JSON Lines, beside a loop over the http provider's hook.

A bare aiohttp session shows how much of the CPU is the event loop's and the HTTP library's.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import resource
import signal
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import ObjectStoragePath
from airflow.providers.http.hooks.http import HttpHook

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator
from benchmarks.airflow_environment import HTTP_CONN_ID, connect, connect_http, log_as_in_a_task
from benchmarks.figures import Figure, alone, at_most, compare
from benchmarks.measuring import become_warm_parent, cost_of, in_fork
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import bare_session, hand_script
from tests.integration.task_context import Store, with_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FLOW = "offboard"
PEER, BARE = "a loop over HttpHook", "a bare aiohttp session"
RATE = 1000
"""Invocations per second, far above Okta's limit, so that the row ends in minutes."""
_PEER_SHARE = 10
"""The peers send one in so many items."""
_LOOK_EVERY = 0.5


class _DiskStore(Store):
    """Task state store that outlives the process: a file for each row."""

    def __init__(self, folder: Path) -> None:
        super().__init__({file.name: json.loads(file.read_text()) for file in folder.iterdir()})
        self._folder = folder

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        new = self._folder.parent / f"{key}.new"
        new.write_text(json.dumps(value))
        new.rename(self._folder / key)

    def delete(self, key: str) -> None:
        super().delete(key)
        (self._folder / key).unlink()

    @property
    def size(self) -> int:
        return sum(file.stat().st_size for file in self._folder.iterdir())


def measure(*, quick: bool) -> list[Figure]:
    """Compare a batch from file to file with a loop, and kill another one half-way.

    :param quick: whether to run in quick mode
    """
    count = 1_000 if quick else 100_000
    log_as_in_a_task()
    with OrgProcess([FlowPlan(FLOW)]) as org, tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        source = _write_source(folder / "leavers.csv", count)
        connect(CONN_ID, org.connection)
        token = hand_script.ask_for_token(org.token_url, org.client_id, org.private_key_pem, org.key_id)
        connect_http(org.url, token)
        become_warm_parent()
        cpu, memory = in_fork(partial(_costs, partial(_ours, source, folder / "records.jsonl")))
        few = max(count // _PEER_SHARE, 100)
        peer_cpu, peer_memory = in_fork(partial(_costs, partial(_loop, org.endpoint(FLOW), source, few)))
        bare_cpu, _ = in_fork(partial(_costs, partial(_bare, org.url + org.endpoint(FLOW), token, source, few)))
        org.forget()
        killed = list(_killed_half_way(org, source, folder, count))
    what = f"{count:,} items, CSV to JSON Lines"
    lines = [
        compare(
            f"{what}: CPU per item",
            "ms",
            [1000 * cpu / count],
            PEER,
            [1000 * peer_cpu / few],
            how=f"of the process that invokes, at up to {RATE:,}/s; the loop reaches fewer",
            target=at_most(0.5, "ms"),
        ),
        compare(
            f"{what}: CPU per item",
            "ms",
            [1000 * cpu / count],
            BARE,
            [1000 * bare_cpu / few],
            how="at the same pace; it neither checks, records nor checkpoints anything",
        ),
        compare(
            f"{what}: peak memory",
            "MB",
            [memory],
            PEER,
            [peer_memory],
            how=f"of the whole process; the loop has sent {few:,} items",
            target=at_most(250, "MB"),
        ),
    ]
    return lines + [
        alone(f"{what}, killed half-way and resumed: {name}", "", [value], how=how, target=at_most(most))
        for name, value, how, most in killed
    ]


def _write_source(file: Path, count: int) -> Path:
    with file.open("w", newline="") as source:
        rows = csv.writer(source)
        rows.writerow(("email", "name", "department", "manager"))
        rows.writerows(
            (f"person{n}@example.com", f"Person Number {n}", f"Department {n % 17}", f"manager{n % 100}@example.com")
            for n in range(count)
        )
    return file


def _ours(source: Path, records: Path, store: Store | None = None) -> None:
    operator = InvokeOktaFlowBatchOperator(
        task_id="batch",
        flow=FLOW,
        payloads=ObjectStoragePath(f"file://{source}"),
        item_key="email",
        records_path=f"file://{records}",
        max_rate=RATE,
        on_error="collect",
    )
    operator.execute(with_store(Store() if store is None else store))


def _loop(endpoint: str, source: Path, count: int) -> None:
    hook = HttpHook("POST", http_conn_id=HTTP_CONN_ID)
    payloads = _payloads(source, count)
    began = time.monotonic()
    records = []
    for number, payload in enumerate(payloads):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        records.append(hook.run(endpoint, data=json.dumps(payload)).json())
    with (source.parent / "loop.jsonl").open("w") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)


def _bare(url: str, token: str, source: Path, count: int) -> None:
    bare_session.invoke_all(url, token, _payloads(source, count), RATE)


def _payloads(source: Path, count: int) -> list[dict[str, str]]:
    with source.open(newline="") as file:
        return list(islice(csv.DictReader(file), count))


def _costs(work: Callable[[], None]) -> tuple[float, float]:
    cpu = cost_of(work).cpu
    return cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _killed_half_way(
    org: OrgProcess, source: Path, folder: Path, count: int
) -> Iterator[tuple[str, float, str, float]]:
    pages, records = folder / "store", folder / "resumed.jsonl"
    pages.mkdir()
    process = multiprocessing.get_context("fork").Process(target=_run_with_pages, args=(source, records, pages))
    process.start()
    while org.counts().runs < count // 2:
        time.sleep(_LOOK_EVERY)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    rows, size = len(list(pages.iterdir())), _DiskStore(pages).size
    in_fork(partial(_run_with_pages, source, records, pages))
    seen = org.counts()
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    unknown = sum(record["outcome"] == "unknown" for record in lines)
    in_order = [record["index"] for record in lines] == list(range(count))
    yield "records lost", count - len(lines) + (not in_order), "lines in the file, in order", 0
    yield "doubled", seen.doubled, "runs of one payload beyond its first, at the org", 0
    yield "unknown", unknown, "under way when it was killed, so not sent again", 4 * RATE
    yield "rows at the kill", rows, f"in the task state store, {size / 1e6:.1f} MB", count // 80 + 60
    yield "rows at the end", len(list(pages.iterdir())), "in the task state store", 1


def _run_with_pages(source: Path, records: Path, pages: Path) -> None:
    _ours(source, records, _DiskStore(pages))
