"""Tasks that are marked failed, cleared or timed out, and a run that is made again: what is sent afterwards, and how."""

from __future__ import annotations

import json

from airflow_okta_workflows.emulator import TooManyRequests
from tests.airflow_rest import until
from tests.e2e.reliability.stage import Stage, is_there

PATIENCE = 100
"""Seconds of a rate limit: less than the connection waits, and more than a stopped task lives."""
STOPPED = "the task was stopped"
LIMITED = ("limited", "limited_batch", "limited_own")
"""A flow for each task: of one flow, the first 429 holds back all of them."""


def marked_failed(stage: Stage) -> str:
    """Tasks that are marked failed in a rate limit end by themselves, and their flow never runs."""
    name, tasks = "marked_failed", ("single", "batch", "own")
    for flow in LIMITED:
        stage.org.inject(TooManyRequests(retry_after=PATIENCE), flow=flow, times=1000)
    run_id = stage.airflow.trigger(name)
    until(lambda: {"single", "batch", "own"} <= asked(stage), 150, lambda: f"only these asked: {asked(stage)}")
    processes = [stage.process_of(task) for task in tasks]
    for task in tasks:
        stage.airflow.mark_failed(name, run_id, task)
    until(lambda: not any(map(is_there, processes)), 60, "a process did not end")

    assert stage.airflow.finished(name, run_id, within=60) == "failed"
    for task in tasks:
        log = stage.airflow.task_logs(name, task)
        assert STOPPED in log.lower(), f"{task} did not end by itself:\n{log[-3000:]}"
        assert stage.state(name, run_id, task) == "failed"
        assert not stage.was_retried(task)
    assert not stage.runs(name)
    return "marked failed in a rate limit: 0 runs by an operator, a batch and a hook"


def asked(stage: Stage) -> set[str]:
    """Return which tasks have met the rate limit."""
    return {json.loads(request.text)["task"] for flow in LIMITED for request in stage.org.requests(flow)}


def cleared_while_its_flow_runs(stage: Stage) -> str:
    """A task that is cleared while its flow runs: Airflow 3.3 lets it see that, so there is another run."""
    name = "cleared_while_its_flow_runs"
    run_id = stage.airflow.trigger(name)
    stage.wait_for_flow(name)
    first = stage.process_of("in_its_flow")
    stage.airflow.clear(name, run_id)
    until(lambda: not is_there(first), 60, "the process did not end")
    stage.flows.release(name)
    until(lambda: stage.runs(name).total() == 2, 120, lambda: f"no other run: {stage.runs(name)}")

    assert stage.airflow.finished(name, run_id, within=120) == "success"
    assert list(stage.runs(name).values()) == [1, 1]
    return "cleared while its flow runs: 2 runs of 2 keys"


def cleared_in_a_wait(stage: Stage) -> str:
    """A task that is cleared in a rate limit ends by itself, and its flow runs once, under a new key."""
    name = "cleared_in_a_wait"
    stage.org.inject(TooManyRequests(retry_after=PATIENCE), flow="limited_once")
    run_id = stage.airflow.trigger(name)
    until(lambda: is_noted_as_not_run(stage, name, run_id), 150, "it does not wait", stage.airflow.every)
    stage.airflow.clear(name, run_id)
    until(lambda: stage.runs(name), 120, "the flow did not run")

    assert stage.airflow.finished(name, run_id, within=60) == "success"
    keys = [request.headers["idempotency-key"] for request in stage.org.requests("limited_once")]
    assert len(set(keys)) == len(keys) == 2
    assert stage.runs(name) == {keys[1]: 1}
    assert STOPPED in stage.airflow.task_logs(name).lower()
    return "cleared in a rate limit: 1 run, under a new key"


def is_noted_as_not_run(stage: Stage, dag_id: str, run_id: str) -> bool:
    """Return whether a task has met the rate limit, and stored that its flow has not run."""
    checkpoint = stage.airflow.checkpoints(dag_id, run_id, "in_a_wait").get("okta_workflows_invocation", {})
    return bool(stage.org.requests("limited_once")) and checkpoint.get("state") == "not_run"


def timed_out(stage: Stage) -> str:
    """A task whose ``execution_timeout`` is over while its flow runs."""
    run_id = stage.airflow.trigger("timed_out")
    assert stage.airflow.finished("timed_out", run_id, within=180) == "failed"
    stage.flows.release("timed_out")

    assert list(stage.runs("timed_out").values()) == [1]
    assert "AirflowTaskTimeout" in stage.airflow.task_logs("timed_out")
    return "timed out while its flow runs: 1 run"


def made_again(stage: Stage) -> str:
    """A run that is deleted and made again under its id is another run."""
    for _ in range(2):
        stage.airflow.trigger("made_again", run_id="the_run")
        assert stage.airflow.finished("made_again", "the_run", within=180) == "success"
        stage.airflow.delete_run("made_again", "the_run")

    assert list(stage.runs("made_again").values()) == [1, 1]
    return "a run deleted and made again under its id: 2 runs of 2 keys"


STORIES = (marked_failed, cleared_while_its_flow_runs, cleared_in_a_wait, timed_out, made_again)
