"""Notifications of a real Airflow: from the task's process, the DAG processor and the triggerer."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.emulator import LocalOrg, Reset
from airflow_okta_workflows.emulator.flow_file import flows_in
from tests.airflow_features import importable
from tests.airflow_rest import until
from tests.e2e.airflow_standalone import Airflow, files_below
from tests.pages import write_files

# A whole Airflow, on two cores that may be busy.
pytestmark = pytest.mark.timeout(600)

Say = Callable[[str], None]
PASSWORD = "e2e-password-4711"
DAG_FILE = f"""
import os
import time
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task
from airflow.sdk.log import mask_secret

from airflow_okta_workflows.notifications.okta_workflows import OktaFlowNotifier

report = OktaFlowNotifier(flow="report")
further = OktaFlowNotifier(flow="report", payload={{"further": "{{{{ ti.task_id }}}}", "what": "{{{{ exception }}}}"}})
unknown = OktaFlowNotifier(flow="nobody")

def wait():
    folder = Path(os.environ["PIDS"])
    (folder / "task.new").write_text(f"{{os.getpid()}} {{os.getppid()}}")
    (folder / "task.new").rename(folder / "task")
    time.sleep(300)

with DAG(
    "events", schedule=None, on_failure_callback=report,
    default_args={{"on_failure_callback": [report, unknown, further], "on_retry_callback": report}},
) as dag:

    @task
    def fails():
        mask_secret("{PASSWORD}")
        raise ValueError("the password {PASSWORD} is wrong\\nand more")

    fails()

with DAG("lost", schedule=None, on_failure_callback=report, default_args={{"on_failure_callback": report}}):
    task(task_id="with_its_worker")(wait)()

with DAG("died", schedule=None, on_failure_callback=report, default_args={{"on_failure_callback": report}}):
    task(task_id="alone")(wait)()

with DAG("mapped", schedule=None, default_args={{"on_success_callback": report}}):

    @task
    def number(one):
        return one

    number.expand(one=[1, 2])
"""


@pytest.fixture
def org(tmp_path: Path) -> Iterator[LocalOrg]:
    write_files("docs/notifications.md", tmp_path)
    with LocalOrg(rate_limit=None, key_type="rsa2048") as org:
        org.add_flows({one.name: one.function for one in flows_in(tmp_path / "flows.py")})
        yield org


@pytest.fixture
def airflow(org: LocalOrg, tmp_path: Path) -> Iterator[Airflow]:
    home, dags = tmp_path / "home", tmp_path / "dags"
    home.mkdir()
    (dags / "events.py").write_text(DAG_FILE)
    deadline = dags / "nightly_deadline.py"
    text = deadline.read_text().replace("timedelta(minutes=30)", "timedelta(seconds=20)")
    if not importable("airflow.sdk", "DeadlineAlert"):
        names = "AsyncCallback, DeadlineAlert, DeadlineReference"
        split = f"from airflow.sdk import DAG, task\nfrom airflow.sdk.definitions.deadline import {names}"
        text = text.replace(f"from airflow.sdk import DAG, {names}, task", split)
    deadline.write_text(text.replace("        pass\n", "        import time\n\n        time.sleep(45)\n"))
    environment = {
        "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT": json.dumps(org.connection()),
        "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": str(home / "tokens"),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "PIDS": str(tmp_path),
    }
    with Airflow(home, dags, environment, every=1) as airflow:
        yield airflow


def test_each_event_is_reported_once(org: LocalOrg, airflow: Airflow, tmp_path: Path, say: Say) -> None:
    def reports(**members: Any) -> list[Any]:
        return [run for run in org.flows["report"].runs if members.items() <= run.body.items()]

    def pids() -> list[int]:
        path = tmp_path / "task"
        found = until(lambda: path.read_text() if path.exists() else "", 120, "the task did not begin", airflow.every)
        path.unlink()
        return [int(pid) for pid in found.split()]

    deadline = airflow.trigger("nightly_deadline")
    lost = airflow.trigger("lost")
    for pid in reversed(pids()):
        os.kill(pid, signal.SIGKILL)
    died = airflow.trigger("died")
    os.kill(pids()[0], signal.SIGKILL)
    org.inject(Reset(after_run=True), flow="report")
    events, mapped, load = (airflow.trigger(dag_id) for dag_id in ("events", "mapped", "nightly_load"))

    # A task that fails, with a notifier that fails between two others.
    assert airflow.finished("events", events, within=120) == "failed"
    (failure,) = reports(event="failure", dag_id="events")
    assert failure.body["run_id"] == events
    assert (failure.body["task_id"], failure.body["try_number"], failure.body["state"]) == ("fails", 1, "failed")
    assert failure.body["exception_class"] == "ValueError"
    assert failure.body["exception_message"] == "the password *** is wrong"
    assert failure.body["log_url"].startswith(f"{airflow.url}/dags/events/runs/")
    (further,) = reports(further="fails")
    assert further.idempotency_key != failure.idempotency_key
    log = airflow.task_logs("events", "fails")
    assert "The notification failed: failure of events.fails" in log
    assert "There is no flow named 'nobody' in the connection." in log
    (end,) = until(lambda: reports(event="dag_failure", dag_id="events"), 60, "no end of the run", airflow.every)
    assert (end.body["reason"], end.body["task_id"]) == ("task_failure", None)

    assert airflow.finished("mapped", mapped, within=120) == "success"
    assert {run.body["map_index"] for run in reports(event="success", dag_id="mapped")} == {0, 1}
    assert airflow.finished("nightly_load", load, within=120) == "failed"
    assert len(reports(event="failure", dag_id="nightly_load")) == 1

    # Of a task whose process dies under a worker that lives, Airflow runs the DAG's callbacks alone.
    assert airflow.finished("died", died, within=120) == "failed"
    until(lambda: reports(event="dag_failure", dag_id="died"), 60, "no end of the run", airflow.every)
    assert reports(event="failure", dag_id="died") == []

    # A task that is lost with its worker is reported by the DAG processor.
    assert airflow.finished("lost", lost, within=180) == "failed"
    # Airflow 3.3.2 does so twice: for the heartbeats that are missing, and for the executor that has lost the task.
    until(lambda: reports(event="failure", dag_id="lost"), 90, "no report", airflow.every)
    until(lambda: reports(event="dag_failure", dag_id="lost"), 90, "no end of the run", airflow.every)
    by_the_processor = reports(event="failure", dag_id="lost")
    assert len({run.idempotency_key for run in by_the_processor}) == 1
    body = by_the_processor[0].body
    assert (body["run_id"], body["task_id"], body["exception_class"]) == (lost, "with_its_worker", None)
    assert body["log_url"].startswith(f"{airflow.url}/dags/lost/runs/")

    (missed,) = until(lambda: reports(event="deadline"), 120, "no deadline was reported", airflow.every)
    assert (missed.body["dag_id"], missed.body["run_id"]) == ("nightly_deadline", deadline)
    assert missed.body["deadline"]
    assert airflow.finished("nightly_deadline", deadline, within=120) == "success"

    runs = org.flows["report"].runs
    twice = [run for run in runs if run.body.get("event") == "failure" and run.body["dag_id"] == "lost"]
    others = [run.idempotency_key for run in runs if run not in twice]
    assert len(set(others)) == len(others)
    private_key = str(org.connection()["password"])
    secrets = [line for line in private_key.splitlines() if len(line) > 40 and "KEY" not in line]
    for path in files_below(airflow.home):
        kept = path.read_text(errors="replace") if path.suffix == ".log" else ""
        assert not any(secret in kept for secret in secrets), path
    say(f"{len(others) + 1} events, each under one key; Airflow reported the lost task {len(twice)} times")
