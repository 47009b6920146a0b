"""Tasks that are killed by SIGKILL at each moment of a run, and tried again by the Airflow of this Python: one run each.

Before Airflow 3.3 nothing is stored that would tell a later try what an earlier one has done.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset
from tests.asked_flows import AskedFlows
from tests.matrix.probe import printed_json
from tests.pages import ROOT

KILLS = ("start", "arrived", "arrived", "late", "late", "row", "row", "question", "question", "end", "end")
LOST = 2
"""Tasks that are not killed, and whose response is lost."""

_DAG_FILE = f"""
from airflow.providers.common.compat.sdk import DAG
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator, StatusFlow
from tests.integration.killed_tries import RETRIES, tell_pid_and_be_killed

with DAG("asked", schedule=None) as dag:
    for n, kill in enumerate({(*KILLS, *[""] * LOST)!r}):
        InvokeOktaFlowOperator(
            task_id=f"asked-{{n}}",
            flow="asked" if kill else "asked_lost",
            payload={{"n": n, "task": f"asked-{{n}}", "kill": kill}},
            status=StatusFlow("asked_status", poke_interval=2, result="result"),
            success_when="n >= `0`",
            timeout=2,
            retries=RETRIES,
            pre_execute=tell_pid_and_be_killed,
        )
"""


@pytest.mark.timeout(300)
def test_a_killed_task_runs_its_flow_exactly_once(airflow: dict[str, str], tmp_path: Path) -> None:
    dags, pids = tmp_path / "dags", tmp_path / "pids"
    dags.mkdir()
    pids.mkdir()
    (dags / "asked.py").write_text(_DAG_FILE)
    flows = AskedFlows(pids)
    with LocalOrg(rate_limit=None) as org:
        flows.add_to(org)
        for fault in (Reset(after_run=True), Answer(504, after_run=True)):
            org.inject(fault, flow="asked_lost")
        environment = {
            **airflow,
            **org.environment(),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            # All tasks write to one SQLite database at the same time.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "tests.e2e.sqlite_patience.CONNECT_ARGS",
            "KILLED_TRIES_PIDS": str(pids),
        }
        command = [sys.executable, "-W", "ignore", "-m", "tests.integration.killed_tries"]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=280
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
        ended: dict[str, dict[str, Any]] = printed_json(done.stdout)
        runs = Counter(run.body["task"] for name in ("asked", "asked_lost") for run in org.flows[name].runs)

    assert {name: one["state"] for name, one in ended.items()} == dict.fromkeys(ended, "success"), done.stdout[-9000:]
    assert len(ended) == len(KILLS) + LOST
    assert sorted(one["killed"] for one in ended.values()) == [0] * LOST + [1] * len(KILLS)
    assert {one["try_number"] - one["killed"] for one in ended.values()} == {1}
    assert {one["max_tries"] for one in ended.values()} == {2}
    assert runs == dict.fromkeys(ended, 1)
