"""Errors on the log page of a task: what happened and what to change are in sight when the page has been opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.ui.conftest import Stage

# The first test starts a whole Airflow, perhaps on two busy cores.
pytestmark = pytest.mark.timeout(300)

_HIDDEN = """
(element, line) => {
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const start = texts.currentNode.data.indexOf(line);
    if (start < 0) continue;
    const hidden = [];
    for (let at = start; at < start + line.length; at++) {
      const range = new Range();
      range.setStart(texts.currentNode, at);
      range.setEnd(texts.currentNode, at + 1);
      const box = range.getBoundingClientRect();
      const top = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
      if (!element.contains(top)) hidden.push(line[at - start]);
    }
    return hidden.join("");
  }
  return line;
}
"""
"""The characters of a line that a user does not see: outside the window, cut by the log pane, or covered."""


@pytest.fixture(scope="module")
def run_id(stage: Stage) -> str:
    """Return the id of a finished run of a DAG whose tasks fail."""
    run_id = stage.airflow.trigger("misnamed")
    assert stage.airflow.finished("misnamed", run_id, within=120) == "failed"
    return run_id


def error_in_log(page: Page, run_id: str, task_id: str) -> Locator:
    """Open the log of a task in a window of 1,440 x 900 pixels, and return the error in it."""
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"/dags/misnamed/runs/{run_id}/tasks/{task_id}")
    # Airflow scrolls a long log to its end.
    expect(page.get_by_text("Post Execute")).to_be_in_viewport(ratio=1)
    return page.get_by_test_id("summary-OktaConfigurationError").locator("span")


@pytest.mark.parametrize("task_id", ["operator", "batch", "sensor", "talkative_sensor"])
def test_what_happened_and_what_to_change_are_in_sight(page: Page, run_id: str, task_id: str) -> None:
    error = error_in_log(page, run_id, task_id)
    lines = (error.text_content() or "").splitlines()

    assert lines[0] == "OktaConfigurationError: There is no flow named 'nobody' in the connection."
    assert lines[1].startswith("What to change (OKW-1042): Use one of its names")
    # The page has the name of the class in a text of its own.
    shown = [lines[0].removeprefix("OktaConfigurationError: "), *lines[1:]]
    assert [error.evaluate(_HIDDEN, line) for line in shown] == [""] * len(shown)
    assert len("".join(lines[1:3])) > 130, "what to change is too long for one line"
    assert lines[3:] == ["It knows: broken, hello, loses_one, loses_two, status."]
