"""The question about invocations whose outcome is unknown, on the page where Airflow asks it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from airflow_okta_workflows.emulator import Reset
from tests.airflow_rest import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.ui.conftest import Snap, Stage

# The first test starts a whole Airflow, perhaps on two busy cores.
pytestmark = pytest.mark.timeout(400)

READING_TIME = 6.0
"""Seconds after which a person answers. Airflow 3.3.2 takes a task that is resumed within about a second for failed."""


def test_a_person_answers_in_the_browser(page: Page, stage: Stage, snap: Snap) -> None:
    org, airflow = stage.org, stage.airflow
    org.inject(Reset(after_run=True), flow="loses_one")
    org.inject(Reset(after_run=True), flow="loses_two")
    org.inject(Reset(), flow="loses_two")
    run_id = airflow.trigger("asks")

    def states() -> dict[str, str]:
        return {task["task_id"]: str(task["state"]) for task in airflow.tasks("asks", run_id)}

    until(lambda: set(states().values()) == {"awaiting_input"}, 120, lambda: f"not asked: {states()}")
    time.sleep(READING_TIME)

    answer(
        page, run_id, "one", "It ran", {"Response (JSON)": '{"ran": "by hand"}'}, lambda: snap("required-action", page)
    )
    answer(page, run_id, "many", "They did not run: invoke them", {"All but these (JSON)": "[0]"})

    assert airflow.finished("asks", run_id, within=120) == "success", airflow.task_logs("asks")
    assert value_of(airflow.xcom("asks", run_id, "one")) == {"ran": "by hand"}
    records = value_of(airflow.xcom("asks", run_id, "many"))
    assert [record["result"] for record in records] == [None, {"ran": {"n": 1}}, {"ran": {"n": 2}}]
    assert sorted(run.body["n"] for run in org.flows["loses_two"].runs) == [0, 1, 2]
    assert {run.idempotency_key for run in org.flows["loses_two"].runs} == {record["key"] for record in records}
    assert len(org.flows["loses_one"].runs) == 1


def answer(
    page: Page, run_id: str, task_id: str, choice: str, fields: dict[str, str], look: Callable[[], None] = lambda: None
) -> None:
    """Answer a task's question on its page.

    :param fields: what to enter, by the labels of the fields
    :param look: called before the answer
    """
    page.goto(f"/dags/asks/runs/{run_id}/tasks/{task_id}/required_actions")
    expect(page.get_by_role("link", name="Workflows console")).to_be_visible()
    look()
    for label, text in fields.items():
        page.get_by_text(label, exact=True).locator("xpath=following::textarea[1]").fill(text)
    button = page.get_by_role("button", name=choice, exact=True)
    button.click()
    expect(button).to_be_disabled()


def value_of(xcom: Any) -> Any:
    return json.loads(xcom) if isinstance(xcom, str) else xcom
