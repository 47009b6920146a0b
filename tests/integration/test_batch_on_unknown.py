"""A person is asked once about all items of a batch whose outcome is unknown, and what they answer is done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_okta_workflows.emulator import LocalOrg, Reset, ReturnError
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaFlowFailedError, OktaFlowOutcomeUnknownError
from airflow_okta_workflows.operators.batch_question import batch_question
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator
from tests.airflow_features import OBJECT_STORAGE, needs
from tests.integration.task_context import Store, context, with_store

hitl = pytest.importorskip("airflow.sdk.execution_time.hitl", reason="required actions came with Airflow 3.1")
exceptions = pytest.importorskip("airflow.sdk.exceptions")
Asked = list[dict[str, Any]]
# On 3.1 and 3.2 a trigger waits for the answer.
WAITS = getattr(exceptions, "TaskAwaitingInput", TaskDeferred)
TI_ID = "01890b2e-0000-7000-8000-000000000000"
RAN, NOT_RUN = "They ran", "They did not run: invoke them"
PAYLOADS = [{"email": f"{name}@example.com"} for name in ("ada", "alan", "barbara", "grace", "edsger")]
EVERYONE = ["ada", "alan", "barbara", "edsger", "grace"]
LOST, NEVER_RAN, FAILS = 0, 1, 4
"""Items whose response is lost after the run and before it, and one that fails."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, org: LocalOrg, connect: Callable[..., None]) -> Asked:
    """The questions that Airflow was given."""
    found: Asked = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **detail: found.append(detail))
    failures = [ReturnError(500, "no licence is left")]

    @org.flow("onboard")
    def onboard(request: Any) -> Any:
        if request.body == PAYLOADS[FAILS] and failures:
            return failures.pop()
        return {"ran": request.body["email"], "large": "x" * 2_000}

    connect(org)
    org.inject(Reset(after_run=True), flow="onboard")
    org.inject(Reset(), flow="onboard")
    return found


def operator(**options: Any) -> InvokeOktaFlowBatchOperator:
    given: dict[str, Any] = {"task_id": "task", "flow": "onboard", "payloads": PAYLOADS, "on_unknown": "ask"}
    # One after the other, so that the faults meet the first two.
    given["max_in_flight"] = 1
    return InvokeOktaFlowBatchOperator(**given | options)


def waits(do: Callable[[], Any]) -> Any:
    """Do what ends with a wait for a person; return the wait."""
    with pytest.raises(WAITS) as wait:
        do()
    return wait.value


def answer(wait: Any, given: Any, choice: str, options: dict[str, Any] | None = None, **fields: Any) -> Any:
    """Resume the task as Airflow does, in another process: with another operator."""
    event = {
        "chosen_options": [choice],
        "params_input": {name.rstrip("_"): value for name, value in fields.items()},
        "responded_by_user": {"id": "1", "name": "grace"},
    }
    return operator(**options or {}).answer_complete(given, event=event, **wait.kwargs)


def runs(org: LocalOrg) -> list[str]:
    return sorted(run.body["email"].split("@")[0] for run in org.flows["onboard"].runs)


def outcomes(told: list[dict[str, Any]]) -> str:
    return " ".join(record["outcome"] for record in told)


GIVEN = pytest.mark.parametrize(
    "make", [lambda: with_store(Store(), id=TI_ID), lambda: context(id=TI_ID)], ids=["3.3", "without a store"]
)


@GIVEN
def test_one_question_lists_all_unknown_items(org: LocalOrg, asked: Asked, make: Callable[[], Any]) -> None:
    given = make()

    wait = waits(lambda: operator().execute(given))

    (detail,) = asked
    told = given["ti"].pushed["records"]
    assert outcomes(told) == "unknown unknown succeeded succeeded failed"
    assert detail["subject"] == "Did flow onboard run for 2 items?"
    assert detail["options"] == [RAN, NOT_RUN, "Fail"]
    for index in (LOST, NEVER_RAN):
        assert f"- Item {index}: `{told[index]['key']}`, sent 20" in detail["body"]
    assert detail["body"].count("- Item ") == 2
    assert org.url in detail["body"]
    assert given["ti"].pushed["okta_workflows_question"] == detail["body"]
    assert "example.com" not in repr(detail) + repr(wait.kwargs)


@GIVEN
def test_what_ran_is_told_and_what_did_not_is_sent_under_the_same_key(
    org: LocalOrg, asked: Asked, make: Callable[[], Any]
) -> None:
    given = make()
    wait = waits(lambda: operator().execute(given))
    before = given["ti"].pushed["records"]

    told = answer(
        wait,
        given,
        RAN,
        {"on_error": "collect", "result": "ran"},
        except_="[1]",
        responses='{"0": {"ran": 7}}',
    )

    assert outcomes(told) == "succeeded succeeded succeeded succeeded failed"
    assert [record["result"] for record in told[:2]] == [7, "alan@example.com"]
    # The records of the first process stand, whatever their size.
    assert told[2] == before[2]
    assert [record["key"] for record in told] == [record["key"] for record in before]
    assert runs(org) == EVERYONE
    assert len(asked) == 1


def test_what_was_answered_outlives_the_try(org: LocalOrg, asked: Asked) -> None:
    store = Store()
    given = with_store(store, id=TI_ID)
    wait = waits(lambda: operator().execute(given))

    with pytest.raises(OktaFlowFailedError, match="1 of 5 invocations failed"):
        answer(wait, given, NOT_RUN, except_=[LOST])

    assert runs(org) == EVERYONE
    assert outcomes(operator().execute(with_store(store, id=TI_ID))) == "succeeded " * 4 + "succeeded"
    assert runs(org) == [*EVERYONE[:4], "edsger", "grace"]
    assert len(asked) == 1


def test_a_try_that_died_before_the_answer_is_followed_by_the_same_question(org: LocalOrg, asked: Asked) -> None:
    store = Store()
    waits(lambda: operator().execute(with_store(store, id=TI_ID)))

    given = with_store(store, id=TI_ID)
    waits(lambda: operator().execute(given))

    assert outcomes(given["ti"].pushed["records"]) == "unknown unknown succeeded succeeded succeeded"
    # A checkpoint is a little older than the request.
    first, second = (re.sub(r"sent [-0-9]+ [:0-9]+ UTC", "sent then", detail["body"]) for detail in asked)
    assert first == second
    assert first.count("sent then") == 2
    assert runs(org) == ["ada", "barbara", "edsger", "edsger", "grace"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"except": "3"}, "except is not a list"),
        ({"except": "[2]"}, "except is not a list"),
        ({"except": "[true]"}, "except is not a list"),
        ({"except": "[1"}, "except is not JSON"),
        ({"responses": "[1]"}, "responses is not an object"),
        ({"responses": '{"2": 1}'}, "responses is not an object"),
        ({"except": "[1]", "responses": '{"1": 1}'}, "responses is not an object"),
    ],
)
def test_an_answer_that_makes_no_sense_is_asked_for_again(
    org: LocalOrg, asked: Asked, fields: dict[str, Any], said: str
) -> None:
    given = context(id=TI_ID)
    wait = waits(lambda: operator().execute(given))

    again = waits(lambda: answer(wait, given, RAN, **fields))

    assert f"**The last answer could not be used: {said}" in asked[1]["body"]
    assert asked[1]["body"].endswith(asked[0]["body"])
    assert again.kwargs == wait.kwargs
    assert len(runs(org)) == 4


def test_fail_fails_as_without_a_question(org: LocalOrg, asked: Asked) -> None:
    given = context(id=TI_ID)
    wait = waits(lambda: operator().execute(given))

    with pytest.raises(OktaFlowFailedError, match="3 of 5 invocations failed"):
        answer(wait, given, "Fail")
    assert outcomes(answer(wait, given, "Fail", {"on_error": "collect"})).count("unknown") == 2
    assert len(runs(org)) == 4


def test_conditions_apply_to_what_was_entered(org: LocalOrg, asked: Asked) -> None:
    given = context(id=TI_ID)
    options = {"success_when": "ran != 'no'", "on_error": "collect"}
    wait = waits(lambda: operator(**options).execute(given))

    told = answer(wait, given, RAN, options, responses={"0": {"ran": "no"}, "1": {"ran": "yes"}})

    assert outcomes(told) == "failed succeeded succeeded succeeded failed"
    assert "success_when is false" in told[0]["error"]


def test_records_that_are_gone_end_the_task_without_another_run(org: LocalOrg, asked: Asked) -> None:
    given = context(id=TI_ID)
    wait = waits(lambda: operator().execute(given))

    with pytest.raises(OktaFlowOutcomeUnknownError, match="its records, in the XCom 'records', are gone"):
        answer(wait, context(id=TI_ID), RAN)
    assert len(runs(org)) == 4


def test_other_payloads_than_those_asked_about_are_refused(org: LocalOrg, asked: Asked) -> None:
    given = with_store(Store(), id=TI_ID)
    wait = waits(lambda: operator().execute(given))

    with pytest.raises(OktaConfigurationError, match="The payloads have changed"):
        answer(wait, given, NOT_RUN, {"payloads": PAYLOADS[1:]})
    assert len(runs(org)) == 4


def test_the_wait_ends_with_execution_timeout(org: LocalOrg, asked: Asked) -> None:
    given = context(id=TI_ID)
    wait = waits(lambda: operator(execution_timeout=timedelta(hours=1)).execute(given))

    timed_out = {"error": "The timeout has passed", "error_type": "timeout"}
    with pytest.raises(OktaFlowOutcomeUnknownError, match="nobody has answered within execution_timeout"):
        operator().answer_complete(given, event=timed_out, **wait.kwargs)


def test_a_wait_that_airflow_gave_up_never_invokes_the_flow(org: LocalOrg, asked: Asked) -> None:
    waits(lambda: operator().execute(context(id=TI_ID)))

    with pytest.raises(OktaFlowOutcomeUnknownError, match="Airflow could not wait"):
        operator().resume_execution("__fail__", {"error": "Trigger failure"}, context(id=TI_ID))
    assert len(runs(org)) == 4


def test_idempotent_items_are_left_to_the_retry(org: LocalOrg, asked: Asked) -> None:
    assert operator(idempotent=True, on_error="collect").execute(context(id=TI_ID))
    assert asked == []


def test_ten_thousand_items_fit_into_what_every_database_stores() -> None:
    items = [(index, f"{index:036}", None) for index in range(10_000)]

    body = batch_question("onboard", items, "", "https://host", "https://console").body

    assert len(body.encode()) < 65_536
    assert "these 10000 items" in body
    listed = body.count("- Item ")
    assert f"- And {10_000 - listed} more, which the task's XCom `records` has as `unknown`." in body


@needs(OBJECT_STORAGE)
def test_records_in_a_file_are_asked_about_and_what_stands_is_read_from_there(
    org: LocalOrg, asked: Asked, tmp_path: Path
) -> None:
    given, file = context(id=TI_ID), tmp_path / "records.jsonl"
    options = {"records_path": f"file://{file}", "on_error": "collect", "item_key": "email"}
    wait = waits(lambda: operator(**options).execute(given))
    before = [json.loads(line) for line in file.read_text().splitlines()]
    assert outcomes(before) == "unknown unknown succeeded succeeded failed"
    assert given["ti"].pushed["records"]["counts"] == {"unknown": 2, "succeeded": 2, "failed": 1}

    xcom = answer(wait, given, RAN, options, except_="[1]", responses='{"0": {"ran": 7}}')

    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert xcom["counts"] == {"succeeded": 4, "failed": 1}
    assert told[2:] == before[2:]
    assert [record["key"] for record in told] == [record["key"] for record in before]
    assert runs(org) == EVERYONE


@needs(OBJECT_STORAGE)
def test_a_file_of_records_that_is_gone_ends_the_task_without_another_run(
    org: LocalOrg, asked: Asked, tmp_path: Path
) -> None:
    given, file = context(id=TI_ID), tmp_path / "records.jsonl"
    options = {"records_path": f"file://{file}"}
    wait = waits(lambda: operator(**options).execute(given))
    file.unlink()

    with pytest.raises(OktaFlowOutcomeUnknownError, match="are gone"):
        answer(wait, given, RAN, options)
    assert len(runs(org)) == 4
