"""The notifier, called with contexts as Airflow builds them in each place, against the local org."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, mask_secret

from airflow_okta_workflows.emulator import Answer, Latency, LocalOrg, Reset, ReturnError, TooManyRequests
from airflow_okta_workflows.emulator.flow_file import flows_in
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.hooks.flow_hook import FlowHook
from airflow_okta_workflows.notifications import okta_workflows
from airflow_okta_workflows.notifications.okta_workflows import OktaFlowNotifier
from tests.pages import ROOT, rows, write_files
from tests.watched_org import without_kid

Connect = Callable[..., None]
Call = Callable[[OktaFlowNotifier, Any], None]

START = datetime(2026, 11, 27, 6, tzinfo=UTC)
MEMBERS = {
    "event", "dag_id", "run_id", "task_id", "map_index", "try_number", "state", "log_url", "exception_class",
    "exception_message", "reason", "deadline",
}  # fmt: skip


def task_with(**options: Any) -> BaseOperator:
    with DAG("dag", schedule=None, start_date=START):
        return BaseOperator(**{"task_id": "task", **options})


def run_of(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"run_id": "run", "start_date": START, "clear_number": 0, **fields})


def in_the_worker(task: BaseOperator, state: str | None, exception: object = None, **fields: Any) -> dict[str, Any]:
    """Return a context as the task's own process has it."""
    ti = SimpleNamespace(
        **{
            "dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": -1, "try_number": 1, "max_tries": 0,
            "state": state, "start_date": START, "log_url": "http://airflow/log", **fields,
        }
    )  # fmt: skip
    return {"dag": task.dag, "task": task, "ti": ti, "run_id": "run", "dag_run": run_of(), "exception": exception}


def in_the_dag_processor(task: BaseOperator, **fields: Any) -> dict[str, Any]:
    """Return a context as the DAG processor of Airflow 3 has it, for a task that died."""
    context = in_the_worker(task, "", **{"map_index": None, **fields})
    del context["exception"], context["ti"].start_date, context["ti"].state
    # The same moment, written differently.
    context["dag_run"].start_date = START.astimezone(None)
    return context


def missed_deadline(**fields: Any) -> dict[str, Any]:
    """Return the context of a deadline alert."""
    return {
        "dag_run": {"dag_id": "dag", "dag_run_id": "run", "state": "running", "conf": {"region": "eu"}},
        "deadline": {"id": "0199-1", "deadline_time": START, **fields},
    }


def call(notifier: OktaFlowNotifier, context: Any) -> None:
    notifier(context)


def call_on_a_loop(notifier: OktaFlowNotifier, context: Any) -> None:
    async def wait() -> None:
        notifier.context = context
        await notifier

    asyncio.run(wait())


@pytest.fixture(params=[call, call_on_a_loop], ids=["sync", "async"])
def notify(request: pytest.FixtureRequest) -> Call:
    """Call a notifier: once as a callback, and once on an event loop."""
    way: Call = request.param
    return way


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def sent(org: LocalOrg, flow: str = "echo") -> list[Any]:
    return [run.body for run in org.flows[flow].runs]


def keys(org: LocalOrg, flow: str = "echo") -> list[str | None]:
    return [run.idempotency_key for run in org.flows[flow].runs]


def errors(logs: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in logs.records if record.levelno >= logging.ERROR)


# ---- what is sent


def test_the_default_payload_tells_what_failed(org: LocalOrg, connect: Connect, notify: Call) -> None:
    connect(org)
    notifier = OktaFlowNotifier(flow="echo")
    task = task_with(on_failure_callback=notifier)

    notify(notifier, in_the_worker(task, "failed", ValueError("no such account\nsecond line"), map_index=3))

    assert sent(org) == [
        {
            "event": "failure",
            "dag_id": "dag",
            "run_id": "run",
            "task_id": "task",
            "map_index": 3,
            "try_number": 1,
            "state": "failed",
            "log_url": "http://airflow/log",
            "exception_class": "ValueError",
            "exception_message": "no such account",
            "reason": None,
            "deadline": None,
        }
    ]


@pytest.mark.parametrize(
    ("attribute", "state", "event"),
    [
        ("on_failure_callback", "failed", "failure"),
        ("on_retry_callback", "up_for_retry", "retry"),
        ("on_success_callback", "success", "success"),
        ("on_skipped_callback", "skipped", "skipped"),
        ("on_execute_callback", "running", "execute"),
    ],
)
def test_each_callback_of_a_task_is_an_event_of_its_own(
    org: LocalOrg, connect: Connect, attribute: str, state: str, event: str
) -> None:
    connect(org)
    notifier = OktaFlowNotifier(flow="echo")
    everywhere = dict.fromkeys(
        (
            "on_failure_callback",
            "on_retry_callback",
            "on_success_callback",
            "on_skipped_callback",
            "on_execute_callback",
        ),
        notifier,
    )

    def called_by_a_function(context: Any) -> None:
        notifier(context)

    notifier(in_the_worker(task_with(**{attribute: notifier}), state))
    # Airflow 3 has no state while a task begins, and Airflow 2 may have an earlier one.
    for seen in (None, "queued") if event == "execute" else (state,):
        notifier(in_the_worker(task_with(**everywhere), seen))
    called_by_a_function(in_the_worker(task_with(**{attribute: called_by_a_function}), state))

    assert [(body["event"], body["state"]) for body in sent(org)] == [(event, state)] * (4 if event == "execute" else 3)
    assert all(set(body) == MEMBERS for body in sent(org))


def test_a_question_to_a_person_is_an_event(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    notifier = OktaFlowNotifier(flow="echo")
    task = task_with()
    task.notifiers = [notifier]  # as Airflow's human-in-the-loop operators have it

    notifier(in_the_worker(task, None))
    task.on_failure_callback = [notifier]
    notifier(in_the_worker(task, "running"))

    assert [(body["event"], body["state"]) for body in sent(org)] == [("hitl", "running")] * 2


@pytest.mark.parametrize(
    ("reason", "event", "state"), [("task_failure", "dag_failure", "failed"), ("success", "dag_success", "success")]
)
def test_the_end_of_a_run_is_an_event_each_time_it_ends(
    org: LocalOrg, connect: Connect, reason: str, event: str, state: str
) -> None:
    connect(org)
    notifier = OktaFlowNotifier(flow="echo")
    dag = DAG("dag", schedule=None, start_date=START, on_failure_callback=notifier, on_success_callback=notifier)
    least = {"dag": dag, "run_id": "run", "reason": reason}
    with_last_task = {**least, "ti": SimpleNamespace(task_id="any"), "dag_run": run_of()}
    cleared = {**with_last_task, "dag_run": run_of(clear_number=1)}

    for context in (least, with_last_task, with_last_task, cleared):
        notifier(context)

    assert [(body["event"], body["state"], body["reason"]) for body in sent(org)] == [(event, state, reason)] * 4
    assert all((body["run_id"], body["task_id"], body["log_url"]) == ("run", None, None) for body in sent(org))
    _, first, again, after_clearing = keys(org)
    assert first == again != after_clearing


def test_a_missed_deadline_is_an_event(org: LocalOrg, connect: Connect, notify: Call) -> None:
    connect(org)
    notifier = OktaFlowNotifier(flow="echo")

    notify(notifier, missed_deadline())
    notify(notifier, missed_deadline())
    notify(notifier, missed_deadline(id="0199-2"))

    body = sent(org)[0]
    assert (body["event"], body["dag_id"], body["run_id"], body["state"]) == ("deadline", "dag", "run", "running")
    assert body["deadline"] == "2026-11-27T06:00:00+00:00"
    first, again, another = keys(org)
    assert first == again != another


def test_airflow_awaits_the_class_with_its_arguments_and_the_context(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    async def as_the_triggerer_does() -> Any:
        return await OktaFlowNotifier(flow="echo", payload={"dag": "{{ dag_run.dag_id }}"}, context=missed_deadline())

    assert asyncio.run(as_the_triggerer_does()) is None
    assert sent(org) == [{"dag": "dag"}]


def test_a_missed_sla_of_airflow_2_is_an_event(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    OktaFlowNotifier(flow="echo")(DAG("dag", schedule=None, start_date=START), "task on …", "", [], [])

    assert [(body["event"], body["dag_id"]) for body in sent(org)] == [("sla_miss", "dag")]


def test_all_fields_are_templated(org: LocalOrg, connect: Connect, notify: Call) -> None:
    connect(org, flows={"named": org.flows["echo"].alias})
    notifier = OktaFlowNotifier(
        flow="{{ 'na' ~ 'med' }}",
        payload={"who": ["{{ ti.task_id }}"], "what": "{{ exception }}"},
        query={"try": "{{ ti.try_number }}"},
        headers={"X-Run": "{{ run_id }}"},
        okta_workflows_conn_id="okta_workflows_{{ 'default' }}",
    )
    task = task_with(on_failure_callback=notifier)

    for number in (1, 2):
        notify(notifier, in_the_worker(task, "failed", ValueError("no"), try_number=number))

    assert sent(org) == [{"who": ["task"], "what": "no"}] * 2
    assert [run.query["try"] for run in org.flows["echo"].runs] == ["1", "2"], "rendered for each event"
    assert [request.headers["x-run"] for request in org.requests("echo")] == ["run", "run"]
    assert notifier.flow == "{{ 'na' ~ 'med' }}"


def test_a_whole_payload_may_be_a_template(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    OktaFlowNotifier(flow="echo", payload="{{ {'run': run_id} | tojson }}")(in_the_worker(task_with(), "failed"))

    assert sent(org) == [{"run": "run"}]


# ---- the key


def test_worker_and_dag_processor_report_one_event_under_one_key(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    notifier = OktaFlowNotifier(flow="echo")
    by_a_function = OktaFlowNotifier(flow="echo", payload={"what": "{{ exception }}"})
    task = task_with(on_failure_callback=notifier)
    by_function = task_with(on_failure_callback=by_a_function.__call__)

    notifier(in_the_worker(task, "failed", ValueError("no")))
    notifier(in_the_dag_processor(task))
    by_a_function(in_the_worker(by_function, "failed", ValueError("no")))
    by_a_function(in_the_dag_processor(by_function))

    first, second, third, fourth = keys(org)
    assert first == second != third == fourth
    assert [body.get("event") for body in sent(org)[:2]] == ["failure"] * 2


def test_a_task_that_died_and_is_retried_is_told_from_one_that_failed(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    notifier = OktaFlowNotifier(flow="echo")
    task = task_with(on_failure_callback=notifier, on_retry_callback=notifier)

    notifier(in_the_dag_processor(task, try_number=1, max_tries=1))
    notifier(in_the_dag_processor(task, try_number=2, max_tries=1))

    assert [body["event"] for body in sent(org)] == ["retry", "failure"]


def test_each_other_event_and_each_other_notifier_has_another_key(org: LocalOrg, connect: Connect) -> None:
    connect(org, flows=dict.fromkeys(("echo", "other"), org.flows["echo"].alias))
    notifiers = [OktaFlowNotifier(flow="echo"), OktaFlowNotifier(flow="echo"), OktaFlowNotifier(flow="other")]
    task = task_with(on_failure_callback=notifiers, on_retry_callback=notifiers[:1])
    first = notifiers[0]

    for notifier in notifiers:
        notifier(in_the_worker(task, "failed"))
    for fields in ({"dag_id": "d"}, {"run_id": "r"}, {"task_id": "t"}, {"map_index": 0}, {"try_number": 2}):
        first(in_the_worker(task, "failed", **fields))
    first(in_the_worker(task, "up_for_retry"))
    recreated = in_the_worker(task, "failed")
    recreated["dag_run"] = run_of(start_date=START + timedelta(hours=1))
    first(recreated)
    # Two that functions call are told apart by what they send.
    for payload in ({"a": 1}, {"a": 2}):
        OktaFlowNotifier(flow="echo", payload=payload)(in_the_worker(task, "failed"))

    assert len(set(keys(org))) == len(keys(org)) == 12


def test_what_is_no_event_is_sent_under_new_keys(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    for _ in range(2):
        OktaFlowNotifier(flow="echo")({})

    assert [body["event"] for body in sent(org)] == ["unknown"] * 2
    assert len(set(keys(org))) == 2


# ---- what goes wrong


def failed(notifier: OktaFlowNotifier, notify: Call) -> None:
    notify(notifier, in_the_worker(task_with(on_failure_callback=notifier), "failed", ValueError("no")))


def test_an_org_that_is_down(org: LocalOrg, connect: Connect, notify: Call, logs: pytest.LogCaptureFixture) -> None:
    connect(org)
    org.__exit__(None, None, None)

    failed(OktaFlowNotifier(flow="echo"), notify)

    assert "The notification failed: failure of dag.task (run, try 1)\n" in errors(logs)
    assert "What to change (OKW-" in errors(logs)


def test_a_flow_that_refuses(org: LocalOrg, connect: Connect, notify: Call, logs: pytest.LogCaptureFixture) -> None:
    connect(org)
    org.inject(Answer(401, b'{"error": "no"}'), flow="echo", times=2)

    failed(OktaFlowNotifier(flow="echo", payload={"email": "ada@example.com"}), notify)

    assert "Flow 'echo' was refused with 401 and did not run.\nWhat to change (OKW-1421)" in errors(logs)
    assert "ada@example.com" not in logs.text
    assert "eyJ" not in without_kid(logs.text, org), "a token or a client assertion"


def test_a_flow_that_nobody_knows(
    org: LocalOrg, connect: Connect, notify: Call, logs: pytest.LogCaptureFixture
) -> None:
    connect(org)

    failed(OktaFlowNotifier(flow="ecco"), notify)

    assert "echo" in errors(logs), "the names that are known"
    assert "What to change (OKW-" in errors(logs)


def test_a_flow_that_fails(org: LocalOrg, connect: Connect, notify: Call, logs: pytest.LogCaptureFixture) -> None:
    org.flow("broken")(lambda request: ReturnError(500, "no such channel"))
    connect(org)

    failed(OktaFlowNotifier(flow="broken"), notify)

    assert "returned 500" in errors(logs)
    assert "no such channel" in errors(logs)


def test_a_response_that_is_lost_is_not_sent_again(
    org: LocalOrg, connect: Connect, notify: Call, logs: pytest.LogCaptureFixture
) -> None:
    connect(org)
    org.inject(Reset(after_run=True), flow="echo")

    failed(OktaFlowNotifier(flow="echo"), notify)

    assert len(sent(org)) == 1
    assert "outcome is unknown" in errors(logs)


@pytest.mark.parametrize("template", ["{{ nobody.knows }}", "{% if", "{{ 1 // 0 }}"])
def test_a_template_that_cannot_be_rendered(
    org: LocalOrg, connect: Connect, notify: Call, logs: pytest.LogCaptureFixture, template: str
) -> None:
    connect(org)

    failed(OktaFlowNotifier(flow="echo", payload={"password": "hunter2-hunter2", "x": template}), notify)

    assert sent(org) == []
    assert "The template of payload cannot be rendered: " in errors(logs)
    assert "What to change (OKW-1661)" in errors(logs)
    assert "hunter2" not in logs.text


def test_a_payload_that_renders_to_nothing(org: LocalOrg, connect: Connect, logs: pytest.LogCaptureFixture) -> None:
    connect(org)
    notifier = OktaFlowNotifier(flow="echo", payload="{{ none }}")

    with DAG("dag", schedule=None, start_date=START, render_template_as_native_obj=True):
        task = BaseOperator(task_id="task", on_failure_callback=notifier)
    notifier(in_the_worker(task, "failed"))

    assert sent(org) == []
    assert "The payload is None" in errors(logs)


def test_a_connection_that_is_missing(notify: Call, logs: pytest.LogCaptureFixture) -> None:
    failed(OktaFlowNotifier(flow="echo", okta_workflows_conn_id="nobody"), notify)

    assert "nobody" in errors(logs)


@pytest.mark.parametrize("context", [{}, {"deadline": {}}, {"ti": object()}, {"reason": None}, None])
def test_no_context_makes_it_raise(org: LocalOrg, connect: Connect, context: Any) -> None:
    connect(org)

    OktaFlowNotifier(flow="echo")(context)


def test_arguments_are_checked_when_the_dag_is_parsed() -> None:
    for arguments in ({"headers": {"Authorization": "x"}}, {"timeout": -1}, {"payload": {"x-okta-workflows-a": 1}}):
        with pytest.raises(OktaConfigurationError):
            OktaFlowNotifier(flow="echo", **arguments)


def test_wrong_arguments_do_not_raise_in_the_triggerer(
    org: LocalOrg, connect: Connect, logs: pytest.LogCaptureFixture
) -> None:
    connect(org)

    async def as_the_triggerer_does() -> None:
        await OktaFlowNotifier(flow="echo", timeout=-1, context=missed_deadline())

    asyncio.run(as_the_triggerer_does())

    assert "timeout is -1" in errors(logs)


# ---- how long it takes


def test_a_wait_for_the_rate_limit_ends(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch, notify: Call, logs: pytest.LogCaptureFixture
) -> None:
    connect(org)
    monkeypatch.setattr(okta_workflows, "_SENDS_WITHIN", 1.0)
    org.inject(TooManyRequests(retry_after=60), flow="echo", times=5)
    began = time.monotonic()

    failed(OktaFlowNotifier(flow="echo", timeout=1), notify)

    assert time.monotonic() - began < 10
    assert sent(org) == []
    assert "429" in errors(logs)


def test_a_backoff_ends_in_time(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch, logs: pytest.LogCaptureFixture
) -> None:
    connect(org)
    monkeypatch.setattr(okta_workflows, "_SENDS_WITHIN", 0.05)
    org.inject(Reset(), flow="token", times=5)
    org.__exit__(None, None, None)

    failed(OktaFlowNotifier(flow="echo"), call)

    assert "No notification could be sent within 0 s." in errors(logs)
    assert "What to change (OKW-1662)" in errors(logs)


@pytest.mark.parametrize("longest", [0.0, -10.2])  # while it looks the connection up, and while it waits for the org
def test_on_a_loop_all_of_it_is_limited(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch, logs: pytest.LogCaptureFixture, longest: float
) -> None:
    connect(org)
    monkeypatch.setattr(okta_workflows, "_SENDS_WITHIN", longest)
    if longest:
        monkeypatch.setattr(FlowHook, "asettings", ready_at_once)
    org.inject(Latency(5), flow="echo")

    failed(OktaFlowNotifier(flow="echo", timeout=0.3), call_on_a_loop)

    assert "The notification was given up: it took too long.\nWhat to change (OKW-1663)" in errors(logs)


async def ready_at_once(hook: FlowHook) -> Any:
    return hook.settings


def test_a_response_that_does_not_come_is_given_up(
    org: LocalOrg, connect: Connect, notify: Call, logs: pytest.LogCaptureFixture
) -> None:
    connect(org)
    org.inject(Latency(5), flow="echo")
    began = time.monotonic()

    failed(OktaFlowNotifier(flow="echo", timeout=timedelta(seconds=0.3)), notify)

    assert time.monotonic() - began < 4
    assert "outcome is unknown" in errors(logs)


# ---- secrets


def test_the_exceptions_message_is_redacted(org: LocalOrg, connect: Connect, notify: Call) -> None:
    connect(org)
    key = json.loads(json.dumps(org.connection()))["password"]
    mask_secret("correct-horse-battery")
    notifier = OktaFlowNotifier(flow="echo")
    task = task_with(on_failure_callback=notifier)
    problems = [
        ValueError("the password correct-horse-battery is wrong"),
        ValueError(f"no key: {key} at all"),
        ValueError("Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwOi8vMTI3In0.c2ln-refused"),
        ValueError("x" * 3000),
    ]

    for problem in problems:
        notify(notifier, in_the_worker(task, "failed", problem))

    messages = [body["exception_message"] for body in sent(org)]
    assert messages[0] == "the password *** is wrong"
    assert not any(part in messages[1] for part in key.splitlines() if len(part) > 16)
    assert messages[2] == "Bearer …"
    assert all(len(message) <= 500 for message in messages)


def test_an_exception_without_a_text_does_not_stop_it(org: LocalOrg, connect: Connect) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    connect(org)
    notifier = OktaFlowNotifier(flow="echo")

    notifier(in_the_worker(task_with(on_failure_callback=notifier), "failed", MuteError()))
    notifier(in_the_worker(task_with(on_failure_callback=notifier), "failed", "killed externally"))

    assert [(body["exception_class"], body["exception_message"]) for body in sent(org)] == [
        ("MuteError", ""),
        (None, "killed externally"),
    ]


# ---- the page


PAGE = "docs/notifications.md"


def test_the_page_tells_each_parameter_and_each_member() -> None:
    own = {
        name: parameter.default
        for name, parameter in inspect.signature(OktaFlowNotifier).parameters.items()
        if name != "context"
    }
    told = {name.strip("`"): default.strip("`") for name, default, _ in rows(PAGE, "## Parameters")[1:]}
    members = {name for cell, _ in rows(PAGE, "## The payload")[1:] for name in re.findall(r"`(\w+)`", cell)}
    listed = re.search(r"\n((?:`\w+`(?:,| and)\s)+`\w+`) are templated", (ROOT / PAGE).read_text())
    assert listed

    assert set(told) == set(own)
    assert {name: ast.literal_eval(value) for name, value in told.items() if value} == {
        name: value for name, value in own.items() if value is not inspect.Parameter.empty
    }
    assert members == MEMBERS
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(OktaFlowNotifier.template_fields)


def test_the_flow_of_the_page_takes_one_event_once(org: LocalOrg, connect: Connect, tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    org.add_flows({one.name: one.function for one in flows_in(tmp_path / "flows.py")})
    connect(org)
    names: dict[str, Any] = {}
    exec(compile((tmp_path / "dags/nightly_load.py").read_text(), "nightly_load.py", "exec"), names)
    task = names["dag"].get_task("load")

    for context in (in_the_worker(task, "failed", ValueError("no")), in_the_dag_processor(task)):
        names["report"](context)

    # The notifier of the task is a copy: Airflow copies default_args.
    (notifier,) = task.on_failure_callback if isinstance(task.on_failure_callback, list) else [task.on_failure_callback]
    for context in (in_the_worker(task, "failed", ValueError("no")), in_the_dag_processor(task)):
        notifier(context)
    assert [run.body["event"] for run in org.flows["report"].runs] == ["failure"] * 4
    first, second, third, fourth = keys(org, "report")
    assert first == second
    assert third == fourth
