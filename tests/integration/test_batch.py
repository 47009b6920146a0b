"""The batch operator, executed with a task's context against the local org."""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout

from airflow_okta_workflows.core.flows.idempotency_key import derive_key
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, ReturnError, TooManyRequests
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaTokenError,
    OktaTokenRefusedError,
)
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator
from tests.integration.task_context import Store, StoreOfACutOffTask, context, with_store

Connect = Callable[..., None]
Records = list[dict[str, Any]]


class Batch(InvokeOktaFlowBatchOperator):
    """The operator with a clock of the test's own."""

    runtime: Runtime | None = None

    @property
    def hook(self) -> OktaWorkflowsHook:
        runtime = replace(self.runtime or Runtime(), stop=self.stop_signal)
        return OktaWorkflowsHook(self.okta_workflows_conn_id, runtime=runtime)


def batch(payloads: Any, world: Any = None, **options: Any) -> Batch:
    task = Batch(**{"task_id": "task", "flow": "echo", "payloads": payloads, "max_rate": 2000, "retries": 3, **options})
    task.runtime = world.runtime() if world else None
    return task


def people(count: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in range(count)]


def outcomes(records: Records) -> list[str]:
    return [record["outcome"] for record in records]


def runs(org: LocalOrg, flow: str = "echo") -> Counter[str | None]:
    return Counter(run.idempotency_key for run in org.flows[flow].runs)


# ---- what it returns


def test_one_small_record_for_each_payload_in_order(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    given = context()

    records = batch(people(30), result="body.id").execute(given)

    assert [record["index"] for record in records] == list(range(30))
    assert [record["result"] for record in records] == list(range(30))
    assert set(outcomes(records)) == {"succeeded"}
    by_key = {run.idempotency_key: run.execution_id for run in org.flows["echo"].runs}
    assert {record["key"]: record["execution_id"] for record in records} == by_key
    assert len(by_key) == 30
    assert list(records[0]) == ["index", "item", "key", "outcome", "status_code", "execution_id", "result", "error"]
    assert json.loads(json.dumps(records)) == records
    assert org.tokens_granted == 1
    assert given["ti"].pushed == {"okta_workflows_console": f"{org.url}/app"}


def test_the_body_is_the_result_unless_another_is_selected(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    (record,) = batch([{"a": 1}], query={"q": "x"}, headers={"X-Mine": "1"}).execute(context())

    assert record["result"]["body"] == {"a": 1}
    assert record["result"]["query"] == {"q": "x"}
    assert org.requests("echo")[0].headers["x-mine"] == "1"


@pytest.mark.parametrize(
    "payloads",
    [
        people(3),
        tuple(people(3)),
        json.dumps(people(3)),
        lambda: (person for person in people(3)),
        lambda run_id: people(3) if run_id == "run" else [],
        ['{"id": 0}', '{"id": 1}', '{"id": 2}'],
    ],
)
def test_payloads_come_in_many_forms(org: LocalOrg, connect: Connect, payloads: Any) -> None:
    connect(org)

    records = batch(payloads, result="body").execute(context())

    assert [record["result"] for record in records] == people(3)


def test_nothing_to_send_is_nothing_sent(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    assert batch([]).execute(context()) == []
    assert org.log == []


@pytest.mark.parametrize(
    ("payloads", "sentence"),
    [
        ({"id": 1}, "payloads is of type dict, not a list"),
        ("{", "payloads is a string that is not JSON"),
        (5, "payloads is of type int, not a list"),
        ([{"id": 1}, None, {"x": float("nan")}], r"Payload 1: It is null.*Payload 2: .*payload\.x is nan"),
        ([{"x-okta-workflows-a": 1}], "Payload 0: .*reserved"),
        ([{"x": object()}] * 7, "Nothing was sent.*Payload 4: .*And 2 more"),
    ],
)
def test_payloads_that_cannot_be_sent_are_named_before_anything_is_sent(
    org: LocalOrg, connect: Connect, payloads: Any, sentence: str
) -> None:
    connect(org)
    with pytest.raises(OktaConfigurationError, match=f"(?s){sentence}"):
        batch(payloads).execute(context())

    assert org.log == []
    assert org.token_requests == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"on_error": "ignore"}, "on_error"),
        *(
            ({"max_rate": value}, "max_rate is ")
            for value in (0, -1, float("inf"), float("nan"), True, "10", None, 1e9, 10**5000)
        ),
        *(({"max_in_flight": value}, "max_in_flight is ") for value in (0, -1, 2.5, float("inf"), True, "10", None)),
        *(({"timeout": value}, "timeout is ") for value in (0, -1, float("inf"), float("nan"), True, "60", 1e6)),
        ({"timeout": timedelta(days=2)}, "timeout is 172800"),
        ({"item_key": "a["}, "item_key"),
        ({"success_when": "a["}, "success_when"),
        ({"headers": {"Authorization": "x"}}, "cannot be set"),
        ({"payloads": iter([])}, "iterator"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_the_dag_is_parsed(options: Any, sentence: str) -> None:
    with pytest.raises(OktaConfigurationError, match=sentence):
        batch(**{"payloads": [], **options})


def test_an_org_that_gives_no_token_ends_it_with_nothing_sent(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.app.granted_scopes.clear()
    with pytest.raises(OktaTokenRefusedError):
        batch(people(5)).execute(context())

    assert org.log == []


# ---- the pace


@pytest.fixture
def limited(world: Any) -> Iterator[LocalOrg]:
    with LocalOrg(clock=lambda: world.now) as org:
        org.flow("echo")(lambda request: {"id": request.body["id"]})
        yield org


def test_the_limit_is_reached_and_not_passed(limited: LocalOrg, connect: Connect, world: Any) -> None:
    connect(limited)
    began = world.now

    # One at a time: in time that passes only when somebody sleeps, calls that overlap would all arrive at once.
    records = batch(people(100), world, max_rate=10, max_in_flight=1).execute(context())

    assert set(outcomes(records)) == {"succeeded"}
    assert {request.status for request in limited.log} == {200}
    assert 9.9 < world.now - began < 10.0 / 0.95


def test_a_pace_that_is_too_quick_loses_and_doubles_nothing(limited: LocalOrg, connect: Connect, world: Any) -> None:
    connect(limited)

    records = batch(people(60), world, max_rate=100).execute(context())

    assert set(outcomes(records)) == {"succeeded"}
    assert [record["result"]["id"] for record in records] == list(range(60))
    assert set(runs(limited).values()) == {1}
    assert 429 in {request.status for request in limited.log}


def test_no_more_calls_are_open_than_allowed(org: LocalOrg, connect: Connect) -> None:
    lock, now, most, three = threading.Lock(), [0], [0], threading.Barrier(3, timeout=10)

    @org.flow("slow")
    def slow(request: Any) -> Any:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        three.wait()  # none ends before three are open
        with lock:
            now[0] -= 1
        return {}

    connect(org)
    batch(people(12), flow="slow", max_in_flight=3).execute(context())

    assert most == [3]


def test_progress_is_told(limited: LocalOrg, connect: Connect, world: Any, caplog: pytest.LogCaptureFixture) -> None:
    connect(limited)
    with caplog.at_level(logging.INFO):
        batch(people(150), world, max_rate=10, max_in_flight=1).execute(context())

    lines = [record.getMessage() for record in caplog.records if "Batch of flow" in record.getMessage()]
    under_way = (
        r"Batch of flow 'echo' under way: (\d+) of 150 sent, (\d+) succeeded, 1 open; 9\.[789]/s, about 5 s left"
    )
    match = re.fullmatch(under_way, lines[0])
    assert match, lines
    assert 95 <= int(match[1]) == int(match[2]) + 1 <= 101
    assert lines[-1].startswith("Batch of flow 'echo' ended: 150 of 150 sent, 150 succeeded, 0 open; 9.")


# ---- what does not succeed


def spoiled(org: LocalOrg, *, at: int, response: Any) -> None:
    """Make a flow fail for one payload, as long as `response` lasts."""
    responses = [response]

    @org.flow("echo")
    def echo(request: Any) -> Any:
        return responses.pop() if request.body["id"] == at and responses else {"id": request.body["id"]}


def test_it_fails_with_the_count_and_the_first_errors(org: LocalOrg, connect: Connect) -> None:
    org.flow("echo")(lambda request: ReturnError(500, "no such user") if request.body["id"] % 2 else {})
    connect(org)
    given = context()
    with pytest.raises(OktaFlowFailedError, match=r"10 of 20 invocations failed \(10 succeeded, 10 failed\)") as caught:
        batch(people(20)).execute(given)

    assert str(caught.value).count("no such user") == 5
    assert outcomes(given["ti"].pushed["records"]) == ["succeeded", "failed"] * 10


def test_collect_returns_what_did_not_succeed_too(org: LocalOrg, connect: Connect) -> None:
    spoiled(org, at=2, response=ReturnError(404, "no such user"))
    connect(org)

    records = batch(people(4), on_error="collect").execute(context())

    assert outcomes(records) == ["succeeded", "succeeded", "failed", "succeeded"]
    assert records[2]["status_code"] == 404
    assert records[2]["execution_id"]
    assert "no such user" in records[2]["error"]
    assert records[2]["result"] is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"success_when": "body.id != `1`"}, "success_when is false: body.id is 1"),
        ({"result": "abs(body.name)", "on_error": "collect"}, "cannot be evaluated"),
        ({"response_check": lambda response: response.body["body"]["id"] != 1}, "response_check"),
    ],
)
def test_a_response_that_does_not_satisfy_has_failed(
    org: LocalOrg, connect: Connect, options: Any, sentence: str
) -> None:
    connect(org)
    records = batch(people(3), **{"on_error": "collect", **options}).execute(context())

    assert records[1]["outcome"] == "failed"
    assert sentence in records[1]["error"]


def test_a_check_that_breaks_is_raised_and_what_ran_is_stored(
    org: LocalOrg, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    connect(org)
    store = Store()

    def check(response: Any) -> bool:
        raise ZeroDivisionError

    given = with_store(store)
    with pytest.raises(ZeroDivisionError):
        batch(people(40), max_in_flight=1, item_key="id", response_check=check).execute(given)

    assert len(org.log) < 40, "it does not go on"
    sent = len(org.log)
    told = given["ti"].pushed["records"]
    assert [record["outcome"] for record in told] == ["unknown"] * sent + ["not_sent"] * (40 - sent)
    assert [record["execution_id"] for record in told[:sent]] == [run.execution_id for run in org.flows["echo"].runs]
    assert {record["error"] for record in told[:sent]} == {"ZeroDivisionError in this task"}
    assert {record["error"] for record in told[sent:]} == {"not sent, since ZeroDivisionError in this task"}
    assert "Item 0 (0): ZeroDivisionError in this task" in caplog.text
    records = batch(people(40), item_key="id", on_error="collect").execute(with_store(store))
    assert set(runs(org).values()) == {1}
    assert outcomes(records).count("unknown") == sent


def test_a_flow_that_is_off_is_not_asked_for_each_item(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.flows["echo"].active = False

    records = batch(people(200), max_in_flight=5, on_error="collect").execute(context())

    assert set(outcomes(records)) == {"not_sent"}
    assert 20 <= len(org.log) <= 30
    assert "not sent, since" in records[-1]["error"]
    assert "was refused with 404" in records[-1]["error"]


def test_an_unknown_fate_is_final_and_told(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store = Store()
    org.inject(Reset(), flow="echo")
    for _ in range(2):
        given = with_store(store)
        with pytest.raises(OktaFlowOutcomeUnknownError, match=r"1 of 5 invocations failed .*1 unknown") as caught:
            batch(people(5)).execute(given)
        assert isinstance(caught.value, AirflowFailException), "no retry can help"
        assert sorted(outcomes(given["ti"].pushed["records"])) == ["succeeded"] * 4 + ["unknown"]

    assert len(org.log) == 5, "nothing is sent again"


def test_a_log_line_about_another_attempt_names_the_item(
    org: LocalOrg, connect: Connect, world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    connect(org)
    org.inject(TooManyRequests(retry_after=1), flow="echo")
    batch(people(1), item_key="id").execute(context())
    org.inject(Reset(after_run=True), flow="echo")
    batch(people(1), item_key="id", idempotent=True).execute(context())

    assert "Item 0 (0): flow 'echo', refused before running: 429" in caplog.text
    assert "Item 0 (0): flow 'echo', sent, fate unknown" in caplog.text


def test_what_is_idempotent_is_sent_again_under_its_own_key(org: LocalOrg, connect: Connect, world: Any) -> None:
    connect(org)
    store = Store()
    org.inject(Reset(), flow="echo", times=3)
    with pytest.raises(OktaFlowFailedError, match="1 unknown"):
        batch(people(3), world, idempotent=True, max_in_flight=1).execute(with_store(store))

    records = batch(people(3), world, idempotent=True).execute(with_store(store))

    assert set(outcomes(records)) == {"succeeded"}
    assert Counter(request.headers["idempotency-key"] for request in org.log) == {
        records[0]["key"]: 4, records[1]["key"]: 1, records[2]["key"]: 1
    }  # fmt: skip


# ---- what outlives a task that is cut off


def test_a_retry_sends_only_what_failed(org: LocalOrg, connect: Connect) -> None:
    spoiled(org, at=3, response=ReturnError(500, "down"))
    connect(org)
    store = Store()
    given = with_store(store)
    with pytest.raises(OktaFlowFailedError):
        batch(people(100)).execute(given)

    records = batch(people(100)).execute(with_store(store, try_number=2))

    assert set(outcomes(records)) == {"succeeded"}
    assert [record["result"]["id"] for record in records] == list(range(100)), "also those of the first try"
    assert list(runs(org).values()) == [1] * 101, "the run that failed, and the one that was wanted then"
    assert records[3]["key"] == derive_key(given["ti"].pushed["records"][3]["key"], 1)
    assert list(store) == ["okta_workflows_batch_0"], "a batch that has ended leaves one row"


def test_clearing_by_hand_begins_anew(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store = Store()
    keys = [
        {record["key"] for record in batch(people(50)).execute(with_store(store, max_tries=tries))}
        for tries in (3, 3, 4, 4)
    ]

    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert not keys[1] & keys[2]
    assert set(runs(org).values()) == {1}
    assert len(org.log) == 100


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("at", [0, 1, 37, 40, 75, 99])
def test_after_a_kill_a_retry_goes_on_where_it_was(org: LocalOrg, connect: Connect, at: int, idempotent: bool) -> None:
    store, left = Store(), Store()

    @org.flow("echo")
    def echo(request: Any) -> Any:
        if request.body["id"] == at and not left:
            left.update(copy.deepcopy(dict(store)))  # what a SIGKILL at this moment would leave
        return {"id": request.body["id"]}

    connect(org)
    options = {"max_rate": 200, "idempotent": idempotent, "on_error": "collect"}
    killed = batch(people(100), **options).execute(with_store(store))
    before = runs(org)
    after_kill = {record["key"] for record in killed[: at + 1]}
    records = batch(people(100), **options).execute(with_store(left, try_number=2))

    assert [record["key"] for record in records] == [record["key"] for record in killed]
    assert set(before.values()) == {1}
    again = {key for key, count in runs(org).items() if count == 2}
    if idempotent:
        assert set(outcomes(records)) == {"succeeded"}
        assert records[at]["key"] in again
    else:
        assert not again & after_kill, "none of those that were sent before the kill"
        assert records[at]["outcome"] == "unknown"
        assert "may have run and is not sent again" in records[at]["error"]
        assert outcomes(records).count("unknown") <= 201, "less than what goes out in a second"
        assert set(outcomes(records[at + 110 :])) <= {"succeeded"}


def test_what_cannot_be_stored_is_not_sent(org: LocalOrg, connect: Connect) -> None:
    class Full(Store):
        def set(self, key: str, value: Any) -> None:
            if len(self) == 1:
                raise OSError("disk full")
            super().set(key, value)

    connect(org)
    with pytest.raises(OSError, match="disk full"):
        batch(people(500), max_rate=80).execute(with_store(Full()))

    assert len(org.log) <= 40, "the first page"


def test_payloads_that_have_changed_are_refused(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store = StoreOfACutOffTask()
    batch(people(5)).execute(with_store(store))
    with pytest.raises(OktaConfigurationError, match=r"(?s)3 that were sent are not among them.*item_key"):
        batch(people(2)).execute(with_store(store))

    assert len(org.log) == 5


@pytest.mark.parametrize(("before", "after"), [(None, "id"), ("id", None), ("id", "[id]|[0]")])
def test_another_item_key_than_in_an_earlier_try_is_refused(
    org: LocalOrg, connect: Connect, before: str | None, after: str | None
) -> None:
    connect(org)
    store = StoreOfACutOffTask()
    batch(people(5), item_key=before).execute(with_store(store))

    with pytest.raises(OktaConfigurationError, match="item_key has changed since an earlier try"):
        batch(people(5), item_key=after).execute(with_store(store))
    assert len(org.log) == 5
    assert batch(people(5), item_key=before).execute(with_store(store))
    assert len(org.log) == 5


def test_with_an_item_key_a_changed_list_goes_on(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store = StoreOfACutOffTask()
    batch(people(5), item_key="id").execute(with_store(store))

    records = batch([{"id": 7}, {"id": 3, "at": "now"}, {"id": 0}], item_key="id").execute(with_store(store))

    assert set(outcomes(records)) == {"succeeded"}
    assert len(org.log) == 6
    assert [(record["index"], record["item"]) for record in records[:3]] == [(0, 7), (1, 3), (2, 0)]
    assert {record["item"] for record in records[3:]} == {1, 2, 4}, "sent, and not in the list any more"
    assert {record["index"] for record in records[3:]} == {None}
    assert records[1]["result"]["body"] == {"id": 3}, "as it was sent"


@pytest.mark.parametrize(
    ("payloads", "sentence"),
    [
        ([{"id": 1}, {"id": 1}], "Payloads 0 and 1 have the same item_key"),
        ([{"id": None}], "Payload 0: item_key 'id' gives NoneType"),
        ([{"id": [1]}], "Payload 0: item_key 'id' gives list"),
    ],
)
def test_an_item_key_tells_payloads_apart(org: LocalOrg, connect: Connect, payloads: Any, sentence: str) -> None:
    connect(org)
    with pytest.raises(OktaConfigurationError, match=sentence):
        batch(payloads, item_key="id").execute(context())


def test_on_kill_sends_nothing_more_and_says_what_was_sent(org: LocalOrg, connect: Connect) -> None:
    store, given = Store(), {}
    task = batch(people(300), max_rate=100, on_error="collect")

    @org.flow("echo")
    def echo(request: Any) -> Any:
        if request.body["id"] == 10:
            task.on_kill()
        return {}

    connect(org)
    given = with_store(store)
    with pytest.raises(OktaFlowFailedError, match=r"(?s)\d+ of 300 invocations failed.*The task was stopped\."):
        task.execute(given)

    sent = len(org.log)
    assert 11 <= sent < 100
    assert outcomes(given["ti"].pushed["records"]) == ["succeeded"] * sent + ["not_sent"] * (300 - sent)
    records = batch(people(300)).execute(with_store(store, try_number=2))
    assert set(outcomes(records)) == {"succeeded"}
    assert set(runs(org).values()) == {1}


def test_on_kill_before_it_begins_sends_nothing_and_after_its_end_says_nothing_of_the_next_try(
    org: LocalOrg, connect: Connect
) -> None:
    connect(org)
    task = batch(people(3))
    task.on_kill()
    with pytest.raises(OktaTokenError, match=r"the task was stopped\.\nWhat to change \(OKW-1693\)"):
        task.execute(context())
    assert org.log == []

    task.on_kill()
    records = task.execute(context())
    assert set(outcomes(records)) == {"succeeded"}


def test_execution_timeout_ends_it_cleanly(org: LocalOrg, connect: Connect) -> None:
    def time_out(*_: Any) -> None:
        raise AirflowTaskTimeout

    store, reached = Store(), threading.Event()

    @org.flow("echo")
    def echo(request: Any) -> Any:
        if request.body["id"] == 10 and not reached.is_set():
            reached.set()
            os.kill(os.getpid(), signal.SIGUSR1)
        return {}

    connect(org)
    before = signal.signal(signal.SIGUSR1, time_out)
    try:
        with pytest.raises(AirflowTaskTimeout):
            batch(people(300), max_rate=100).execute(with_store(store))
    finally:
        signal.signal(signal.SIGUSR1, before)

    sent = len(org.log)
    assert 11 <= sent < 100
    assert not any(thread.name == "okta-batch" for thread in threading.enumerate())
    records = batch(people(300)).execute(with_store(store, try_number=2))
    assert set(outcomes(records)) == {"succeeded"}
    assert set(runs(org).values()) == {1}


def test_a_call_that_is_open_when_the_task_ends_is_of_unknown_fate(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_okta_workflows.operators.batch_runner._GRACE", 0.05)
    task = batch(people(5), max_in_flight=1)
    over = threading.Event()

    @org.flow("echo")
    def echo(request: Any) -> Any:
        task.on_kill()
        over.wait(10)
        return {}

    connect(org)
    store = Store()
    given = with_store(store)
    try:
        with pytest.raises(OktaFlowFailedError, match="The task was stopped"):
            task.execute(given)
    finally:
        over.set()

    assert outcomes(given["ti"].pushed["records"]) == ["unknown"] + ["not_sent"] * 4
    records = batch(people(5), on_error="collect").execute(with_store(store))
    assert outcomes(records) == ["unknown"] + ["succeeded"] * 4, records


def test_a_result_too_large_to_note_is_returned_and_only_missing_after_a_crash(org: LocalOrg, connect: Connect) -> None:
    org.flow("echo")(lambda request: {"text": "x" * 2000})
    connect(org)
    store = StoreOfACutOffTask()

    assert batch(people(1), result="text").execute(with_store(store))[0]["result"] == "x" * 2000
    (record,) = batch(people(1), result="text").execute(with_store(store))
    assert record["outcome"] == "succeeded"
    assert record["result"] is None
    assert "2002 bytes was too large for a checkpoint" in record["error"]


def test_no_secret_is_stored_or_logged(org: LocalOrg, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    org.flow("echo")(lambda request: dict(request.headers))
    connect(org)
    org.inject(Answer(401), flow="echo")
    org.inject(Reset(), flow="echo")
    store = Store()
    with caplog.at_level(logging.DEBUG):
        records = batch(people(3), on_error="collect", max_in_flight=1).execute(with_store(store))

    kept = json.dumps([records, store]) + caplog.text
    assert outcomes(records) == ["unknown", "succeeded", "succeeded"]
    assert org.tokens_granted == 2
    assert not [secret for secret in (*org.tokens, org.private_jwk["d"]) if secret in kept]
