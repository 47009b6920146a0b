"""The extra link on the page of a task instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.ui.conftest import Snap, Stage

# The first test starts a whole Airflow, perhaps on two busy cores.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def run_id(stage: Stage) -> str:
    """Return the id of a finished run of a DAG whose tasks have links."""
    run_id = stage.airflow.trigger("linked")
    assert stage.airflow.finished("linked", run_id, within=90) == "failed", "one of its flows is broken"
    return run_id


@pytest.mark.parametrize(("task_id", "state"), [("hello", "success"), ("broken", "failed"), ("status", "success")])
def test_it_opens_the_execution(page: Page, stage: Stage, run_id: str, snap: Snap, task_id: str, state: str) -> None:
    states = {task["task_id"]: task["state"] for task in stage.airflow.tasks("linked", run_id)}
    assert states[task_id] == state, stage.airflow.task_logs("linked")
    execution_id = stage.org.flows[task_id].runs[-1].execution_id

    page.goto(f"/dags/linked/runs/{run_id}/tasks/{task_id}/details")
    link = page.get_by_role("link", name="Okta Workflows console")
    expect(link).to_have_attribute("href", f"{stage.org.url}/app#execution_id={execution_id}")
    if state == "failed":
        snap("extra-link", page)
    with page.context.expect_page() as opened:
        link.click()
    marked = opened.value.locator("code:target")

    expect(opened.value.get_by_role("heading", name="Execution history")).to_be_visible()
    expect(marked).to_have_text(execution_id)
