"""600 invocations of a flow limited to ten a second: by our batch operator, the http provider and a thread pool."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import airflow_dags
from benchmarks.airflow_environment import HTTP_CONN_ID, connect, connect_http, log_as_in_a_task
from benchmarks.batches import (
    FLOW_SECONDS,
    OURS,
    POOL,
    RATE,
    Batch,
    by_async_hook,
    by_our_operator,
    by_thread_pool,
    figures,
    run_batch,
)
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import hand_script
from tests.e2e.airflow_standalone import Airflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figures import Figure

ASYNC_HOOK, MAPPED = "HttpAsyncHook, all at once", "mapped HttpOperator"
FLOW = "limited"
DAG_ID = "bench_mapped_http_operator"


def measure(*, quick: bool) -> list[Figure]:
    """Compare ways to invoke one flow many times.

    :param quick: whether to run in quick mode
    """
    count, mapped = (20, 4) if quick else (600, 60)
    log_as_in_a_task()
    with OrgProcess([FlowPlan(FLOW, FLOW_SECONDS)], rate_limit=RATE) as org:
        token = hand_script.ask_for_token(org.token_url, org.client_id, org.private_key_pem, org.key_id)
        connect(CONN_ID, org.connection)
        connect_http(org.url, token)
        ways: dict[str, Callable[[str, int], int]] = {
            OURS: by_our_operator,
            POOL: by_thread_pool(org, token),
            ASYNC_HOOK: by_async_hook(org),
        }
        found = {name: run_batch(org, [FLOW], count, way) for name, way in ways.items()}
        found[MAPPED] = _mapped(org, mapped)
    return figures(found, "one flow held to 10/s")


def _mapped(org: OrgProcess, count: int) -> Batch:
    """Run mapped tasks on a real Airflow, with a scheduler, an API server and a process per task."""
    org.forget()
    environment = {
        name: value for name, value in os.environ.items() if name == f"AIRFLOW_CONN_{HTTP_CONN_ID.upper()}"
    } | {"BENCH_ENDPOINT": org.endpoint(FLOW), "BENCH_COUNT": str(count)}
    with (
        tempfile.TemporaryDirectory(prefix="benchmarks-airflow-") as home,
        Airflow(Path(home), Path(airflow_dags.__path__[0]), environment) as airflow,
    ):
        run_id = airflow.trigger(DAG_ID)
        airflow.finished(DAG_ID, run_id, within=300)
        tasks = airflow.tasks(DAG_ID, run_id)
    began = min(datetime.fromisoformat(task["start_date"]) for task in tasks)
    ended = max(datetime.fromisoformat(task["end_date"]) for task in tasks)
    return Batch(
        asked=count,
        flows=1,
        wall=(ended - began).total_seconds(),
        cpu=None,
        lost=sum(task["state"] != "success" for task in tasks),
        seen=org.counts(),
    )
