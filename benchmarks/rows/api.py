"""Requests to Airflow's API server by a task's first try: by our operator, and by the http provider's."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import TIRunContext
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import comms, task_runner

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator, StatusFlow
from benchmarks.airflow_environment import HTTP_CONN_ID, log_as_in_a_task
from benchmarks.figures import Figure, alone, at_most, compare
from benchmarks.measuring import in_fork
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import hand_script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.sdk import BaseOperator

FLOW, STATUS = "onboard", "onboard_status"
PAYLOAD = {"email": "ada@example.com"}
OURS, WITH_STATUS, HTTP = "ours", "ours with status", "HttpOperator"
_STAYS = {"MaskSecret"}
"""Messages that the supervisor handles itself, without a request to the API server."""


def measure(*, quick: bool) -> list[Figure]:  # noqa: ARG001  # one task of each kind is enough to count
    """Count the requests of one successful task of each kind, in Airflow's own task runner.

    :param quick: whether to run in quick mode
    """
    log_as_in_a_task()
    with OrgProcess([FlowPlan(FLOW), FlowPlan(STATUS, response='{"status": "SUCCEEDED"}')]) as org:
        token = hand_script.ask_for_token(org.token_url, org.client_id, org.private_key_pem, org.key_id)
        bearer = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connections = {CONN_ID: org.connection, HTTP_CONN_ID: {"conn_type": "http", "host": org.url, "extra": bearer}}
        ways: dict[str, Callable[[], BaseOperator]] = {
            OURS: _ours,
            WITH_STATUS: _ours_with_status,
            HTTP: partial(_http, org.endpoint(FLOW)),
        }
        counts = {name: in_fork(partial(_requests_of, way, connections)) for name, way in ways.items()}
    how = "of a first try; messages to the supervisor that it passes on, counted in Airflow's task runner"
    return [
        _beside("requests to Airflow's API", counts, OURS, how=how),
        _beside("the same, with status", counts, WITH_STATUS, how="and one poll of the status flow"),
        *(
            alone(what, "", [counts[name][message]], how="of the requests above", target=at_most(limit))
            for what, name, message, limit in (
                ("checkpoints written", OURS, "SetTaskStateStore", 2),
                ("checkpoints written, with status", WITH_STATUS, "SetTaskStateStore", 3),
            )
        ),
        alone(
            "checkpoints read",
            "",
            [counts[OURS]["GetTaskStateStore"]],
            how="Airflow may run a first try again: after a reschedule, or when a broker delivers it twice",
        ),
        alone(
            "XComs more than HttpOperator",
            "",
            [counts[OURS]["SetXCom"] - counts[HTTP]["SetXCom"]],
            how="execution_id, status_code, and the link to the console, which Airflow stores again at the end",
        ),
        _beside("connections looked up", counts, OURS, how="of the requests above", message="GetConnection"),
    ]


def _beside(what: str, counts: Mapping[str, Counter[str]], ours: str, *, how: str, message: str = "") -> Figure:
    found = {name: count[message] if message else count.total() for name, count in counts.items()}
    return compare(what, "", [found[ours]], HTTP, [found[HTTP]], how=how)


class _Supervisor:
    """Supervisor that counts messages, and knows connections and the task's own XComs.

    :param connections: the connections by id, in the form of :meth:`airflow.models.Connection.from_json`
    """

    def __init__(self, connections: Mapping[str, Mapping[str, Any]]) -> None:
        self.counts: Counter[str] = Counter()
        self._connections = connections
        self._xcoms: dict[str, Any] = {}

    def send(self, msg: Any) -> Any:
        """Count a message, and return the response to it."""
        kind = type(msg).__name__
        if kind not in _STAYS:
            self.counts[kind] += 1
        if kind == "GetConnection":
            return self._connection(msg.conn_id)
        if kind == "SetXCom":
            self._xcoms[msg.key] = msg.value
        if kind == "GetXCom":
            return comms.XComResult(key=msg.key, value=self._xcoms.get(msg.key))
        if kind.startswith("Get"):
            return comms.ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
        if kind.startswith("Validate"):
            return comms.InactiveAssetsResult(inactive_assets=[])
        return None

    async def asend(self, msg: Any) -> Any:
        """Count a message, and return the response to it."""
        return self.send(msg)

    def _connection(self, conn_id: str) -> Any:
        nothing = dict.fromkeys(("host", "schema", "login", "password", "port", "extra"))
        fields = {**nothing, **self._connections[conn_id], "conn_id": conn_id}
        return comms.ConnectionResult.model_validate({**fields, "extra": json.dumps(fields["extra"])})


def _requests_of(make: Callable[[], BaseOperator], connections: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    supervisor = _Supervisor(connections)
    task_runner.SUPERVISOR_COMMS = supervisor  # type: ignore[assignment]  # it has what a task uses
    with DAG("dag", schedule=None):
        task = make()
    ti, log = _first_try(task), structlog.get_logger("task")
    context = ti.get_template_context()
    state, _, error = task_runner.run(ti, context, log)
    task_runner.finalize(ti, state, context, log, error)
    if state != "success":
        raise RuntimeError(f"the task ended as {state}: {error}")
    return supervisor.counts


def _first_try(task: BaseOperator) -> task_runner.RuntimeTaskInstance:
    now = datetime.now(UTC)
    dag_run = {
        "dag_id": "dag", "run_id": "run", "logical_date": now, "data_interval_start": now, "data_interval_end": now,
        "run_after": now, "start_date": now, "end_date": None, "run_type": "manual", "state": "running",
        "consumed_asset_events": [], "partition_key": None,
    }  # fmt: skip
    return task_runner.RuntimeTaskInstance.model_construct(
        id=uuid4(),
        task_id=task.task_id,
        dag_id="dag",
        run_id="run",
        try_number=1,
        dag_version_id=uuid4(),
        map_index=-1,
        task=task,
        bundle_instance=None,
        _ti_context_from_server=TIRunContext.model_validate({"dag_run": dag_run, "max_tries": 0}),
        max_tries=0,
        start_date=now,
        state="running",
        sentry_integration="",
    )


def _ours() -> BaseOperator:
    return InvokeOktaFlowOperator(task_id="task", flow=FLOW, payload=PAYLOAD)


def _ours_with_status() -> BaseOperator:
    return InvokeOktaFlowOperator(
        task_id="task", flow=FLOW, payload=PAYLOAD, status=StatusFlow(STATUS, poke_interval=0.1)
    )


def _http(endpoint: str) -> BaseOperator:
    from airflow.providers.http.operators.http import HttpOperator

    return HttpOperator(task_id="task", http_conn_id=HTTP_CONN_ID, endpoint=endpoint, data=json.dumps(PAYLOAD))
