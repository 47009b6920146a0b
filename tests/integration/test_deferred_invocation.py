"""An idempotent flow invoked from the triggerer: deferral, trigger, and what the worker makes of the event."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, ReturnError
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowNoResponseError,
    OktaTokenRefusedError,
    OktaWorkflowsError,
)
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger
from tests.console_link import console_link
from tests.integration.task_context import Store, context, with_store

Connect = Callable[..., None]


def invoke(**options: Any) -> InvokeOktaFlowOperator:
    options = {"task_id": "task", "flow": "echo", "idempotent": True, "deferrable": True, "retries": 3, **options}
    return InvokeOktaFlowOperator(**options)


def deferred(task: InvokeOktaFlowOperator, given: Any = None) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        task.execute(given or context())
    return caught.value


def made_anew(wait: TaskDeferred, world: Any) -> OktaFlowInvocationTrigger:
    """The trigger as the triggerer makes it: of what was stored."""
    path, arguments = wait.trigger.serialize()
    assert path == "airflow_okta_workflows.triggers.okta_workflows.OktaFlowInvocationTrigger"
    return OktaFlowInvocationTrigger(**json.loads(json.dumps(arguments)), runtime=world.runtime())


async def fired_by(trigger: OktaFlowInvocationTrigger) -> dict[str, Any]:
    (event,) = [event.payload async for event in trigger.run()]
    stored: dict[str, Any] = json.loads(json.dumps(event))
    return stored


async def test_the_triggerer_invokes_and_the_worker_returns(org: LocalOrg, connect: Connect, world: Any) -> None:
    connect(org)
    task = invoke(
        payload={"a": 1}, query={"q": "x"}, headers={"X-Mine": "1"}, result="body", success_when="key", timeout=5
    )
    given = context()
    wait = deferred(task, given)
    assert org.log == [], "nothing is sent by the worker"
    assert given["ti"].pushed == {"okta_workflows_console": f"{org.url}/app"}

    event = await fired_by(made_anew(wait, world))
    assert task.execute_complete(given, event) == {"a": 1}

    (run,) = org.flows["echo"].runs
    assert console_link(task, given) == f"{org.url}/app#execution_id={run.execution_id}"
    assert given["ti"].pushed.items() >= {"execution_id": run.execution_id, "status_code": 200}.items()
    assert org.requests("echo")[0].headers["x-mine"] == "1"
    assert run.idempotency_key == wait.trigger.serialize()[1]["idempotency_key"]
    assert wait.method_name == "execute_complete"


async def test_neither_trigger_nor_event_nor_log_shows_a_response(
    org: LocalOrg, connect: Connect, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    org.flow("echo")(lambda request: {"password": "initial-5521"})
    connect(org)
    wait = deferred(invoke())
    with caplog.at_level(logging.DEBUG):
        event = await fired_by(made_anew(wait, world))

    stored = json.dumps([wait.trigger.serialize(), wait.kwargs, event]) + caplog.text
    assert set(event) == {"outcome", "result"}
    assert not [text for text in ("initial-5521", org.private_jwk["d"], *org.tokens) if text in stored]
    assert invoke().execute_complete(context(), event) == {"password": "initial-5521"}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda org: org.flow("echo")(lambda request: ReturnError(500, "down")), OktaFlowFailedError),
        (lambda org: org.inject(Reset(), flow="echo", times=3), OktaFlowNoResponseError),
        (lambda org: org.app.granted_scopes.clear(), OktaTokenRefusedError),
    ],
)
async def test_the_worker_raises_what_the_triggerer_met(
    org: LocalOrg, connect: Connect, world: Any, spoil: Any, error: type[OktaWorkflowsError]
) -> None:
    spoil(org)
    connect(org)
    store = Store()
    event = await fired_by(made_anew(deferred(invoke(), with_store(store)), world))
    requests = len(org.log)
    with pytest.raises(error) as caught:
        invoke().execute_complete(with_store(store), event)

    assert type(caught.value) is error
    assert len(org.log) == requests, "the worker does not ask again"
    assert caught.value.hint or error is OktaFlowFailedError
    if isinstance(caught.value, OktaFlowFailedError):
        assert caught.value.response
        assert caught.value.response.status_code == 500
        assert "down" in str(caught.value)


async def test_a_response_that_does_not_satisfy_fails_as_ever(org: LocalOrg, connect: Connect, world: Any) -> None:
    connect(org)
    task = invoke(success_when="body.ok")
    event = await fired_by(made_anew(deferred(task), world))
    with pytest.raises(OktaFlowFailedError, match=r"success_when is false: body\.ok is not in the response"):
        task.execute_complete(context(), event)


async def test_a_trigger_that_runs_twice_sends_the_same_key(org: LocalOrg, connect: Connect, world: Any) -> None:
    connect(org)
    wait = deferred(invoke())
    for _ in range(2):
        await fired_by(made_anew(wait, world))

    assert len(org.flows["echo"].runs) == 2
    assert len({run.idempotency_key for run in org.flows["echo"].runs}) == 1


async def test_the_response_is_stored_so_that_a_retry_sends_nothing(
    org: LocalOrg, connect: Connect, world: Any
) -> None:
    connect(org)
    store = Store()
    event = await fired_by(made_anew(deferred(invoke(), with_store(store)), world))
    first = invoke().execute_complete(with_store(store), event)

    assert invoke().execute(with_store(store, try_number=2)) == first
    assert len(org.log) == 1


async def test_after_a_change_of_the_key_the_worker_asks_itself(
    org: LocalOrg, connect: Connect, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(org)
    event = await fired_by(made_anew(deferred(invoke()), world))
    connect_with_other_key = {**org.connection(), "password": json.dumps(org.add_key())}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connect_with_other_key))
        result = invoke().execute_complete(context(), event)

    assert result["key"] == org.flows["echo"].runs[0].idempotency_key
    assert len(org.flows["echo"].runs) == 2
    assert "cannot be decrypted with this connection's key" in capsys.readouterr().out


async def test_a_response_too_large_for_an_event_is_asked_for_again(
    org: LocalOrg, connect: Connect, world: Any
) -> None:
    org.flow("echo")(lambda request: {"text": "x" * 100_000})
    connect(org)
    event = await fired_by(made_anew(deferred(invoke()), world))

    assert event == {"outcome": "not_handed_over", "reason": "the response is too large"}
    assert len(invoke(result="text").execute_complete(context(), event)) == 100_000
    assert len({run.idempotency_key for run in org.flows["echo"].runs}) == 1


async def test_a_triggerer_without_the_connection_leaves_it_to_the_worker(
    org: LocalOrg, connect: Connect, world: Any
) -> None:
    connect(org)
    wait = deferred(invoke())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", "{}")
        event = await fired_by(made_anew(wait, world))

    assert event["outcome"] == "not_handed_over"
    assert invoke().execute_complete(context(), event)["key"] == org.flows["echo"].runs[0].idempotency_key
    assert len(org.log) == 1


async def test_a_401_in_the_triggerer_costs_one_new_token(org: LocalOrg, connect: Connect, world: Any) -> None:
    connect(org)
    org.inject(Answer(401), flow="echo")
    event = await fired_by(made_anew(deferred(invoke()), world))

    assert invoke().execute_complete(context(), event)["key"]
    assert org.tokens_granted == 2


async def test_the_event_comes_when_the_supervisor_has_gone(
    org: LocalOrg, connect: Connect, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that is back before that is taken for a failed one."""
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "20")
    connect(org)
    before = time.time()
    wait = deferred(invoke())
    began = world.now
    await fired_by(made_anew(wait, world))

    assert 21 <= wait.trigger.serialize()[1]["not_before"] - before < 22
    assert world.now - began > 20.5


def test_execution_timeout_holds_while_deferred(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    assert deferred(invoke(execution_timeout=timedelta(minutes=5))).timeout == timedelta(minutes=5)
    assert deferred(invoke()).timeout is None


@pytest.mark.parametrize("event", [None, {}, {"outcome": "settled"}, "x"])
def test_an_unknown_event_is_refused(event: Any) -> None:
    with pytest.raises(OktaWorkflowsError, match="not known here"):
        invoke().execute_complete(context(), event)


def test_what_is_not_idempotent_is_not_invoked_from_the_triggerer() -> None:
    with pytest.raises(OktaConfigurationError, match="a trigger may run twice") as caught:
        invoke(idempotent=False)

    assert isinstance(caught.value, AirflowFailException)
    assert "idempotent=True" in caught.value.hint


def test_the_config_s_default_is_for_what_is_idempotent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")

    assert invoke(deferrable=None).deferrable
    assert not invoke(deferrable=None, idempotent=False).deferrable
    assert not invoke(deferrable=False).deferrable
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "False")
    assert not invoke(deferrable=None).deferrable


def test_a_payload_that_cannot_be_sent_is_told_before_it_is_deferred(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    with pytest.raises(OktaConfigurationError, match="not JSON"):
        invoke(payload={"at": object()}).execute(context())
