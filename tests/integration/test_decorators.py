"""The decorators: executed with a task's context, and run by a real Airflow, against the local org."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred, task

from airflow_okta_workflows.decorators.okta_workflows import okta_flow_batch_task, okta_flow_task
from airflow_okta_workflows.emulator import LocalOrg, StatusTable
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator
from tests.integration.task_context import Store, context, with_store
from tests.own_airflow import run_python

Connect = Callable[..., None]

DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG, task

from airflow_okta_workflows.operators.okta_workflows import StatusFlow

with DAG("decorated", schedule=None) as dag:

    @task
    def leavers():
        return ["ada", "bob"]

    @task.okta_flow(flow="echo", result="body", multiple_outputs=True)
    def greet(name: str, run_id: str) -> dict[str, str]:
        return {"name": name, "run": run_id}

    @task.okta_flow(flow="work", status=StatusFlow("work_status", poke_interval=1, result="result"), deferrable=True)
    def work(name: str):
        return {"worker": name}

    @task.okta_flow(flow="echo", result="body.leaver")
    def offboard(leaver: str):
        return {"leaver": leaver}

    @task.okta_flow_batch(flow="echo", result="body")
    def review(names):
        return ({"reviewed": name} for name in names)

    greeted = greet("ada")
    work(greeted["name"])
    review(offboard.expand(leaver=leavers()))
"""


def payload() -> dict[str, int]:
    return {"a": 1}


def decorated(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Return the operator of a decorated function that is called with these arguments."""
    with DAG("dag", schedule=None) as dag:
        okta_flow_task(function, **{"task_id": "task", "flow": "echo", **options})(*args)
    return dag.tasks[0]


def test_the_flow_is_invoked_with_what_the_function_returns(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    def greeting(name: str, run_id: str) -> dict[str, str]:
        return {"name": name, "run": run_id}

    found = decorated(greeting, "ada", result="body").execute(context())

    assert found == {"name": "ada", "run": "run"}


def test_what_the_function_returns_is_no_template_and_not_among_the_rendered_fields(
    org: LocalOrg, connect: Connect
) -> None:
    connect(org)
    operator = decorated(lambda: {"said": "{{ run_id }}"}, result="body.said")

    assert operator.execute(context()) == "{{ run_id }}"
    assert "payload" not in operator.template_fields


def test_a_function_that_returns_nothing_invokes_nothing(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    def forgetful() -> None:
        pass

    with pytest.raises(OktaConfigurationError, match=r"Function forgetful returned None(.|\n)*OKW-1670\): Return"):
        decorated(forgetful).execute(context())
    assert org.requests("echo") == []


def test_a_retry_that_finds_a_response_does_not_call_the_function(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store, calls = Store(), []

    def payload() -> dict[str, int]:
        calls.append(1)
        return {"call": len(calls)}

    results = [
        decorated(payload, result="body").execute(with_store(store, try_number=try_number)) for try_number in (1, 2)
    ]

    assert results == [{"call": 1}, {"call": 1}]
    assert len(org.flows["echo"].runs) == 1


def test_a_deferred_invocation_takes_the_payload_along(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    with pytest.raises(TaskDeferred) as deferred:
        decorated(payload, idempotent=True, deferrable=True).execute(context())

    assert json.loads(deferred.value.trigger.serialize()[1]["payload"]) == {"a": 1}


@pytest.mark.parametrize(
    ("decorator", "options", "told"),
    [
        (okta_flow_task, {"payload": {}}, r"OKW-1671\): Leave payload out"),
        (okta_flow_batch_task, {"payloads": []}, r"OKW-1671\): Leave payloads out"),
        (okta_flow_batch_task, {"multiple_outputs": True}, r"OKW-1672\): Leave multiple_outputs out"),
        (okta_flow_batch_task, {"deferrable": True}, r"OKW-1673\): Leave deferrable out"),
        (okta_flow_task, {"method": "GET"}, "GET"),
    ],
)
def test_what_cannot_work_is_refused_when_the_dag_is_parsed(
    decorator: Callable[..., Any], options: dict[str, Any], told: str
) -> None:
    with DAG("dag", schedule=None), pytest.raises(OktaConfigurationError, match=told):
        decorator(payload, flow="echo", **options)()


@pytest.mark.parametrize("options", [{"multiple_outputs": True}, {"deferrable": True}])
def test_the_batch_operator_refuses_the_same(options: dict[str, Any]) -> None:
    with pytest.raises(OktaConfigurationError, match=r"OKW-167[23]"):
        InvokeOktaFlowBatchOperator(task_id="task", flow="echo", payloads=[], **options)


def test_both_take_multiple_outputs() -> None:
    with DAG("dag", schedule=None) as dag:
        okta_flow_task(payload, flow="echo", task_id="one", multiple_outputs=True)()
        okta_flow_batch_task(
            payload, flow="echo", task_id="many", multiple_outputs=True, records_path="file:///tmp/records.jsonl"
        )()

    assert [vars(one)["multiple_outputs"] for one in dag.tasks] == [True, True]


def test_both_are_attributes_of_airflows_task() -> None:
    with DAG("dag", schedule=None) as dag:
        task.okta_flow(flow="echo", task_id="one")(payload)()
        task.okta_flow_batch(flow="echo", task_id="many")(payload)()

    assert [vars(type(one))["custom_operator_name"] for one in dag.tasks] == [
        "@task.okta_flow",
        "@task.okta_flow_batch",
    ]


@pytest.fixture(scope="module")
def ran(airflow: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalOrg]:
    """Run the DAG in an Airflow of its own, and yield the org."""
    dags = tmp_path_factory.mktemp("dags")
    (dags / "decorated.py").write_text(DAG_FILE)
    with LocalOrg() as org:
        org.flow("echo")(lambda request: {"body": request.body})
        table = StatusTable()
        org.flow("work")(table.worker_flow(lambda request: {"done_by": request.body["worker"]}))
        org.flow("work_status")(table.status_flow)
        environment = {**airflow, **org.environment(), "AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
        output = run_python(environment, "-m", "demo.run_dags", "decorated")
        assert "DAG run states: success" in output, output[-5000:]
        yield org


def test_an_airflow_passes_values_on_from_decorator_to_decorator(ran: LocalOrg) -> None:
    echoed = [run.body for run in ran.flows["echo"].runs]

    assert [body for body in echoed if "reviewed" in body] == [{"reviewed": "ada"}, {"reviewed": "bob"}]
    assert sorted(body["leaver"] for body in echoed if "leaver" in body) == ["ada", "bob"]
    assert [run.body for run in ran.flows["work"].runs] == [{"worker": "ada"}], "an output of greet()"
