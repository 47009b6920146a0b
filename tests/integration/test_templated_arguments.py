"""XComs in the arguments of an argument: the task runs after those whose XComs it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, task

from airflow_okta_workflows.decorators.okta_workflows import okta_flow_batch_task, okta_flow_task
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.operators.batch_source import open_source
from airflow_okta_workflows.operators.okta_workflows import (
    InvokeOktaFlowBatchOperator,
    InvokeOktaFlowOperator,
    SqlRows,
    StatusFlow,
)

Make = Callable[[Any], Any]


def single(**options: Any) -> Any:
    return InvokeOktaFlowOperator(**{"task_id": "task", "flow": "echo", "payload": {}, **options})


def batch(payloads: Any, **options: Any) -> Any:
    given = {"task_id": "task", "flow": "echo", "item_key": "email", **options}
    return InvokeOktaFlowBatchOperator(**given, payloads=payloads)


TASKS: dict[str, Make] = {
    "parameters of a query": lambda xcom: batch(SqlRows("hr", "SELECT email FROM p WHERE d = ?", [xcom])),
    "a query and its connection": lambda xcom: batch(SqlRows(xcom, xcom)),
    "a member of a status flow's payload": lambda xcom: single(status=StatusFlow("status", payload={"a": [xcom]})),
    "a status flow's payload": lambda xcom: single(status=StatusFlow("status", payload=xcom)),
    "a status flow": lambda xcom: batch([{}], status=StatusFlow(xcom)),
    "a status flow of a decorator": lambda xcom: okta_flow_task(
        lambda: {"a": 1}, task_id="task", flow="echo", status=StatusFlow(xcom)
    )(),
    "a status flow of a batch decorator": lambda xcom: okta_flow_batch_task(
        lambda: [{}], task_id="task", flow="echo", status=StatusFlow(xcom)
    )(),
    "a mapped query": lambda xcom: InvokeOktaFlowBatchOperator.partial(
        task_id="task", flow="echo", item_key="email"
    ).expand(payloads=[SqlRows("hr", "SELECT 1"), SqlRows("hr", "SELECT ?", [xcom])]),
    "a status flow of mapped tasks": lambda xcom: InvokeOktaFlowOperator.partial(
        task_id="task", flow="echo", status=StatusFlow("status", payload={"a": xcom})
    ).expand(payload=[{}, {}]),
    "a mapped status flow": lambda xcom: InvokeOktaFlowOperator.partial(task_id="task", flow="echo").expand_kwargs(
        [{"payload": {}, "status": StatusFlow("status", payload={"a": xcom})}]
    ),
}


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_a_task_runs_after_those_whose_xcoms_its_arguments_have(make: Make) -> None:
    with DAG("dag", schedule=None) as dag:
        make(_before())

    assert dag.get_task("task").upstream_task_ids == {"before"}


@task(task_id="before")
def _before() -> int:
    return 1


def test_without_an_xcom_nothing_is_before_a_task() -> None:
    with DAG("dag", schedule=None):
        assert batch(SqlRows("hr", "SELECT 1"), status=StatusFlow("status")).upstream_task_ids == set()


def test_a_query_that_an_xcom_gives_is_checked_when_it_is_known() -> None:
    with DAG("dag", schedule=None):
        sql: Any = _before()
        query = SqlRows("hr", sql)
    query.sql = 1  # type: ignore[assignment]  # what the other task returned

    with (
        pytest.raises(OktaConfigurationError, match="sql of SqlRows is not a string"),
        open_source(query, "email"),
    ):
        pass
