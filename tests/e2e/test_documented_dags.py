"""The DAGs in the docs, run by a real Airflow in a separate process, with the docs' flows on the local org."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_okta_workflows.emulator import LocalOrg, Reset
from airflow_okta_workflows.emulator.flow_file import flows_in
from tests.own_airflow import IN_ONE_PROCESS, flows_that_keep_a_task_waiting, own_environment
from tests.pages import ALIAS, ROOT, blocks, write_files

IMPORTS, *EXAMPLES = [block for block in blocks("docs/operators.md") if block.language == "python"]


@dataclass
class Runs:
    """Result of running all DAGs, one after the other.

    :param org: the local org after the last run
    :param states: state of each DAG's run, by DAG id
    :param log: Airflow's output
    :param database: path of Airflow's database
    """

    org: LocalOrg
    states: dict[str, str]
    log: str
    database: Path


def write_examples(folder: Path) -> None:
    """Write each example of docs/operators.md into a separate DAG file, below the imports of the page."""
    for number, block in enumerate(EXAMPLES, 1):
        body = textwrap.indent(block.text, "    ")
        dag_id = f"operators_{number}"
        text = f'{IMPORTS.text}\n\nwith DAG("{dag_id}", schedule=None) as dag:\n{body}'
        (folder / f"{dag_id}.py").write_text(text)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    home = tmp_path_factory.mktemp("airflow")
    write_files("docs/writing-flows.md", home)
    write_examples(home / "dags")
    dag_ids = sorted(path.stem for path in (home / "dags").glob("*.py"))
    with LocalOrg() as org:
        org.add_flows(flows_that_keep_a_task_waiting())
        org.flow("hello", alias=ALIAS)(org.flows["hello"].function)
        for declared in flows_in(home / "flows.py"):
            org.flow(declared.name)(declared.function)
        org.inject(Reset(after_run=True), flow="open_ticket")
        dags = {"AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags")}
        environment = own_environment(home, **org.environment(), **dags, **IN_ONE_PROCESS)
        log = ""
        for arguments in (["airflow", "db", "migrate"], ["demo.run_dags", *dag_ids]):
            done = subprocess.run(
                [sys.executable, "-m", *arguments],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=250,
            )
            log += done.stdout + done.stderr
        told = re.search(r"^DAG run states: (.*)$", log, re.MULTILINE)
        assert told, log[-5000:]
        yield Runs(org, dict(zip(dag_ids, told[1].split(), strict=True)), log, home / "airflow.db")


@pytest.mark.timeout(300)
def test_each_dag_succeeds(runs: Runs) -> None:
    assert len(runs.states) == 4 + len(EXAMPLES)
    failed = {name for name, state in runs.states.items() if not state.endswith("success")}
    assert failed == set(), runs.log[-5000:]


def test_the_worker_flow_is_waited_for_by_its_idempotency_key(runs: Runs) -> None:
    (started,) = runs.org.flows["start_import"].runs
    asked = [run.body["job_id"] for run in runs.org.flows["import_status"].runs]

    assert set(asked) == {started.idempotency_key}


def test_the_idempotent_flow_opens_one_ticket_though_its_response_was_lost(runs: Runs) -> None:
    first, second = runs.org.requests("open_ticket")
    keys = {run.idempotency_key for run in runs.org.flows["open_ticket"].runs}

    assert (first.status, second.status) == (None, 200)
    assert len(keys) == 1
    assert '"T-1"' in second.response


def test_a_task_of_ones_own_sends_the_key_that_is_stored_for_its_later_tries(runs: Runs) -> None:
    (run,) = [run for run in runs.org.flows["hello"].runs if run.body == {"name": "Grace"}]
    with closing(sqlite3.connect(runs.database)) as database:
        checkpoint = database.execute("SELECT value FROM task_state_store WHERE task_id = 'greet_once'").fetchall()

    assert [json.loads(value)["idempotency_key"] for (value,) in checkpoint] == [run.idempotency_key]


def test_the_examples_did_what_the_page_says(runs: Runs) -> None:
    org = runs.org
    welcomed = [run.body for run in org.flows["send_welcome"].runs]
    executions = {run.execution_id for run in org.flows["create_account"].runs}

    assert all(body["account_id"].startswith("00u") and body["execution"] in executions for body in welcomed)
    assert welcomed
    assert {run.body["group"] for run in org.flows["add_to_group"].runs} == {"everyone", "engineering"}
    assert len(org.flows["review_access"].runs) == 10
    asked_by_the_sensor = [
        run for run in org.flows["provision_status"].runs if "execution_id" in run.body and len(run.body) == 1
    ]
    assert len(asked_by_the_sensor) >= 2, "once on the worker, then in the triggerer, then to see"
    assert {request.headers["user-agent"].split("/")[0] for request in org.requests("hello")} == {
        "airflow-provider-okta-workflows"
    }
    without_a_key = [request for request in org.log if "idempotency-key" not in request.headers]
    assert [request.flow for request in without_a_key] == ["hello"], "HttpOperator sends none"
