"""One invocation with all its costs in a task process: imports, the connection look-up, the operator."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks.airflow_environment import HTTP_CONN_ID, connect, connect_http, log_as_in_a_task
from benchmarks.figures import Figure, alone, at_most_times, compare
from benchmarks.measuring import alternate, become_warm_parent, cost_of, in_fork
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW = "onboard"
PAYLOAD = {"email": "ada@example.com", "groups": ["everyone", "engineering"]}
OURS, HTTP, NOTHING = "ours", "HttpOperator", "no invocation"


def measure(*, quick: bool) -> list[Figure]:
    """Compare the CPU time of one invocation by an operator in a forked process, with the token already cached.

    :param quick: whether to run in quick mode
    """
    forks = 2 if quick else 21
    log_as_in_a_task()
    with OrgProcess([FlowPlan(FLOW)]) as org:
        connect(CONN_ID, org.connection)
        connect_http(org.url, in_fork(_token))
        become_warm_parent()
        ways: dict[str, Callable[[], None]] = {
            OURS: _by_our_operator,
            HTTP: partial(_by_http_operator, org.endpoint(FLOW)),
            NOTHING: _nothing,
        }
        costs = alternate(forks, {name: partial(in_fork, partial(cost_of, way)) for name, way in ways.items()})
        imports = {OURS: _import_ours, HTTP: _import_http}
        imported = alternate(forks, {name: partial(in_fork, partial(cost_of, way)) for name, way in imports.items()})
    cpu = {name: [1000 * cost.cpu for cost in found] for name, found in costs.items()}
    wall = {name: [1000 * cost.wall for cost in found] for name, found in costs.items()}
    imports_cpu = {name: [1000 * cost.cpu for cost in found] for name, found in imported.items()}
    how = f"CPU; median of {forks} forks in turns; parent has Airflow's supervisor; with imports and look-up"
    return [
        compare(
            "one invocation in a new task process", "ms", cpu[OURS], HTTP, cpu[HTTP], how=how, target=at_most_times(0.5)
        ),
        compare(
            "the same: until the response is there",
            "ms",
            wall[OURS],
            HTTP,
            wall[HTTP],
            how="wall time; the request's first byte leaves about a millisecond earlier",
        ),
        compare(
            "the same: its imports alone",
            "ms",
            imports_cpu[OURS],
            HTTP,
            imports_cpu[HTTP],
            how="CPU; operator, hook and HTTP client",
        ),
        alone("a task that does nothing", "ms", cpu[NOTHING], how="the same fork, with an operator of Airflow's own"),
    ]


def _context() -> Any:
    ti = SimpleNamespace(
        dag_id="dag", run_id="run", task_id="task", map_index=-1, try_number=1, max_tries=0, xcom_push=lambda **_: None
    )
    return {"ti": ti, "task_instance": ti, "run_id": "run"}


def _token() -> str:
    from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

    return OktaWorkflowsHook().get_access_token().value


def _by_our_operator() -> None:
    from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator

    InvokeOktaFlowOperator(task_id="task", flow=FLOW, payload=PAYLOAD).execute(_context())


def _by_http_operator(endpoint: str) -> None:
    from airflow.providers.http.operators.http import HttpOperator

    headers = {"Content-Type": "application/json"}
    operator = HttpOperator(
        task_id="task", http_conn_id=HTTP_CONN_ID, endpoint=endpoint, data=json.dumps(PAYLOAD), headers=headers
    )
    operator.execute(_context())


def _import_ours() -> None:
    import airflow_okta_workflows.client.sync_client
    import airflow_okta_workflows.hooks.flow_hook
    import airflow_okta_workflows.operators.okta_workflows
    import airflow_okta_workflows.transport.h11_transport  # noqa: F401  # only imported


def _import_http() -> None:
    import airflow.providers.http.hooks.http
    import airflow.providers.http.operators.http  # noqa: F401  # only imported


def _nothing() -> None:
    from airflow.sdk import BaseOperator

    BaseOperator(task_id="task")
