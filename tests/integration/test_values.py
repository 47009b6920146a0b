"""What the operators are given, as DAGs and XComs have it, and what they say of a response."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, TaskDeferred

from airflow_okta_workflows.emulator import LocalOrg, ReturnRaw
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaFlowFailedError
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from tests.conftest import Invoke
from tests.integration.task_context import context
from tests.integration.test_operators import Connect


def task_of(**options: Any) -> InvokeOktaFlowOperator:
    return InvokeOktaFlowOperator(**{"task_id": "task", "flow": "echo", **options})


def batch_of(payloads: Any, **options: Any) -> InvokeOktaFlowBatchOperator:
    return InvokeOktaFlowBatchOperator(
        **{"task_id": "task", "flow": "echo", "payloads": payloads, "max_rate": 2000, **options}
    )


def test_values_of_databases_are_sent(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    task = task_of(
        payload={"rows": ({"id": UUID(int=1), "amount": Decimal("1.10"), "day": datetime.date(2026, 1, 2)},)},
        query={"since": datetime.date(2026, 1, 2)},
        headers={"X-Day": datetime.date(2026, 1, 2), "X-Count": 5, "X-None": None, "Content-Type": "application/json"},
    )

    echoed = task.execute(context())

    assert echoed["query"] == {"since": "2026-01-02"}
    assert echoed["body"] == {
        "rows": [{"id": "00000000-0000-0000-0000-000000000001", "amount": 1.1, "day": "2026-01-02"}]
    }
    (request,) = org.requests("echo")
    assert (request.headers["x-day"], request.headers["x-count"]) == ("2026-01-02", "5")
    assert "x-none" not in request.headers


@pytest.mark.parametrize("payload", [{"a": {1}}, {"a": float("nan")}, "{'a': None}", "None", {"a": b"x"}])
def test_a_payload_that_is_not_json_is_not_sent(org: LocalOrg, connect: Connect, payload: Any) -> None:
    connect(org)

    with pytest.raises(OktaConfigurationError, match=r"(?s)JSON.*(Use|Convert it|\| tojson)"):
        task_of(payload=payload).execute(context())
    assert org.log == []


@pytest.mark.parametrize("options", [{}, {"deferrable": True, "idempotent": True}])
def test_a_payload_that_became_none_is_not_sent(org: LocalOrg, connect: Connect, options: Any) -> None:
    connect(org)
    task = task_of(payload="{{ ti.xcom_pull('person') }}", **options)
    task.payload = None  # as a native template renders it

    with pytest.raises(OktaConfigurationError, match=r"(?s)The payload is None.*\| tojson"):
        task.execute(context())
    assert org.log == []
    assert task_of(payload=None).execute(context())["body"] is None


@pytest.mark.parametrize("name", ["success_when", "result"])
def test_a_template_in_a_condition_is_refused_when_the_dag_is_parsed(name: str) -> None:
    with pytest.raises(OktaConfigurationError, match=f"{name} has a Jinja template"):
        task_of(**{name: "status == '{{ params.status }}'"})


@pytest.mark.parametrize("timeout", ["60", "{{ params.timeout }}", True, datetime.timedelta(0)])
def test_a_timeout_that_cannot_work_is_refused_when_the_dag_is_parsed(timeout: Any) -> None:
    with pytest.raises(OktaConfigurationError, match=r"(?s)timeout is .*Set it to a number from"):
        task_of(timeout=timeout)


def test_a_false_condition_shows_what_it_saw(org: LocalOrg, connect: Connect) -> None:
    org.flow("job")(lambda request: {"status": "PENDING", "token": "hunter2", "note": "x" * 500})
    connect(org)

    with pytest.raises(OktaFlowFailedError, match=r"returned 200, but success_when is false: status is 'PENDING'\.\n"):
        task_of(flow="job", success_when="status == 'DONE'").execute(context())
    with pytest.raises(OktaFlowFailedError) as caught:
        task_of(flow="job", success_when="token == 'a' || note == 'b'").execute(context())
    assert "token is ***, note is a value of 500 characters" in str(caught.value)


CAME = [
    (ReturnRaw(200, "fine"), "the response is text (text/plain), not JSON"),
    (
        ReturnRaw(200, "<a>1</a>", {"Content-Type": "application/xml"}),
        "the response is text (application/xml), not JSON",
    ),
    (
        ReturnRaw(200, "no JSON", {"Content-Type": "application/json"}),
        "the response is text (application/json), not JSON",
    ),
    (ReturnRaw(200, "5", {"Content-Type": "application/json"}), "the response is 5"),
    (ReturnRaw(200, ""), "the response is empty"),
    (None, "the response is empty"),
]


@pytest.mark.parametrize(("came", "sentence"), CAME)
@pytest.mark.parametrize("options", [{"success_when": "account.id"}, {"result": "account.id"}])
def test_a_response_without_members_says_what_came(
    org: LocalOrg, connect: Connect, came: Any, sentence: str, options: Any
) -> None:
    org.flow("raw")(lambda request: came)
    connect(org)

    with pytest.raises(OktaFlowFailedError) as caught:
        task_of(flow="raw", **options).execute(context())
    assert sentence in str(caught.value)
    assert "The flow has run" in str(caught.value)
    task_of(flow="raw").execute(context())


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/plain", "application/octet-stream", ""])
def test_json_is_read_under_any_content_type(org: LocalOrg, connect: Connect, content_type: str) -> None:
    org.flow("raw")(lambda request: ReturnRaw(200, ' {"account": {"id": "00u1"}}', {"Content-Type": content_type}))
    connect(org)

    assert task_of(flow="raw", result="account.id", success_when="account").execute(context()) == "00u1"


def test_the_hooks_timeout_may_be_a_timedelta(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)

    assert invoke("echo", {}, timeout=datetime.timedelta(seconds=5)).status_code == 200
    with pytest.raises(OktaConfigurationError, match="timeout is '5'"):
        invoke("echo", {}, timeout="5")


def test_a_flow_that_takes_no_json_is_left_to_another_operator(org: LocalOrg, connect: Connect, invoke: Invoke) -> None:
    connect(org)

    for content_type in ("application/x-www-form-urlencoded", "application/xml"):
        with pytest.raises(OktaConfigurationError, match="HttpOperator"):
            invoke("echo", "email=ada", headers={"Content-Type": content_type})


# ---- batches and triggers


def test_a_batch_takes_the_values_of_a_payload(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    rows = ({"id": UUID(int=n), "amount": Decimal(n)} for n in (1, 2))
    task = batch_of(lambda: rows, item_key="id", result="body.amount", timeout=datetime.timedelta(seconds=5))

    assert [record["result"] for record in task.execute(context())] == [1, 2]


@pytest.mark.parametrize(
    ("payloads", "sentence"),
    [
        (
            "[{'id': 1}]",
            r"(?s)payloads is a string that is not JSON \(it is a dict or list as Python prints it: \| tojson is missing\).*\| tojson",
        ),
        ("None", r"(?s)payloads is a string that is not JSON \(it is 'None'\).*\| tojson"),
        (["{'id': 1}"], r"(?s)Payload 0: The payload is a string that is not JSON .*\| tojson"),
        ([{"id": 1}, {"rows": [{"amount": float("nan")}]}], r"(?s)Payload 1: .* payload\.rows\[0\]\.amount is nan"),
        (None, "payloads is of type NoneType, not a list"),
    ],
)
def test_payloads_that_are_not_json_are_not_sent(org: LocalOrg, connect: Connect, payloads: Any, sentence: str) -> None:
    connect(org)
    task = batch_of([])
    task.payloads = payloads

    with pytest.raises(OktaConfigurationError, match=sentence):
        task.execute(context())
    assert org.log == []


def test_a_table_is_no_list_of_payloads(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    class Table:
        """The interface of a frame of pandas, which gives the names of its columns."""

        def __iter__(self) -> Iterator[str]:
            return iter(["id"])

        def to_dict(self, orient: str) -> list[dict[str, Any]]:
            return []

    with pytest.raises(
        OktaConfigurationError, match=r"(?s)payloads is of type Table, not a list.*Give the frame itself"
    ):
        batch_of(Table).execute(context())


@pytest.mark.parametrize("name", ["success_when", "result", "item_key"])
def test_a_batch_refuses_templates_in_its_conditions(name: str) -> None:
    with pytest.raises(OktaConfigurationError, match=f"{name} has a Jinja template"):
        batch_of([], **{name: "{{ params.condition }}"})


def test_a_batch_warns_once_of_a_result_that_is_not_there(
    org: LocalOrg, connect: Connect, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    connect(org)

    records = batch_of([{}, {"a": 1}, {"a": 2}], result="account.id").execute(context())

    assert [record["result"] for record in records] == [None] * 3
    logs = [log.count("'account.id' finds nothing") for log in (capsys.readouterr().out, caplog.text)]
    assert set(logs) <= {0, 1}
    assert any(logs)


def test_a_trigger_carries_values_as_strings(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    task = task_of(
        deferrable=True,
        idempotent=True,
        payload={"id": UUID(int=1)},
        query={"since": datetime.date(2026, 1, 2)},
        headers={"X-Amount": Decimal("1.5"), "X-None": None},
        timeout=datetime.timedelta(minutes=1),
    )

    with pytest.raises(TaskDeferred) as caught:
        task.execute(context())

    _, arguments = caught.value.trigger.serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    assert arguments["query"] == {"since": ["2026-01-02"]}
    assert arguments["headers"] == {"X-Amount": "1.5"}
    assert arguments["timeout"] == 60


# ---- what a DAG gives to all its tasks


DEFAULTS: dict[str, Any] = {"flow": "onboard", "okta_workflows_conn_id": "mine", "success_when": "ok", "timeout": 7}


@pytest.mark.parametrize("in_dag", [True, False])
def test_default_args_reach_the_operators(in_dag: bool) -> None:
    own: dict[str, Any] = {} if in_dag else {"default_args": DEFAULTS}
    with DAG("defaults", schedule=None, default_args=DEFAULTS if in_dag else {}):
        one = InvokeOktaFlowOperator(task_id="one", **own)
        many = InvokeOktaFlowBatchOperator(task_id="many", payloads=[], **own)
        other = InvokeOktaFlowOperator(task_id="other", flow="echo", **own)
        wait = OktaFlowSensor(task_id="wait", **own)

    for task in (one, many, wait):
        assert (task.flow, task.okta_workflows_conn_id) == ("onboard", "mine")
        assert (task.success_when, task.timeout) == ("ok", 7)
    assert other.flow == "echo"


def test_a_flow_is_required_where_no_default_has_it() -> None:
    for operator in (InvokeOktaFlowOperator, OktaFlowSensor):
        with pytest.raises((TypeError, AirflowException), match="flow"):
            operator(task_id="one")  # type: ignore[call-arg]  # what is tested


def test_all_arguments_map() -> None:
    each: dict[str, list[Any]] = {
        "flow": ["a", "b"], "payload": [{"a": 1}, None], "query": [{"q": 1}, None], "headers": [{"X-A": "1"}, {}],
        "method": ["POST", "POST"], "success_when": ["a", None], "result": ["a", None], "response_check": [bool, None],
        "idempotent": [True, False], "timeout": [5, datetime.timedelta(seconds=5)],
        "okta_workflows_conn_id": ["one", "two"],
    }  # fmt: skip
    with DAG("maps", schedule=None, default_args={"okta_workflows_conn_id": "mine", "flow": "onboard"}):
        mapped = InvokeOktaFlowOperator.partial(task_id="one").expand_kwargs(
            [dict(zip(each, values, strict=True)) for values in zip(*each.values(), strict=True)]
        )
        InvokeOktaFlowBatchOperator.partial(task_id="many").expand(payloads=[[{"a": 1}], [{"a": 2}]])
        OktaFlowSensor.partial(task_id="wait").expand(payload=[{"a": 1}], timeout=[5])
        for name, values in each.items():
            InvokeOktaFlowOperator.partial(task_id=f"by_{name}").expand(**{name: values})

    for index in (0, 1):
        task = mapped.unmap({name: values[index] for name, values in each.items()})
        assert {name: getattr(task, name) for name in each} == {name: values[index] for name, values in each.items()}
    defaults = InvokeOktaFlowOperator.partial(task_id="two", flow="x", dag=DAG("other", schedule=None)).expand(
        payload=[{}]
    )
    assert getattr(defaults.unmap({"payload": {}}), "flow") == "x"  # noqa: B009  # mypy knows a BaseOperator
