"""The run of a flow that a task instance wants, before anything is noted of it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.flows.idempotency_key import WantedRun, computed_identity

if TYPE_CHECKING:
    from collections.abc import Mapping


def new_wanted_run(context: Mapping[str, Any]) -> WantedRun:
    """Return a wanted run of which nothing has been noted yet.

    With a task state store (Airflow 3.3+) its identity is random: noted there, it goes with the database's row of the
    DAG run, so a run that is deleted and made again under its id has another. Without one it is computed from what
    Airflow leaves as it is over retries.

    :param context: the task's context
    """
    ti = context["ti"]
    if context.get("task_state_store") is not None:
        return WantedRun(str(uuid.uuid4()), ti.max_tries)
    identity = computed_identity(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        max_tries=ti.max_tries,
        run_mark=_run_mark(context.get("dag_run")),
    )
    return WantedRun(identity, ti.max_tries)


def _run_mark(dag_run: Any) -> str:
    """Return what differs for a run that was deleted and made again: the row's id (Airflow 2.11), or when it began."""
    return str(getattr(dag_run, "id", None) or getattr(dag_run, "start_date", None) or "")
