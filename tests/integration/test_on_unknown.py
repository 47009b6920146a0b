"""A person is asked about an invocation whose outcome is unknown, and what they answer is done."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred

from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
)
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator, StatusFlow
from airflow_okta_workflows.operators.single_question import single_question
from tests.integration.task_context import Store, context, with_store

hitl = pytest.importorskip("airflow.sdk.execution_time.hitl", reason="required actions came with Airflow 3.1")
exceptions = pytest.importorskip("airflow.sdk.exceptions")
Asked = list[dict[str, Any]]
# On 3.1 and 3.2 a trigger waits for the answer.
WAITS = getattr(exceptions, "TaskAwaitingInput", TaskDeferred)
TI_ID = "01890b2e-0000-7000-8000-000000000000"
SECRET = "ada@example.com"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, org: LocalOrg, connect: Callable[..., None]) -> Asked:
    """The questions that Airflow was given."""
    found: Asked = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **detail: found.append(detail))
    org.flow("onboard")(lambda request: {"ran": request.idempotency_key})
    connect(org)
    return found


def operator(**options: Any) -> InvokeOktaFlowOperator:
    given: dict[str, Any] = {"task_id": "task", "flow": "onboard", "payload": {"email": SECRET}, "on_unknown": "ask"}
    return InvokeOktaFlowOperator(**given | options)


def lose_responses(org: LocalOrg, times: int = 1) -> None:
    org.inject(Reset(after_run=True), flow="onboard", times=times)


def waits(do: Callable[[], Any]) -> Any:
    """Do what ends with a wait for a person; return the wait."""
    with pytest.raises(WAITS) as wait:
        do()
    return wait.value


def answer(wait: Any, given: Any, choice: str, **fields: Any) -> Any:
    """Resume the task as Airflow does, in another process: with another operator."""
    event = {"chosen_options": [choice], "params_input": fields, "responded_by_user": {"id": "1", "name": "grace"}}
    return resume(wait, given, event)


def resume(wait: Any, given: Any, event: Any, **options: Any) -> Any:
    return getattr(operator(**options), wait.method_name)(given, event=event, **wait.kwargs)


def keys(org: LocalOrg) -> list[str]:
    return [str(run.idempotency_key) for run in org.flows["onboard"].runs]


def given_context(store: Store | None = None) -> Any:
    return with_store(Store() if store is None else store, id=TI_ID)


def test_a_lost_response_becomes_a_question_that_says_where_to_look(org: LocalOrg, asked: Asked) -> None:
    lose_responses(org)
    given = given_context()

    wait = waits(lambda: operator().execute(given))

    (key,) = keys(org)
    (detail,) = asked
    assert detail["ti_id"] == TI_ID
    assert detail["options"] == ["It ran", "It did not run: invoke it", "Fail"]
    assert detail["subject"] == "Did flow onboard run?"
    for said in ("`onboard`", f"`{key}`", org.url, f"{datetime.now(UTC):%Y-%m-%d}", "execution history"):
        assert said in detail["body"]
    assert given["ti"].pushed["okta_workflows_console"] in detail["body"]
    assert given["ti"].pushed["okta_workflows_question"] == detail["body"]
    assert wait.timeout is None
    assert SECRET not in repr(detail) + repr(wait.kwargs)


@pytest.mark.parametrize(
    ("entered", "body"),
    [
        ('{"user": "ada"}', {"user": "ada"}),
        ({"user": "ada"}, {"user": "ada"}),
        (' "done" ', "done"),
        ("7", 7),
        ([1], [1]),
        ("null", None),
        ("", None),
        (None, None),
    ],
)
def test_it_ran_makes_what_was_entered_the_response(org: LocalOrg, asked: Asked, entered: Any, body: Any) -> None:
    lose_responses(org)
    store = Store()
    given = given_context(store)
    wait = waits(lambda: operator().execute(given))

    assert answer(wait, given, "It ran", response=entered) == body

    assert len(keys(org)) == 1
    assert given["ti"].pushed["status_code"] == 200
    assert "execution_id" not in given["ti"].pushed
    # A retry after a crash right now returns the same.
    assert operator().execute(given_context(store)) == body
    assert len(keys(org)) == 1


def test_the_conditions_of_the_task_apply_to_what_was_entered(org: LocalOrg, asked: Asked) -> None:
    lose_responses(org)
    given = given_context()
    wait = waits(lambda: operator().execute(given))
    event = {"chosen_options": ["It ran"], "params_input": {"response": '{"ok": false, "user": "ada"}'}}

    assert resume(wait, given, event, result="user") == "ada"
    with pytest.raises(OktaFlowFailedError, match="success_when is false"):
        resume(wait, given, event, success_when="ok")
    with pytest.raises(OktaFlowFailedError, match="response_check"):
        resume(wait, given, event, response_check=lambda response: response.body["ok"])


def test_what_is_no_json_is_asked_about_again_with_the_reason(org: LocalOrg, asked: Asked) -> None:
    lose_responses(org)
    given = given_context()
    wait = waits(lambda: operator().execute(given))

    again = waits(lambda: answer(wait, given, "It ran", response="{user: ada}"))

    assert "**The last answer could not be used: response is not JSON." in asked[1]["body"]
    assert "{user: ada}" not in asked[1]["body"]
    assert given["ti"].pushed["okta_workflows_question"] == asked[1]["body"]
    assert again.kwargs == wait.kwargs
    assert answer(again, given, "It ran", response='{"user": "ada"}') == {"user": "ada"}
    assert len(keys(org)) == 1


@pytest.mark.parametrize(
    "event",
    [
        None,
        "It ran",
        {},
        {"chosen_options": []},
        {"chosen_options": ["Perhaps"]},
        {"chosen_options": ["It ran", "Fail"]},
        {"error": "not valid", "error_type": "validation"},
    ],
)
def test_an_answer_that_makes_no_sense_is_asked_for_again(org: LocalOrg, asked: Asked, event: Any) -> None:
    lose_responses(org)
    given = given_context()
    wait = waits(lambda: operator().execute(given))

    waits(lambda: resume(wait, given, event))

    assert "The last answer could not be used" in asked[1]["body"]
    assert len(keys(org)) == 1


@pytest.mark.parametrize("kept", [True, False], ids=["3.3", "without a store"])
def test_it_did_not_run_invokes_it_under_the_same_key(org: LocalOrg, asked: Asked, kept: bool) -> None:
    org.inject(Reset(), flow="onboard")
    given = given_context() if kept else context(id=TI_ID)
    wait = waits(lambda: operator().execute(given))
    assert keys(org) == []
    key = wait.kwargs["run"]["idempotency_key"]

    assert answer(wait, given, "It did not run: invoke it") == {"ran": key}

    assert keys(org) == [key]


def test_a_response_that_is_lost_again_is_asked_about_again(org: LocalOrg, asked: Asked) -> None:
    org.inject(Reset(), flow="onboard", times=2)
    given = given_context()
    wait = waits(lambda: operator().execute(given))

    again = waits(lambda: answer(wait, given, "It did not run: invoke it"))

    assert len(asked) == 2
    assert again.kwargs["run"] == wait.kwargs["run"]
    assert "The last answer could not be used" not in asked[1]["body"]


def test_fail_fails_as_without_a_question(org: LocalOrg, asked: Asked) -> None:
    lose_responses(org)
    given = given_context()
    wait = waits(lambda: operator().execute(given))

    with pytest.raises(OktaFlowOutcomeUnknownError, match="its outcome is unknown") as failure:
        answer(wait, given, "Fail")

    assert failure.value.code == "OKW-1401"
    assert failure.value.idempotency_key == keys(org)[0]


def test_a_try_that_died_while_it_waited_or_sent_is_asked_about_by_the_next_one(org: LocalOrg, asked: Asked) -> None:
    lose_responses(org)
    store = Store()
    waits(lambda: operator().execute(given_context(store)))
    sent_at = store["okta_workflows_invocation"]["sent_at"]

    given = given_context(store)
    wait = waits(lambda: operator().execute(given))

    assert len(keys(org)) == 1
    assert f"`{keys(org)[0]}`" in asked[1]["body"]
    assert f"Sent: {sent_at}" in asked[1]["body"]
    assert "An earlier try was cut off" in asked[1]["body"]
    assert answer(wait, given, "It did not run: invoke it") == {"ran": keys(org)[0]}
    assert len(set(keys(org))) == 1


def test_a_checkpoint_of_another_version_is_asked_about_if_it_has_a_key(org: LocalOrg, asked: Asked) -> None:
    lose_responses(org)
    store = Store()
    waits(lambda: operator().execute(given_context(store)))
    store["okta_workflows_invocation"] |= {"state": "of the future", "sent_at": None}

    waits(lambda: operator().execute(given_context(store)))

    assert f"`{keys(org)[0]}`" in asked[1]["body"]
    assert "Sent: in an earlier try" in asked[1]["body"]
    store["okta_workflows_invocation"] = {"state": "of the future"}
    with pytest.raises(OktaFlowOutcomeUnknownError, match="cannot be read"):
        operator().execute(given_context(store))
    assert len(asked) == 2


def test_the_wait_ends_with_execution_timeout(org: LocalOrg, asked: Asked) -> None:
    lose_responses(org)
    given = given_context()

    wait = waits(lambda: operator(execution_timeout=timedelta(hours=1)).execute(given))

    if WAITS is not TaskDeferred:
        assert timedelta(minutes=59) < wait.timeout <= timedelta(hours=1)
    with pytest.raises(OktaFlowOutcomeUnknownError, match="nobody has answered within execution_timeout") as failure:
        resume(wait, given, {"error": "The timeout has passed", "error_type": "timeout"})
    assert failure.value.code == "OKW-1646"
    wait.kwargs["deadline"] = 1.0
    with pytest.raises(OktaFlowOutcomeUnknownError, match="leaves no time"):
        answer(wait, given, "It ran", response="{")


def test_a_task_that_is_stopped_does_not_ask(org: LocalOrg, asked: Asked, connect: Callable[..., None]) -> None:
    task = operator()

    @org.flow("stops")
    def stops(request: Any) -> Any:
        task.on_kill()
        return {}

    connect(org)
    org.inject(Reset(after_run=True), flow="stops")
    task.flow = "stops"
    with pytest.raises(OktaFlowOutcomeUnknownError):
        task.execute(given_context())
    assert asked == []


def test_other_errors_are_not_asked_about(org: LocalOrg, asked: Asked) -> None:
    org.inject(Answer(400, after_run=True), flow="onboard")

    with pytest.raises(OktaFlowFailedError):
        operator().execute(given_context())
    assert asked == []


def test_a_wait_that_airflow_gave_up_never_invokes_the_flow(org: LocalOrg, asked: Asked) -> None:
    lose_responses(org, 2)
    store = Store()
    waits(lambda: operator().execute(given_context(store)))
    failed = {"error": "Trigger failure"}

    waits(lambda: operator().resume_execution("__fail__", failed, given_context(store)))
    assert len(asked) == 2
    with pytest.raises(OktaFlowOutcomeUnknownError, match="Airflow could not wait"):
        operator().resume_execution("__fail__", failed, context(id=TI_ID))
    assert len(keys(org)) == 1


@pytest.mark.parametrize("flow", ["`a` *b*\n# c", "on_board"])
def test_a_name_is_shown_as_it_is(flow: str) -> None:
    asked = single_question(flow, "key", None, "It broke `off`.", "", "https://host", "https://console")

    assert "\n# c" not in asked.body + asked.subject
    assert "`'a' *b* # c`" in asked.body or "`on_board`" in asked.body


def test_arguments_that_cannot_work_are_refused_when_the_dag_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def code(**options: Any) -> str:
        with pytest.raises(OktaConfigurationError) as error, DAG("dag", schedule=None):
            operator(**options)
        return error.value.code

    assert code(on_unknown="perhaps") == "OKW-1642"
    assert code(on_unknown=None) == "OKW-1642"
    assert code(status=StatusFlow("status")) == "OKW-1643"
    monkeypatch.setattr("airflow.__version__", "3.0.6")
    assert code() == "OKW-1644"
    assert operator(on_unknown="fail").on_unknown == "fail"


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make imports fail, as if the package were missing or older."""
    real = builtins.__import__

    def fake(name: str, *args: Any, **kwargs: Any) -> Any:
        if name in modules:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)


def test_before_3_3_a_trigger_of_the_standard_provider_waits(
    org: LocalOrg, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(exceptions, "TaskAwaitingInput", raising=False)
    monkeypatch.setattr("airflow.__version__", "3.1.2")
    lose_responses(org)
    given = context(id=TI_ID)

    with pytest.raises(TaskDeferred) as deferral:
        operator(execution_timeout=timedelta(hours=1)).execute(given)

    path, kwargs = deferral.value.trigger.serialize()
    assert path.endswith("HITLTrigger")
    assert kwargs["ti_id"] == TI_ID
    assert kwargs["options"] == asked[0]["options"]
    assert abs(kwargs["timeout_datetime"] - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert asked[0]["params"] == {"response": None}
    assert deferral.value.method_name == "answer_complete"
    assert answer(deferral.value, given, "It ran", response="1") == 1


def test_without_the_standard_provider_it_says_what_is_missing(
    org: LocalOrg, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(exceptions, "TaskAwaitingInput", raising=False)
    without(monkeypatch, "airflow.providers.standard.triggers.hitl")
    lose_responses(org)

    with pytest.raises(OktaConfigurationError) as error:
        operator().execute(context(id=TI_ID))
    assert error.value.code == "OKW-1645"
