"""Tries of a task in forked processes of their own, which may be killed; this Airflow's functions lead to the next try.

``python -m tests.integration.killed_tries`` makes a run of the DAG ``asked`` in the file ``asked.py`` of the DAGs folder,
executes all its tasks side by side, and prints as JSON how each one ended. A task's first try is executed to its end or
until it is killed, then the next try of each task that Airflow wants to retry, and so on. It does what the scheduler and
the executor do, without a wait between two tries.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import runpy
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx

from docs.tables.simulated_tries import RUN_ID, airflow
from tests.airflow_features import TASK_SDK, kept_by_airflow

DAG_ID = "asked"
RETRIES = 2


def tell_pid_and_be_killed(context: Any) -> None:
    """Leave the id of this process where the flows find it, and end the first try now if its payload says so."""
    ti = context["ti"]
    path = Path(os.environ["KILLED_TRIES_PIDS"]) / f"{ti.task_id}-{ti.try_number}"
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").rename(path)
    if ti.try_number == 1 and ti.task.payload["kill"] == "start":
        os.kill(os.getpid(), signal.SIGKILL)


def share_the_api_server() -> None:
    """Build the API server for tasks of this process once: it takes seconds, which each forked process would need."""
    app: Any = import_module("airflow.api_fastapi.execution_api.app")
    supervisor: Any = import_module("airflow.sdk.execution_time.supervisor")
    server = app.InProcessExecutionAPI()

    async def first_request() -> None:
        async with httpx.AsyncClient(transport=server.atransport, base_url="http://in-process") as client:
            await client.get("/health")

    asyncio.run(first_request())
    supervisor.in_process_api_server = lambda: server


class Run:
    """A run of the DAG, and the tries of its tasks."""

    def __init__(self) -> None:
        airflow("dags", "reserialize")
        airflow("dags", "trigger", DAG_ID, "--run-id", RUN_ID, "--no-replace-microseconds")
        path = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / f"{DAG_ID}.py"
        self._dag = runpy.run_path(str(path))["dag"]
        self._kept = kept_by_airflow(self._dag)
        self._settings = import_module("airflow.settings")
        self._session = self._settings.Session()
        kind = import_module("airflow.models.dagrun").DagRun
        self._run = self._session.query(kind).filter_by(dag_id=DAG_ID, run_id=RUN_ID).one()
        self._run.set_state("running")

    def instances(self) -> list[Any]:
        """Return the task instances, with their tasks as Airflow knows them."""
        kind = import_module("airflow.models.taskinstance").TaskInstance
        self._session.commit()
        self._session.expire_all()
        found = self._session.query(kind).filter_by(dag_id=DAG_ID, run_id=RUN_ID).order_by(kind.task_id).all()
        for instance in found:
            instance.refresh_from_task(self._kept.get_task(instance.task_id))
        return list(found)

    def next_tries(self) -> list[str]:
        """Execute the next try of each task that has not ended, and return which tasks were killed."""
        due = [instance for instance in self.instances() if instance.state in (None, "up_for_retry")]
        self._run.schedule_tis(due, session=self._session)
        names = [instance.task_id for instance in due]
        self._session.commit()
        self._session.close()
        children = {self._forked(name): name for name in names}
        killed = [name for pid, name in children.items() if os.WIFSIGNALED(os.waitpid(pid, 0)[1])]
        for instance in self.instances():
            if instance.task_id in killed:
                # As Airflow does when the executor reports that the process is gone.
                instance.handle_failure("it was killed", session=self._session)
        self._session.commit()
        return killed

    def _forked(self, task_id: str) -> int:
        child = os.fork()
        if child == 0:
            try:
                self._settings.reconfigure_orm(disable_connection_pool=True)
                self._execute(task_id)
            finally:
                os._exit(0)
        return child

    def _execute(self, task_id: str) -> None:
        """Execute a task as ``dag.test()`` does."""
        self._session = self._settings.Session()
        (instance,) = (one for one in self.instances() if one.task_id == task_id)
        task = self._dag.get_task(task_id)
        if not TASK_SDK.there:
            instance.task = task
            instance.state = "running"
            self._session.commit()
            import_module("airflow.models.dag")._run_task(ti=instance, session=self._session)
            return
        function = import_module("airflow.sdk.definitions.dag")._run_task
        if "task" in inspect.signature(function).parameters:
            function(ti=instance, task=task)
        else:
            instance.task = task
            function(ti=instance)


def main() -> None:
    """Execute all tries, and print how each task ended."""
    run = Run()
    if TASK_SDK.there:
        share_the_api_server()
    killed: list[str] = []
    for _ in range(1 + RETRIES):
        killed += run.next_tries()
    ended = {
        instance.task_id: {
            "state": str(instance.state),
            "try_number": instance.try_number,
            "max_tries": instance.max_tries,
            "killed": killed.count(instance.task_id),
        }
        for instance in run.instances()
    }
    print("\n" + json.dumps(ended))


if __name__ == "__main__":
    main()
