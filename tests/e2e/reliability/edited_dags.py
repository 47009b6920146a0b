"""DAGs that are edited while a task of theirs is under way: each story kills the task after that, and sees its retry."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.airflow_rest import until
from tests.e2e.reliability.stage import Stage

_FILE = """
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from held_tasks import hold_first_try, tell_pid

DEFAULTS = dict(retry_delay=timedelta(seconds=1), pre_execute=tell_pid)

with DAG({dag_id!r}, schedule=None, default_args={{**DEFAULTS, **{defaults!r}}}):
    {task}
    {more}
"""


class EditedDag:
    """A DAG in a file of its own, with one task of its name.

    :param stage: the stage
    :param dag_id: its id
    :param operator: the operator
    :param defaults: further ``default_args``
    :param mapped: what the task is mapped over
    :param options: the operator's arguments
    """

    def __init__(
        self,
        stage: Stage,
        dag_id: str,
        operator: str = "InvokeOktaFlowOperator",
        *,
        defaults: dict[str, Any] | None = None,
        mapped: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.stage, self.id = stage, dag_id
        self._operator, self._mapped = operator, mapped
        self._defaults = defaults or {}
        self._options = {"task_id": dag_id, "flow": "held", **options}
        self._write()
        self.run_id = stage.airflow.trigger(dag_id)

    def edit(self, retries: int, defaults: dict[str, Any] | None = None, **changes: Any) -> None:
        """Change the DAG's file, and return when Airflow has taken it up.

        The flow is named by its alias from then on, and there is one more task.

        :param retries: what the task has from then on
        :param defaults: the new ``default_args``, if ``retries`` stands there
        :param changes: further arguments of the operator
        """
        own = {} if defaults else {"retries": retries}
        self._defaults = defaults or {}
        self._options |= {"flow": self.stage.org.flows["held"].alias, **own, **changes}
        self._write('EmptyOperator(task_id="later")')
        airflow = self.stage.airflow
        until(
            lambda: airflow.task(self.id, self.id)["retries"] == retries or None,
            90,
            lambda: f"Airflow did not take {self.id} up: {airflow.task(self.id, self.id)}",
            airflow.every,
        )

    def ended(self) -> list[str]:
        """Wait until the run has ended, and return the states of the task, by its map index."""
        self.stage.airflow.finished(self.id, self.run_id, within=180)
        tasks = [task for task in self.stage.airflow.tasks(self.id, self.run_id) if task["task_id"] == self.id]
        return [str(task["state"]) for task in sorted(tasks, key=lambda task: int(task["map_index"]))]

    @property
    def log(self) -> str:
        """The logs of all tries."""
        return self.stage.airflow.task_logs(self.id)

    def _write(self, more: str = "") -> None:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        arguments += ", response_check=hold_first_try"
        task = f"{self._operator}({arguments})"
        if self._mapped:
            mapped = ", ".join(f"{name}={value!r}" for name, value in self._mapped.items())
            task = f"{self._operator}.partial({arguments}).expand({mapped})"
        path = self.stage.dags / f"{self.id}.py"
        path.write_text(_FILE.format(dag_id=self.id, defaults=self._defaults, task=task, more=more))


def payload(dag_id: str, number: int = 0, hold: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the payload of a flow that is held, or of a task that is held once it has the response."""
    return {"dag": dag_id, "n": number, "hold": hold, **more}


def killed_while_its_flow_ran(stage: Stage) -> str:
    """More retries and another payload: of unknown outcome, and not sent again, until its checkpoint is forgotten."""
    name = "more_retries"
    dag = EditedDag(stage, name, retries=1, payload=payload(name, hold="flow"))
    stage.wait_for_flow(name)
    dag.edit(retries=5, payload=payload(name, hold="flow", edited=True))
    stage.kill(name)
    stage.flows.release(name)

    assert dag.ended() == ["failed"]
    (first,) = stage.runs(name)
    assert stage.runs(name) == {first: 1}
    assert "OktaFlowOutcomeUnknownError" in dag.log
    assert str(first) in dag.log

    (checkpoint,) = stage.airflow.checkpoints(name, dag.run_id, name)
    assert checkpoint == "okta_workflows_invocation"
    stage.airflow.delete_checkpoint(name, dag.run_id, name, checkpoint)
    stage.airflow.clear(name, dag.run_id)
    until(lambda: len(stage.runs(name)) == 2 or None, 120, "the cleared task did not run")
    assert dag.ended() == ["success"]
    assert set(stage.runs(name).values()) == {1}
    return "killed while its flow ran, retries 1 to 5: 1 run, unknown; 1 more once it was cleared"


def killed_after_its_response(stage: Stage) -> str:
    """Fewer retries, and the flow by its alias: the stored response is returned."""
    name = "fewer_retries"
    dag = EditedDag(stage, name, retries=3, payload=payload(name, hold="check"))
    stage.process_of(name, mark="held")
    dag.edit(retries=1)
    stage.kill(name, mark="held")

    assert dag.ended() == ["success"]
    (run,) = [run for run in stage.org.flows["held"].runs if run.body["dag"] == name]
    assert stage.airflow.xcom(name, dag.run_id, name)["execution"] == run.execution_id
    return "killed after its response, retries 3 to 1: 1 run, returned by the retry"


def idempotent_with_other_defaults(stage: Stage) -> str:
    """Fewer retries by default: an idempotent flow is sent again, under the same key."""
    name = "fewer_by_default"
    dag = EditedDag(stage, name, defaults={"retries": 4}, idempotent=True, payload=payload(name, hold="flow"))
    stage.wait_for_flow(name)
    dag.edit(retries=1, defaults={"retries": 1})
    stage.kill(name)
    stage.flows.release(name)

    assert dag.ended() == ["success"]
    assert list(stage.runs(name).values()) == [2]
    return "idempotent, retries 4 to 1 by default_args: 2 runs of 1 key"


def mapped(stage: Stage) -> str:
    """A mapped task, of which one index is killed while the flow runs, and one after its response."""
    name = "mapped"
    dag = EditedDag(stage, name, retries=1, mapped={"payload": [payload(name, 0, "flow"), payload(name, 1, "check")]})
    stage.wait_for_flow(name, 0)
    stage.process_of(name, map_index=1, mark="held")
    dag.edit(retries=6)
    stage.kill(name, map_index=0)
    stage.kill(name, map_index=1, mark="held")
    stage.flows.release(name, 0)

    assert dag.ended() == ["failed", "success"]
    assert list(stage.runs(name).values()) == [1, 1]
    return "mapped, retries 1 to 6: 2 runs of 2 keys, one unknown and one returned"


def batch(stage: Stage) -> str:
    """A batch, all of whose items have responded but one."""
    name, items = "edited_batch", 30
    payloads = [payload(name, number, "flow" if number == items // 2 else None) for number in range(items)]
    dag = EditedDag(
        stage,
        name,
        "InvokeOktaFlowBatchOperator",
        retries=3,
        item_key="n",
        on_error="collect",
        payloads=payloads,
    )
    for number in range(items):
        stage.wait_for_flow(name, number)
    dag.edit(retries=1, payloads=[{**one, "edited": True} for one in payloads])
    stage.kill(name)
    stage.flows.release(name, items // 2)

    assert dag.ended() == ["success"]
    assert list(stage.runs(name).values()) == [1] * items
    records = stage.airflow.xcom(name, dag.run_id, name)
    outcomes = Counter(record["outcome"] for record in records)
    assert outcomes == {"succeeded": items - 1, "unknown": 1}
    assert records[items // 2]["outcome"] == "unknown"
    assert {record["key"] for record in records} == set(stage.runs(name))
    return f"batch of {items}, retries 3 to 1: {items} runs of {items} keys, {dict(outcomes)}"


def deferred(stage: Stage) -> str:
    """A task that was deferred, and is killed once it is back with its response."""
    name = "edited_deferred"
    dag = EditedDag(stage, name, retries=1, idempotent=True, deferrable=True, payload=payload(name, hold="check"))
    stage.process_of(name, mark="held")
    dag.edit(retries=3)
    stage.kill(name, mark="held")

    assert dag.ended() == ["success"]
    assert list(stage.runs(name).values()) == [1]
    return "deferred, retries 1 to 3: 1 run, returned by the retry"


STORIES = (
    killed_while_its_flow_ran,
    killed_after_its_response,
    idempotent_with_other_defaults,
    mapped,
    batch,
    deferred,
)
