"""A person is asked, in Airflow's Required Actions, about flows whose response was lost, and answers by the REST API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.emulator import LocalOrg, Reset
from tests.airflow_rest import READING_TIME, until
from tests.e2e.airflow_standalone import Airflow

# A whole Airflow, on two cores that may be busy.
pytestmark = pytest.mark.timeout(600)

Say = Callable[[str], None]
DAG_ID = "asks_a_person"
DAG_FILE = """
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator

with DAG("asks_a_person", schedule=None, default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}):
    for flow in ("ran", "did_not_run", "fails"):
        InvokeOktaFlowOperator(
            task_id=flow, flow=flow, payload={"email": "ada@example.com"}, on_unknown="ask",
            execution_timeout=timedelta(minutes=8),
        )
"""


@pytest.fixture
def org() -> Iterator[LocalOrg]:
    with LocalOrg(rate_limit=None, key_type="rsa2048") as org:
        for name in ("ran", "did_not_run", "fails"):
            org.flow(name)(lambda request: {"key": request.idempotency_key})
        org.inject(Reset(after_run=True), flow="ran")
        org.inject(Reset(), flow="did_not_run")
        org.inject(Reset(after_run=True), flow="fails")
        yield org


@pytest.fixture
def airflow(org: LocalOrg, tmp_path: Path) -> Iterator[Airflow]:
    home, dags = tmp_path / "home", tmp_path / "dags"
    home.mkdir()
    dags.mkdir()
    (dags / "asks_a_person.py").write_text(DAG_FILE)
    environment = {
        "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT": json.dumps(org.connection()),
        "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": str(home / "tokens"),
    }
    with Airflow(home, dags, environment, every=1) as airflow:
        yield airflow


def test_what_a_person_answers_is_done(org: LocalOrg, airflow: Airflow, say: Say) -> None:
    run_id = airflow.trigger(DAG_ID)

    def runs(flow: str) -> list[str | None]:
        return [run.idempotency_key for run in org.flows[flow].runs]

    def states() -> dict[str, str]:
        return {task["task_id"]: str(task["state"]) for task in airflow.tasks(DAG_ID, run_id)}

    def waits_for(task_id: str) -> dict[str, Any] | None:
        return airflow.questions(DAG_ID, run_id).get(task_id) if states()[task_id] == "awaiting_input" else None

    for task_id in ("ran", "did_not_run", "fails"):
        detail = until(partial(waits_for, task_id), 150, lambda: f"no question: {states()}")
        assert detail["options"] == ["It ran", "It did not run: invoke it", "Fail"]
        assert detail["subject"] == f"Did flow {task_id} run?"
        assert org.url in detail["body"]
        own = {name: value for name, value in detail.items() if name != "task_instance"}
        assert "ada@example.com" not in json.dumps(own)
        key = airflow.checkpoints(DAG_ID, run_id, task_id)["okta_workflows_invocation"]["idempotency_key"]
        assert f"`{key}`" in detail["body"]
    assert (len(runs("ran")), len(runs("did_not_run")), len(runs("fails"))) == (1, 0, 1)

    time.sleep(READING_TIME)
    airflow.answer(DAG_ID, run_id, "ran", "It ran", response="{user: ada}")
    # Asked again, with the answer taken back.
    until(lambda: waits_for("ran"), 60, lambda: f"not asked again: {states()}")
    time.sleep(READING_TIME)
    airflow.answer(DAG_ID, run_id, "ran", "It ran", response='{"user": "ada"}')
    airflow.answer(DAG_ID, run_id, "did_not_run", "It did not run: invoke it", response=None)
    airflow.answer(DAG_ID, run_id, "fails", "Fail", response=None)
    assert airflow.finished(DAG_ID, run_id, within=150) == "failed"

    assert states() == {"ran": "success", "did_not_run": "success", "fails": "failed"}
    assert json_of(airflow.xcom(DAG_ID, run_id, "ran")) == {"user": "ada"}
    (key,) = runs("did_not_run")
    assert json_of(airflow.xcom(DAG_ID, run_id, "did_not_run")) == {"key": key}
    assert (len(runs("ran")), len(runs("fails"))) == (1, 1)
    (log,) = airflow.failures(DAG_ID, run_id)
    assert "OktaFlowOutcomeUnknownError" in log
    tries = {task["task_id"]: task["try_number"] for task in airflow.tasks(DAG_ID, run_id)}
    say(f"3 lost responses, 3 questions, one answered twice: {states()}, tries {tries}, no flow ran twice")
    assert set(tries.values()) == {1}


def json_of(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
