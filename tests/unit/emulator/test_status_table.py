"""A flow that can be asked: its row is there before it does anything, and there is one for each idempotency key."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_okta_workflows.emulator import Close, FlowRequest, ReturnError, StatusTable


class Asked:
    """A flow that can be asked, its status flow, and a clock that a test sets."""

    def __init__(self, work: Any, seconds: float = 8.0) -> None:
        self.now = 0.0
        self.table = StatusTable(seconds, clock=lambda: self.now)
        self.flow = self.table.worker_flow(work)

    def invoke(self, key: str | None, execution_id: str = "e1") -> Any:
        return self.flow(request_of({}, execution_id, {"idempotency-key": key} if key else {}))

    def ask(self, **body: Any) -> Any:
        return self.table.status_flow(request_of(body))


def request_of(body: Any, execution_id: str = "asking", headers: dict[str, str] | None = None) -> FlowRequest:
    return FlowRequest("POST", headers or {}, {}, body, "", execution_id)


def test_the_row_is_there_before_any_effect() -> None:
    seen: list[Any] = []

    def work(request: FlowRequest) -> None:
        seen.append(asked.ask(idempotency_key="k"))

    asked = Asked(work)
    asked.invoke("k")

    assert seen == [{"status": "RUNNING", "idempotency_key": "k"}]


def test_it_responds_early_and_runs_until_its_time_has_passed() -> None:
    asked = Asked(lambda request: {"applications": 3})
    running = {"status": "RUNNING", "idempotency_key": "k"}

    assert asked.invoke("k") == Close(200, {"status": "RUNNING", "execution_id": "e1"})
    assert asked.ask(idempotency_key="k") == running
    asked.now = 7.9
    assert asked.ask(idempotency_key="k") == running
    asked.now = 8.0
    assert asked.ask(idempotency_key="k") == {**running, "status": "SUCCEEDED", "result": {"applications": 3}}


@pytest.mark.parametrize(
    ("error", "reason"), [(ValueError("no licence left"), "no licence left"), (KeyError(), "KeyError")]
)
def test_work_that_raises_responds_early_and_fails_later(error: Exception, reason: str) -> None:
    def work(request: FlowRequest) -> Any:
        raise error

    asked = Asked(work)

    assert asked.invoke("k").body["status"] == "RUNNING"
    assert asked.ask(idempotency_key="k")["status"] == "RUNNING"
    asked.now = 8.0
    assert asked.ask(idempotency_key="k") == {
        "status": "FAILED",
        "idempotency_key": "k",
        "reason": reason,
    }


def test_a_run_is_found_by_its_key_and_by_its_execution_id() -> None:
    asked = Asked(lambda request: request.execution_id, seconds=0)
    asked.invoke("k", "e1")
    asked.invoke("other", "e2")

    found = {"status": "SUCCEEDED", "idempotency_key": "k", "result": "e1"}
    assert asked.ask(idempotency_key="k") == found
    assert asked.ask(execution_id="e1") == asked.ask(idempotency_key=None, execution_id="e1") == found
    assert asked.ask(idempotency_key="k", execution_id=None) == found
    assert asked.ask(idempotency_key="k", execution_id="e2") == found, "the key decides"


def test_not_found_means_that_there_is_no_row() -> None:
    asked = Asked(lambda request: None)
    asked.invoke("k", "e1")

    assert asked.ask(idempotency_key="x") == {"status": "NOT_FOUND", "idempotency_key": "x"}
    assert asked.ask(execution_id="x") == {"status": "NOT_FOUND", "idempotency_key": None}
    assert asked.ask(idempotency_key="x", execution_id="e1")["status"] == "NOT_FOUND", "no other key is returned"
    del asked.table.rows["k"]
    assert asked.ask(idempotency_key="k")["status"] == "NOT_FOUND", "as in an org that has removed the row"


@pytest.mark.parametrize("body", [None, {}, [], "k", {"idempotency_key": ""}, {"job_id": "k"}])
def test_a_question_that_names_no_run_is_refused_and_not_answered_with_not_found(body: Any) -> None:
    asked = Asked(lambda request: None)

    assert asked.table.status_flow(request_of(body)) == ReturnError(400, "idempotency_key is missing")


def test_a_second_run_under_the_same_key_has_no_row_of_its_own_and_is_not_hidden() -> None:
    ran: list[str] = []

    def work(request: FlowRequest) -> int:
        ran.append(request.execution_id)
        return len(ran)

    asked = Asked(work)
    asked.invoke("k", "e1")
    asked.now = 5.0
    asked.invoke("k", "e2")

    assert ran == ["e1", "e2"]
    assert {key: row.execution_ids for key, row in asked.table.rows.items()} == {"k": ["e1", "e2"]}
    asked.now = 8.0
    assert asked.ask(execution_id="e2")["result"] == 1, "what the first run has written"
    asked.now = 13.0
    assert asked.ask(execution_id="e1")["result"] == 2, "what the second run has written"


def test_an_invocation_without_a_key_has_a_row_under_its_execution_id() -> None:
    asked = Asked(lambda request: 1, seconds=0)

    asked.invoke(None, "e1")

    assert asked.ask(idempotency_key="e1") == asked.ask(execution_id="e1")
    assert asked.ask(execution_id="e1")["status"] == "SUCCEEDED"


def test_a_run_that_is_killed_stays_running() -> None:
    def work(request: FlowRequest) -> Any:
        raise SystemExit

    asked = Asked(work, seconds=0)

    with pytest.raises(SystemExit):
        asked.invoke("k")
    assert asked.ask(idempotency_key="k")["status"] == "RUNNING"


def test_asynchronous_work_is_refused() -> None:
    async def work(request: FlowRequest) -> None: ...

    with pytest.raises(TypeError, match="a plain function"):
        StatusTable().worker_flow(work)
