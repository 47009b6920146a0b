"""The operator, executed with a task's context against the local org."""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
)

from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, ReturnError, ReturnRaw
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaFlowResponseError,
    OktaWorkflowsError,
)
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from tests.console_link import console_link
from tests.integration.task_context import RecordingStore, Store, context, with_store

if TYPE_CHECKING:
    from airflow_okta_workflows.core.flows.response import FlowResponse

Connect = Callable[..., None]


def invoke(**options: Any) -> InvokeOktaFlowOperator:
    return InvokeOktaFlowOperator(**{"task_id": "task", "flow": "echo", **options})


def test_it_returns_the_body_and_pushes_what_stands_beside_it(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    given = context()
    task = invoke(payload={"a": 1}, query={"q": "x"}, headers={"X-Mine": "1"})

    result = task.execute(given)

    assert result["body"] == {"a": 1}
    assert result["query"] == {"q": "x"}
    execution_id = org.flows["echo"].runs[0].execution_id
    assert console_link(task, given) == f"{org.url}/app#execution_id={execution_id}"
    assert given["ti"].pushed.items() >= {"execution_id": execution_id, "status_code": 200}.items()
    assert org.requests("echo")[0].headers["x-mine"] == "1"


def test_a_result_is_selected(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    assert invoke(payload={"a": [1, 2]}, result="body.a[1]", success_when="body.a").execute(context()) == 2


def test_get_and_timeouts_are_passed_on(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    invoke(method="GET", timeout=datetime.timedelta(seconds=5)).execute(context())
    invoke(timeout=5).execute(context())

    assert [request.method for request in org.requests("echo")] == ["GET", "POST"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"success_when": "body.ok"},
            "The response is an object with body, query, key; execution ",
        ),
        ({"result": "length(body)"}, "cannot be evaluated"),
        ({"success_when": "length(key) > `1` && abs(query)"}, "cannot be evaluated"),
        ({"response_check": lambda response: response.body["body"]["n"] == 5}, "response_check returned a false value"),
    ],
)
def test_a_response_that_does_not_satisfy_fails_the_task(
    org: LocalOrg, connect: Connect, options: Any, sentence: str
) -> None:
    connect(org)
    with pytest.raises(OktaFlowFailedError, match="The flow has run") as caught:
        invoke(payload={"n": 1}, **({"result": "length(body.n)"} if "result" in options else options)).execute(
            context()
        )

    assert sentence in str(caught.value)
    assert caught.value.response is not None
    assert caught.value.idempotency_key == org.flows["echo"].runs[0].idempotency_key


def test_a_text_body_is_said_to_be_one(org: LocalOrg, connect: Connect) -> None:
    org.flow("text")(lambda request: ReturnRaw(200, "fine"))
    connect(org)

    assert invoke(flow="text").execute(context()) == "fine"
    with pytest.raises(OktaFlowFailedError, match=r"the response is text \(text/plain\), not JSON"):
        invoke(flow="text", success_when="ok").execute(context())


def test_a_check_is_given_what_it_takes_of_the_context(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    seen: list[Any] = []

    def check(response: FlowResponse, run_id: str) -> bool:
        seen.extend([response.status_code, run_id])
        return True

    invoke(response_check=check).execute(context())

    assert seen == [200, "run"]


def test_the_key_stays_over_retries_and_changes_with_all_else(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    task = invoke(retries=2)
    tries: list[dict[str, Any]] = [{"try_number": n, "max_tries": 2} for n in (1, 2, 3)]
    others: list[dict[str, Any]] = [
        {"max_tries": 5, "try_number": 4},  # cleared by hand after three tries
        {"run_id": "run2", "max_tries": 2},
        {"task_id": "task2", "max_tries": 2},
        {"map_index": 0, "max_tries": 2},
        {"dag_id": "dag2", "max_tries": 2},
    ]

    keys = [task.execute(context(**fields))["key"] for fields in (*tries, *others)]

    assert len(set(keys[:3])) == 1
    assert len(set(keys)) == 6
    assert task.execute(context(max_tries=2, map_index=None))["key"] == keys[0]


def test_an_unknown_outcome_ends_the_retries(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.inject(Reset(after_run=True), flow="echo")

    with pytest.raises(AirflowFailException) as caught:
        invoke(retries=5).execute(context(max_tries=5))

    assert type(caught.value) is OktaFlowOutcomeUnknownError


def test_an_idempotent_one_is_sent_again(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.inject(Reset(), flow="echo")
    operator = invoke(idempotent=True)

    assert operator.execute(context())["key"]
    assert len({request.headers["idempotency-key"] for request in org.requests("echo")}) == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"success_when": "a =="}, "success_when is not a JMESPath"),
        ({"result": "a["}, "result is not a JMESPath"),
        ({"method": "PUT"}, "method 'PUT'"),
        ({"timeout": True}, "timeout is True"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"timeout": "60"}, "timeout is .60."),
        ({"method": "GET", "payload": {}}, "GET takes no payload"),
        ({"payload": {"X-Okta-Workflows-A": 1}}, "reserved"),
        ({"query": {"x-okta-workflows-a": 1}}, "reserved"),
        ({"headers": {"x-okta-workflows-a": "1"}}, "reserved"),
        ({"headers": {"Authorization": "1"}}, "cannot be set"),
    ],
)
def test_what_can_never_work_is_refused_when_the_dag_is_parsed(options: Any, sentence: str) -> None:
    with pytest.raises(OktaConfigurationError, match=sentence):
        invoke(**options)
    if "result" not in options and "headers" not in options:
        with pytest.raises(OktaConfigurationError, match=sentence):
            OktaFlowSensor(**{"task_id": "task", "flow": "status", **options})


def test_all_request_fields_are_templated_and_map() -> None:
    with DAG("d", schedule=None, start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)) as dag:
        one = invoke(
            flow="{{ var }}", payload={"a": "{{ params.x }}"}, query={"q": "{{ 1 }}"}, headers={"H": "{{ 2 }}"}
        )
        two = InvokeOktaFlowOperator.partial(task_id="two", flow="echo").expand(payload=one.output)
        OktaFlowSensor.partial(task_id="three", flow="status").expand(payload=two.output)
    one.render_template_fields({"var": "echo", "params": {"x": "y"}})

    assert (one.flow, one.payload, one.query, one.headers) == ("echo", {"a": "y"}, {"q": "1"}, {"H": "2"})
    assert dag.task_ids == ["task", "two", "three"]


# ---- what outlives a killed task


class KilledError(BaseException):
    """Stand for a SIGKILL at some moment."""


def test_a_response_is_stored_and_returned_by_a_retry(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store = Store()
    given, again = with_store(store), with_store(store, try_number=2)
    first = invoke(retries=3, payload={"n": 1}).execute(given)

    assert invoke(retries=3, payload={"n": 1}).execute(again) == first
    assert again["ti"].pushed == given["ti"].pushed
    assert len(org.log) == 1


def test_a_clearing_by_hand_runs_the_flow_anew(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store = Store()
    task = invoke(retries=3)
    keys = [task.execute(with_store(store, max_tries=tries))["key"] for tries in (3, 3, 4, 4)]

    assert len(set(keys)) == 2
    assert len(org.flows["echo"].runs) == 2


@pytest.mark.parametrize(("idempotent", "runs"), [(False, 1), (True, 2)])
def test_a_task_that_was_killed_while_the_flow_ran(
    org: LocalOrg, connect: Connect, idempotent: bool, runs: int
) -> None:
    connect(org)
    store = Store()

    class Dying(Store):
        def set(self, key: str, value: Any) -> None:
            if value["state"] == "responded":
                raise KilledError
            store.set(key, value)

    task = invoke(retries=3, idempotent=idempotent)
    with pytest.raises(KilledError):
        task.execute(with_store(Dying()))

    if idempotent:
        assert task.execute(with_store(store))["key"] == org.flows["echo"].runs[0].idempotency_key
    else:
        with pytest.raises(OktaFlowOutcomeUnknownError, match="cut off"):
            task.execute(with_store(store))
        with pytest.raises(OktaFlowOutcomeUnknownError):
            task.execute(with_store(store))
    assert len(org.flows["echo"].runs) == runs


def test_a_note_is_taken_back_while_it_waits(org: LocalOrg, connect: Connect) -> None:
    from airflow_okta_workflows.emulator import TooManyRequests

    connect(org)
    store = RecordingStore()
    org.inject(Answer(401), flow="echo")
    org.inject(TooManyRequests(retry_after=900), flow="echo")
    with pytest.raises(OktaWorkflowsError, match="429"):
        invoke().execute(with_store(store))

    assert store.states == ["sending", "not_run", "sending", "not_run"]


@pytest.mark.parametrize(
    "fault", [Answer(403), Answer(500), ReturnError(500, "x"), None]
)  # fmt: skip
def test_what_is_known_to_have_failed_may_be_tried_again(org: LocalOrg, connect: Connect, fault: Any) -> None:
    connect(org)
    store = Store()
    if isinstance(fault, Answer):
        org.inject(fault, flow="echo")
    elif fault:
        failing = [fault]
        org.flow("echo")(lambda request: failing.pop() if failing else {"key": 1})
        connect(org)
    conditions = ["`false`", "`true`"] if fault is None else ["`true`", "`true`"]
    with pytest.raises(OktaWorkflowsError):
        invoke(success_when=conditions[0]).execute(with_store(store))

    assert invoke(success_when=conditions[1]).execute(with_store(store))["key"]


def test_a_large_response_is_stored_without_its_body(
    org: LocalOrg, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    org.flow("large")(lambda request: {"rows": "x" * 40_000})
    connect(org)
    store = Store()
    with caplog.at_level(logging.WARNING):
        assert len(invoke(flow="large").execute(with_store(store))["rows"]) == 40_000

    assert "stored without its body" in caplog.text
    assert len(json.dumps(store)) < 1000
    with pytest.raises(OktaFlowResponseError, match="too large for a checkpoint"):
        invoke(flow="large").execute(with_store(store))
    assert len(org.flows["large"].runs) == 1


def test_an_unreadable_response_is_not_asked_for_again(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store = Store()
    org.inject(Answer(302, b"", {"Location": "http://x"}, after_run=True), flow="echo")
    with pytest.raises(OktaFlowResponseError, match="returned 302, a redirect"):
        invoke().execute(with_store(store))
    with pytest.raises(OktaFlowResponseError, match="responded in an earlier try, and its response could not be read"):
        invoke().execute(with_store(store))

    assert len(org.flows["echo"].runs) == 1


def test_what_cannot_be_stored_is_not_sent(org: LocalOrg, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    connect(org)

    class Down(Store):
        def set(self, key: str, value: Any) -> None:
            raise RuntimeError("the API server is down")

    with pytest.raises(RuntimeError):
        invoke().execute(with_store(Down()))
    assert org.log == []

    class GoesDown(Store):
        def set(self, key: str, value: Any) -> None:
            if value["state"] == "responded":
                raise RuntimeError("the API server is down")

    assert invoke().execute(with_store(GoesDown()))["key"]
    assert "could not be stored" in caplog.text
