"""The idempotency keys of a task's tries; this Airflow's own functions lead from one try to the next.

``python -m docs.tables.simulated_tries`` plays each story on the database of its Airflow home, and prints as JSON what each
try saw. It calls the functions by which the scheduler, supervisor and executor change a task instance, without a flow,
a worker or a wait. It makes deployments and runs with Airflow's own commands.
"""

from __future__ import annotations

import datetime
import json
import os
import runpy
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.airflow_features import TASK_SDK, TASK_STATE_STORE, kept_by_airflow

RUN_ID = "the_run"
LATER_RUN_ID = "a_later_run"
"""Id of a run that is made before another one is deleted. Without it, SQLite would reuse the deleted row's number for
the next row, which no other database does."""

_DAG_FILE = """
import os
from pathlib import Path
from airflow.providers.common.compat.sdk import DAG
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator

class Tell(InvokeOktaFlowOperator):
    def execute(self, context):
        Path(os.environ["SIMULATED_KEY"]).write_text(OktaWorkflowsHook().idempotency_key(context))

with DAG({dag_id!r}, schedule=None, catchup=False, default_args=dict(retries={default_retries})) as dag:
    Tell(task_id={task_id!r}, flow={flow!r}, **{options!r})
    if dag.dag_id == "sibling_cleared":
        Tell(task_id="sibling", flow="none")
"""


def airflow(*arguments: str) -> None:
    """Run a command of Airflow in this process."""
    args = import_module("airflow.cli.cli_parser").get_parser().parse_args(arguments)
    args.func(args)


class Simulation:
    """A DAG with one run, and the tries of one of its tasks.

    :param story: its name, which is also the DAG's id
    :param retries: the task's ``retries`` when the run is made
    """

    def __init__(self, story: str, retries: int) -> None:
        self._dag_id = story
        self._file = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / "simulated.py"
        self._session = import_module("airflow.settings").Session()
        self.tries: list[dict[str, Any]] = []
        """What each try saw, in order."""
        self.deploy(retries=retries)
        self.make_run()

    def deploy(self, *, task_id: str = "task", flow: str = "none", default_retries: int = 0, **options: Any) -> None:
        """Write another version of the DAG file, and make Airflow read it.

        :param task_id: the task's id
        :param flow: the task's flow
        :param default_retries: the DAG's ``retries`` for tasks without any
        :param options: further arguments of the task
        """
        text = _DAG_FILE.format(
            dag_id=self._dag_id, task_id=task_id, flow=flow, default_retries=default_retries, options=options
        )
        self._file.write_text(text)
        self._session.commit()
        airflow("dags", "reserialize")

    def make_run(self, run_id: str = RUN_ID) -> None:
        """Make a run.

        :param run_id: its id
        """
        self._session.commit()
        airflow("dags", "trigger", self._dag_id, "--run-id", run_id, "--no-replace-microseconds")

    def delete_run(self) -> None:
        """Delete the run."""
        self._session.delete(self._run)
        self._session.commit()

    def queue_run(self) -> None:
        """Set the run to queued, as a user can."""
        self._run.set_state("queued")
        self._session.commit()

    def begin(self) -> None:
        """Begin a try: the scheduler schedules it, and a worker starts it."""
        run, instance = self._run, self._instance
        if run.state != "running":
            run.set_state("running")
        run.schedule_tis([instance], session=self._session)
        self._session.commit()
        self._session.refresh(instance)
        instance.state = "running"
        self._session.commit()
        self.tries.append(self._seen(run, instance))

    def fail(self) -> None:
        """End the try as failed: with an error, or because its worker is lost."""
        instance = self._instance
        instance.handle_failure("it failed", session=self._session)
        self._session.commit()

    def succeed(self) -> None:
        """End the try as successful, and the run with it."""
        self._instance.state = "success"
        self._run.set_state("success")
        self._session.commit()

    def clear(self, task: str = "task") -> None:
        """Clear a task, as a user can.

        :param task: its id
        """
        assert self._dag.clear(task_ids=[task], session=self._session) == 1
        self._session.commit()

    def clear_without_its_dag(self) -> None:
        """Clear the task while the DAG that Airflow knows does not have this task."""
        import_module("airflow.models.taskinstance").clear_task_instances([self._instance_alone], self._session)
        self._session.commit()

    def test(self) -> None:
        """Run the DAG with ``dag.test()``, always for the same date; the task writes down its own key."""
        self._session.commit()
        date = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        dag = runpy.run_path(str(self._file))["dag"]
        dag.test(**{"logical_date" if TASK_SDK.there else "execution_date": date})
        key = Path(os.environ["SIMULATED_KEY"]).read_text()
        self.tries.append({"key": key, "max_tries": None, "try_number": None})

    def end_of_a_cleared_one(self) -> None:
        """End the try of a task that was cleared while it ran: Airflow stopped it, and its worker reports that."""
        if TASK_SDK.there:
            self._tell_scheduler()
        if self._instance_alone.state == "restarting":
            # As Airflow does when it misses the task's heartbeat; on Airflow 2 the task's own supervisor does it.
            self.fail()

    def _tell_scheduler(self) -> None:
        executor = import_module("airflow.executors.base_executor").BaseExecutor()
        instance = self._instance_alone
        executor.event_buffer[instance.key] = ("success", None)
        scheduler = import_module("airflow.jobs.scheduler_job_runner")
        # Airflow 3.0 has only SchedulerDagBag.
        bag = getattr(scheduler, "DBDagBag", None) or scheduler.SchedulerDagBag
        job = instance.queued_by_job_id
        scheduler.SchedulerJobRunner.process_executor_events(executor, job, bag(), self._session)
        self._session.commit()

    @property
    def _run(self) -> Any:
        kind = import_module("airflow.models.dagrun").DagRun
        return self._session.query(kind).filter_by(dag_id=self._dag_id, run_id=RUN_ID).one()

    @property
    def _instance_alone(self) -> Any:
        kind = import_module("airflow.models.taskinstance").TaskInstance
        return self._session.query(kind).filter_by(dag_id=self._dag_id, run_id=RUN_ID, task_id="task").one()

    @property
    def _instance(self) -> Any:
        """Task instance, with its task as Airflow knows it now."""
        instance = self._instance_alone
        instance.refresh_from_task(self._dag.get_task("task"))
        return instance

    @property
    def _dag(self) -> Any:
        return kept_by_airflow(runpy.run_path(str(self._file))["dag"])

    def _seen(self, run: Any, instance: Any) -> dict[str, Any]:
        from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

        context: Any = {"ti": instance, "dag_run": as_a_task_has_it(run)}
        if TASK_STATE_STORE.there:
            context["task_state_store"] = _Store(instance, self._session)
        key = OktaWorkflowsHook().idempotency_key(context)
        self._session.commit()
        return {"key": key, "max_tries": instance.max_tries, "try_number": instance.try_number}


def as_a_task_has_it(run: Any) -> Any:
    """Return a DAG run in the form that this Airflow passes to a task."""
    if not TASK_SDK.there:
        return run
    handed = import_module("airflow.api_fastapi.execution_api.datamodels.taskinstance").DagRun
    return handed.model_validate(run, from_attributes=True)


class _Store:
    """Task state store of a task instance, on the database itself instead of behind an API server."""

    def __init__(self, instance: Any, session: Any) -> None:
        scope = import_module("airflow._shared.state").TaskScope
        self._scope = scope(instance.dag_id, instance.run_id, instance.task_id, instance.map_index)
        self._backend = import_module("airflow.state.metastore").MetastoreBackend()
        self._session = session

    def get(self, key: str) -> Any:
        text = self._backend.get(self._scope, key, session=self._session)
        return json.loads(text) if text is not None else None

    def set(self, key: str, value: Any) -> None:
        self._backend.set(self._scope, key, json.dumps(value), session=self._session)


# ---- the stories; the docstring of each one is a row in docs/reliability.md, word for word


def retried(one: Simulation) -> None:
    """A retry"""
    one.begin()
    one.fail()
    one.begin()
    one.fail()
    one.begin()


def edited(one: Simulation) -> None:
    """A retry, after a deployment that changes `retries`, `default_args`, the flow or the payload"""
    changes: list[dict[str, Any]] = [
        {"retries": 9},
        {"retries": 1},
        {"default_retries": 5},
        {"retries": 3, "flow": "0123456789abcdef", "payload": {"changed": True}, "idempotent": True},
        {"retries": 0},
    ]
    one.begin()
    for change in changes:
        one.fail()
        one.deploy(**change)
        one.begin()


def sibling_cleared(one: Simulation) -> None:
    """A retry, after another task of the run was cleared"""
    one.begin()
    one.fail()
    one.clear("sibling")
    one.begin()


def run_queued_by_hand(one: Simulation) -> None:
    """A retry, after the run was set to queued by hand"""
    one.begin()
    one.fail()
    one.queue_run()
    one.begin()


def cleared_after_success(one: Simulation) -> None:
    """Cleared after it has ended"""
    one.begin()
    one.succeed()
    one.clear()
    one.begin()


def cleared_before_its_retry(one: Simulation) -> None:
    """Cleared while it waits for a retry"""
    one.begin()
    one.fail()
    one.clear()
    one.begin()


def cleared_after_an_edit(one: Simulation) -> None:
    """Cleared after a deployment with more `retries`"""
    one.begin()
    one.fail()
    one.deploy(retries=5)
    one.clear()
    one.begin()


def cleared_with_fewer_retries(one: Simulation) -> None:
    """Cleared after a deployment that lowers `retries` by just the tries that were used"""
    one.begin()
    one.fail()
    one.deploy(retries=0)
    one.clear()
    one.begin()


def cleared_once_more(one: Simulation) -> None:
    """Cleared once more after that"""
    cleared_with_fewer_retries(one)
    one.succeed()
    one.clear()
    one.begin()
    del one.tries[0]


def cleared_without_its_dag(one: Simulation) -> None:
    """Cleared while the DAG does not have the task"""
    one.begin()
    one.fail()
    one.deploy(task_id="another", retries=3)
    one.clear_without_its_dag()
    one.deploy(retries=3)
    one.begin()


def cleared_while_it_runs(one: Simulation) -> None:
    """Cleared while it runs"""
    one.begin()
    one.clear()
    one.end_of_a_cleared_one()
    one.begin()


def cleared_while_its_worker_is_lost(one: Simulation) -> None:
    """Cleared while it runs, on a worker that is lost"""
    one.begin()
    one.clear()
    one.fail()
    one.begin()


def run_made_again(one: Simulation) -> None:
    """The run is deleted, and made again under its id"""
    one.begin()
    one.fail()
    one.make_run(LATER_RUN_ID)
    one.delete_run()
    one.make_run()
    one.begin()


def tested_twice(one: Simulation) -> None:
    """`dag.test()` twice with one date"""
    one.test()
    one.make_run(LATER_RUN_ID)
    one.test()


STORIES: dict[Callable[[Simulation], None], int] = {
    retried: 3,
    edited: 7,
    sibling_cleared: 3,
    run_queued_by_hand: 3,
    cleared_after_success: 3,
    cleared_before_its_retry: 3,
    cleared_after_an_edit: 3,
    cleared_with_fewer_retries: 1,
    cleared_once_more: 1,
    cleared_without_its_dag: 3,
    cleared_while_it_runs: 3,
    cleared_while_its_worker_is_lost: 3,
    run_made_again: 3,
    tested_twice: 0,
}
"""Each story with the task's ``retries`` when its run is made."""


def played(story: Callable[[Simulation], None], retries: int) -> list[dict[str, Any]]:
    """Play a story, and return what its tries saw."""
    simulation = Simulation(story.__name__, retries)
    story(simulation)
    return simulation.tries


if __name__ == "__main__":
    found = {story.__name__: played(story, retries) for story, retries in STORIES.items()}
    print("\n" + json.dumps(found))
