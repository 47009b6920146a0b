"""The run of a flow that a task instance wants, before it has a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.flows.exactly_once import Knowledge, KnownRun
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun, computed_identity
from airflow_okta_workflows.core.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping


def new_wanted_run(context: Mapping[str, Any]) -> WantedRun:
    """Return a wanted run that has no checkpoint yet.

    With a task state store (Airflow 3.3+) its identity is random. The store deletes it with the DAG run, so a DAG run
    that is deleted and created again under the same id gets a new identity. Without a store the identity is computed
    from values that Airflow does not change between retries.

    :param context: the task's context
    """
    ti = context["ti"]
    if context.get("task_state_store") is not None:
        return WantedRun(Runtime().new_id(), ti.max_tries)
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
    """Return a value that changes if a run is deleted and created again: its row's id (Airflow 2.11) or its start."""
    return str(getattr(dag_run, "id", None) or getattr(dag_run, "start_date", None) or "")


def known_without_store(run: WantedRun, ti: Any) -> KnownRun:
    """Return what is known about a run when a try starts, where no checkpoint can be stored.

    :param run: the wanted run
    :param ti: the task instance
    """
    # Any try before this one may have sent it.
    return KnownRun(run, Knowledge.NEVER_SENT if ti.try_number <= 1 else Knowledge.MAY_RUN)
