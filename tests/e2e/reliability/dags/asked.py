"""DAGs of a flow that can be asked about: tasks that are killed at each moment of a run, lost responses, and a batch."""

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG
from held_tasks import tell_pid, tell_pid_and_be_killed

from airflow_okta_workflows.operators.okta_workflows import (
    InvokeOktaFlowBatchOperator,
    InvokeOktaFlowOperator,
    StatusFlow,
)

ON_THE_WORKER = {
    "start": 1,
    "before sending": 1,
    "after sending": 3,
    "arrived": 3,
    "late": 2,
    "row": 3,
    "before started": 2,
    "after started": 1,
    "question": 2,
    "end": 1,
    "after responded": 1,
}
"""How many tasks are killed at each moment."""
DEFERRED = {"": 8, "after sending": 2, "arrived": 2, "late": 1, "row": 2, "after started": 2, "end": 3}
LOST = {"": 8}
BATCH = 150


def asked(dag_id: str, moments: dict[str, int], *, flow: str = "asked", held: bool = False, **options: Any) -> None:
    """Make a DAG with one mapped task.

    :param dag_id: the id of the DAG and its task
    :param moments: how many tasks are killed at each moment
    :param flow: the flow
    :param held: whether its runs end only when the test lets them
    :param options: further arguments of the operator
    """
    kills = [moment for moment, number in moments.items() for _ in range(number)]
    with DAG(dag_id, schedule=None, max_active_tasks=len(kills)):
        InvokeOktaFlowOperator.partial(
            task_id=dag_id,
            flow=flow,
            status=StatusFlow("asked_status", poke_interval=2, result="result"),
            success_when="n >= `0`",
            # Shortens settle, which is 25 s more.
            timeout=2,
            retries=2,
            retry_delay=timedelta(seconds=1),
            pre_execute=tell_pid_and_be_killed,
            **options,
        ).expand(
            payload=[
                {"n": n, "dag": dag_id, "task": f"{dag_id}-{n}", "kill": kill, "held": held}
                for n, kill in enumerate(kills)
            ]
        )


asked("asked_killed", ON_THE_WORKER)
asked("asked_deferred", DEFERRED, held=True, deferrable=True)
asked("asked_lost", LOST, flow="asked_lost")

with DAG("asked_batch", schedule=None):
    InvokeOktaFlowBatchOperator(
        task_id="asked_batch",
        flow="asked",
        payloads=[{"n": n, "dag": "asked_batch", "task": "asked_batch", "kill": ""} for n in range(BATCH)],
        # The status flow, too, is asked at most ten times a second.
        status=StatusFlow("asked_status", poke_interval=5, result="result"),
        success_when="n >= `0`",
        result="n",
        timeout=2,
        retries=2,
        retry_delay=timedelta(seconds=1),
        pre_execute=tell_pid,
    )
