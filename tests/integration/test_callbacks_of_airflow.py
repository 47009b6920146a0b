"""The notifier, called by Airflow's own code of the task process, the DAG processor, the triggerer and the executor."""

from __future__ import annotations

import asyncio
import importlib
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.notifications.okta_workflows import OktaFlowNotifier
from tests.airflow_features import TASK_SDK, Feature, importable, needs

Connect = Callable[..., None]

START = datetime(2026, 11, 27, 6, 0, 0, 123456, tzinfo=UTC)
LOG = MagicMock()
PATH = "airflow_okta_workflows.notifications.okta_workflows.OktaFlowNotifier"
DEADLINE = {
    "dag_run": {"dag_id": "dag", "dag_run_id": "run", "state": "running"},
    "deadline": {"id": "0199", "deadline_time": START.isoformat()},
}

CALLBACK_TRIGGER = Feature("deadline alerts", importable("airflow.triggers.callback", "CallbackTrigger"))
DEADLINE_TRIGGER = Feature(
    "the first form of deadline alerts", importable("airflow.triggers.deadline", "DeadlineCallbackTrigger")
)
EXECUTOR_CALLBACKS = Feature(
    "deadline alerts on an executor", importable("airflow.sdk.execution_time.callback_supervisor", "execute_callback")
)


class Mapped(BaseOperator):
    """Operator that can be mapped."""

    def __init__(self, *, number: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number


def dag_run(model: Any, **fields: Any) -> Any:
    """Return a DAG run as the API server sends it."""
    given = {
        "dag_id": "dag", "run_id": "run", "logical_date": None, "data_interval_start": None, "data_interval_end": None,
        "run_after": START, "start_date": START, "end_date": None, "run_type": "manual", "state": "running",
        "conf": {}, "consumed_asset_events": [], "partition_key": None, "triggering_user_name": None, **fields,
    }  # fmt: skip
    return model.model_validate({name: value for name, value in given.items() if name in model.model_fields})


def fields_of(try_number: int) -> dict[str, Any]:
    ids = {"id": uuid.uuid4(), "dag_version_id": uuid.uuid4(), "dag_id": "dag", "run_id": "run", "task_id": "task"}
    return {**ids, "try_number": try_number, "map_index": 0}


def call_in_the_worker(task: BaseOperator, state: str, error: Exception, try_number: int = 1) -> None:
    """Call the callbacks as the task's process does."""
    runner: Any = importlib.import_module("airflow.sdk.execution_time.task_runner")
    generated: Any = importlib.import_module("airflow.sdk.api.datamodels._generated")
    server = generated.TIRunContext(dag_run=dag_run(generated.DagRun), max_tries=1, should_retry=False)
    ti = runner.RuntimeTaskInstance.model_construct(
        **fields_of(try_number), task=task, max_tries=1, state=state, start_date=START, _ti_context_from_server=server
    )
    context = ti.get_template_context()
    context["exception"] = error
    kind = {"failed": "on_failure_callback", "up_for_retry": "on_retry_callback"}[state]
    runner._run_task_state_change_callbacks(task, kind, context, LOG)


def call_in_the_dag_processor(task: Any, state: str, try_number: int = 1) -> None:
    """Call the callbacks as the DAG processor does for a task that died, with a request from the scheduler."""
    processor: Any = importlib.import_module("airflow.dag_processing.processor")
    requests: Any = importlib.import_module("airflow.callbacks.callback_requests")
    models: Any = importlib.import_module("airflow.api_fastapi.execution_api.datamodels.taskinstance")
    request = requests.TaskCallbackRequest(
        filepath="dag.py",
        bundle_name="dags-folder",
        bundle_version=None,
        msg="the task sent no heartbeat",
        ti=models.TaskInstance(**fields_of(try_number)),
        task_callback_type=state,
        context_from_server=models.TIRunContext(dag_run=dag_run(models.DagRun), max_tries=1),
    )
    bag = SimpleNamespace(dags={"dag": task.dag})
    processor._execute_task_callbacks(bag, requests.TaskCallbackRequest.from_json(request.to_json()), LOG)


@needs(TASK_SDK)
@pytest.mark.parametrize("state", ["failed", "up_for_retry"])
@pytest.mark.parametrize("mapped", [False, True])
def test_worker_and_dag_processor_report_a_task_alike(
    org: LocalOrg, connect: Connect, state: str, mapped: bool
) -> None:
    connect(org)
    notifiers = [
        OktaFlowNotifier(flow="echo"),
        OktaFlowNotifier(flow="echo", payload={"try": "{{ ti.try_number }}", "what": "{{ exception }}"}),
    ]
    arguments = {"on_failure_callback": notifiers, "on_retry_callback": notifiers}
    with DAG("dag", schedule=None, start_date=START, default_args=arguments):
        task: Any = Mapped.partial(task_id="task").expand(number=[1]) if mapped else BaseOperator(task_id="task")
    in_the_worker = task.unmap({"number": 1}) if mapped else task
    try_number = 1 if state == "up_for_retry" else 2

    call_in_the_worker(in_the_worker, state, ValueError("no"), try_number)
    call_in_the_dag_processor(task, state, try_number)

    bodies = [run.body for run in org.flows["echo"].runs]
    keys = [run.idempotency_key for run in org.flows["echo"].runs]
    assert len(keys) == 4
    assert keys[:2] == keys[2:]
    assert keys[0] != keys[1]
    event = "failure" if state == "failed" else "retry"
    assert [(body["event"], body["state"]) for body in (bodies[0], bodies[2])] == [(event, state)] * 2
    assert (bodies[0]["exception_message"], bodies[2]["exception_message"]) == ("no", None)
    assert (bodies[1]["what"], bodies[3]["what"]) == ("no", "None")


@needs(TASK_SDK)
@pytest.mark.parametrize("with_last_task", [False, True])
def test_the_dag_processor_reports_the_end_of_a_run(org: LocalOrg, connect: Connect, with_last_task: bool) -> None:
    processor: Any = importlib.import_module("airflow.dag_processing.processor")
    requests: Any = importlib.import_module("airflow.callbacks.callback_requests")
    models: Any = importlib.import_module("airflow.api_fastapi.execution_api.datamodels.taskinstance")
    connect(org)
    notifier = OktaFlowNotifier(flow="echo")
    with DAG("dag", schedule=None, start_date=START, on_failure_callback=notifier) as dag:
        BaseOperator(task_id="task", on_failure_callback=notifier)
    given = {"dag_run": dag_run(models.DagRun), "last_ti": models.TaskInstance(**fields_of(1))}
    request = requests.DagCallbackRequest(
        filepath="dag.py",
        bundle_name="dags-folder",
        bundle_version=None,
        msg="task_failure",
        dag_id="dag",
        run_id="run",
        is_failure_callback=True,
        context_from_server=requests.DagRunContext(**given) if with_last_task else None,
    )

    processor._execute_dag_callbacks(SimpleNamespace(dags={"dag": dag}), request, LOG)

    (run,) = org.flows["echo"].runs
    assert (run.body["event"], run.body["run_id"], run.body["task_id"]) == ("dag_failure", "run", None)
    assert run.body["reason"] == "task_failure"


def events_of(trigger: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(collect())


@needs(CALLBACK_TRIGGER)
def test_the_triggerer_reports_a_missed_deadline(org: LocalOrg, connect: Connect) -> None:
    trigger: Any = importlib.import_module("airflow.triggers.callback").CallbackTrigger
    connect(org)

    for _ in range(2):  # a trigger may run twice
        given = {"flow": "echo", "timeout": 5, "context": dict(DEADLINE)}
        told = events_of(trigger(callback_path=PATH, callback_kwargs=given))

    assert [event["state"] for event in told] == ["running", "success"]
    first, second = org.flows["echo"].runs
    assert first.body["event"] == "deadline"
    assert first.body["deadline"] == START.isoformat()
    assert first.idempotency_key == second.idempotency_key


@needs(DEADLINE_TRIGGER)
def test_the_triggerer_of_airflow_3_1_reports_a_missed_deadline(org: LocalOrg, connect: Connect) -> None:
    trigger: Any = importlib.import_module("airflow.triggers.deadline").DeadlineCallbackTrigger
    connect(org)

    told = events_of(trigger(callback_path=PATH, callback_kwargs={"flow": "echo", "context": dict(DEADLINE)}))

    assert [event["state"] for event in told] == ["running", "success"]
    assert [run.body["event"] for run in org.flows["echo"].runs] == ["deadline"]


@needs(CALLBACK_TRIGGER)
def test_the_triggerer_never_sees_an_error(org: LocalOrg, connect: Connect) -> None:
    trigger: Any = importlib.import_module("airflow.triggers.callback").CallbackTrigger
    connect(org)

    given = {"flow": "nobody", "payload": {"{% if": "hunter2"}, "headers": 5, "context": dict(DEADLINE)}
    told = events_of(trigger(callback_path=PATH, callback_kwargs=given))

    assert [event["state"] for event in told] == ["running", "success"]


@needs(EXECUTOR_CALLBACKS)
def test_an_executor_reports_a_missed_deadline(org: LocalOrg, connect: Connect) -> None:
    supervisor: Any = importlib.import_module("airflow.sdk.execution_time.callback_supervisor")
    connect(org)

    given = {"flow": "echo", "context": dict(DEADLINE)}
    done = supervisor.execute_callback(PATH, given, dag_rel_path=None, bundle_path=None, log=LOG)

    assert done == (True, None)
    assert [run.body["event"] for run in org.flows["echo"].runs] == ["deadline"]


@needs(Feature("deadline alerts", importable("airflow.sdk", "AsyncCallback", "DeadlineAlert")))
def test_a_dag_with_a_deadline_can_be_stored() -> None:
    from datetime import timedelta

    from tests.airflow_features import kept_by_airflow

    sdk: Any = importlib.import_module("airflow.sdk")
    alert = sdk.DeadlineAlert(
        reference=sdk.DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=5),
        callback=sdk.AsyncCallback(OktaFlowNotifier, kwargs={"flow": "page", "payload": {"run": "{{ dag_run }}"}}),
    )

    assert kept_by_airflow(sdk.DAG("dag", schedule=None, start_date=START, deadline=alert)).dag_id == "dag"
