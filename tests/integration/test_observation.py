"""Metrics and trace spans of invocations, with the clients of a real Airflow and of OpenTelemetry."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from airflow_okta_workflows import metrics
from airflow_okta_workflows.emulator import LocalOrg, ReturnError, TooManyRequests
from airflow_okta_workflows.exceptions import OktaFlowFailedError
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from tests.integration.task_context import Store, context, with_store
from tests.own_airflow import run_python

Connect = Callable[..., None]

DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator

with DAG("measured", schedule=None) as dag:
    first = InvokeOktaFlowOperator(task_id="first", flow="hello", payload={"name": "a-private-name"})
    batch = InvokeOktaFlowBatchOperator(task_id="batch", flow="hello", payloads=[{"n": 1}, {"n": 2}, None], on_error="collect")
    by_alias = InvokeOktaFlowOperator(task_id="by_alias", flow="{{ params.alias }}", params={"alias": "ALIAS"})
    first >> batch >> by_alias
"""


@pytest.fixture(scope="module")
def measured(airflow: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Run a DAG in an Airflow that sends StatsD metrics over UDP, and return those of this provider."""
    dags = tmp_path_factory.mktemp("dags")
    received: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener, LocalOrg() as org:
        listener.bind(("127.0.0.1", 0))
        org.flow("hello")(lambda request: {"greeting": "Hello!"})
        org.inject(TooManyRequests(retry_after=0), flow="hello")
        (dags / "measured.py").write_text(DAG_FILE.replace("ALIAS", org.flows["hello"].alias))
        environment = {
            **airflow,
            **org.environment(),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(listener.getsockname()[1]),
            # With tags, which plain StatsD has not.
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }
        reader = threading.Thread(target=_receive_into, args=(received, listener))
        reader.start()
        output = run_python(environment, "-m", "demo.run_dags", "measured")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", listener.getsockname())
        reader.join()
        assert "DAG run states: success" in output, output[-5000:]
    return [line.partition("airflow.okta_workflows.")[2] for line in received if "okta" in line]


def _receive_into(received: list[str], listener: socket.socket) -> None:
    while datagram := listener.recv(65536):
        received += datagram.decode().splitlines()


def test_airflow_counts_and_times_each_invocation(measured: list[str]) -> None:
    counts = {line: measured.count(line) for line in measured if line.endswith("|c")}

    assert counts.pop("token.request:1|c") == 1
    assert counts.pop("token.cache,outcome=miss:1|c") == 1
    assert counts.pop("token.cache,outcome=hit:1|c") >= 3
    assert counts == {
        "invocation,flow=hello,outcome=succeeded:1|c": 3,
        "invocation,flow=other,outcome=succeeded:1|c": 1,
        "rate_limited,flow=hello:1|c": 1,
        "batch.items,flow=hello,outcome=succeeded:2|c": 1,
        "batch.items,flow=hello,outcome=failed:1|c": 1,
    }
    (rate,) = (line for line in measured if line.endswith("|g"))
    assert re.fullmatch(r"batch\.rate,flow=hello:[\d.]+\|g", rate)
    timed = {line.partition(":")[0] for line in measured if line.endswith("|ms")}
    assert timed == {
        "invocation.duration,flow=hello,outcome=succeeded",
        "invocation.duration,flow=other,outcome=succeeded",
        "pace.wait,flow=hello",
        "pace.wait,flow=other",
        "rate_limit.wait,flow=hello",
    }


def test_no_metric_has_a_payload(measured: list[str]) -> None:
    assert measured
    assert "private" not in "".join(measured)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Yield the exporter of a tracer provider; OpenTelemetry lets a process set its own only once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


def in_task_span(work: Callable[[], object]) -> int:
    """Call a function within the span of a task, and return the span's id."""
    with trace.get_tracer_provider().get_tracer("airflow").start_as_current_span("task") as span:
        work()
    return span.get_span_context().span_id


def of_flows(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name != "task"]


def invoke(**options: Any) -> Any:
    return InvokeOktaFlowOperator(**{"task_id": "task", "flow": "echo", "payload": {"a": 1}, **options}).execute(
        context()
    )


def sent(org: LocalOrg, flow: str = "echo") -> list[str | None]:
    """Return the header ``traceparent`` of each request."""
    return [request.headers.get("traceparent") for request in org.requests(flow)]


def traceparent_of(span: ReadableSpan) -> str:
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


def test_an_invocation_is_a_span_below_that_of_its_task(
    org: LocalOrg, connect: Connect, spans: InMemorySpanExporter
) -> None:
    connect(org)

    task = in_task_span(invoke)

    (span,) = of_flows(spans)
    (run,) = org.flows["echo"].runs
    assert span.parent is not None
    assert span.parent.span_id == task
    assert dict(span.attributes or {}) == {
        "okta_workflows.flow": "echo",
        "okta_workflows.idempotency_key": run.idempotency_key,
        "okta_workflows.execution_id": run.execution_id,
        "okta_workflows.outcome": "succeeded",
        "http.request.method": "POST",
        "http.request.resend_count": 0,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
    }
    assert sent(org) == [traceparent_of(span)], "the flow can log to which trace it belongs"


def test_each_item_of_a_batch_is_a_span_below_that_of_the_task(
    org: LocalOrg, connect: Connect, spans: InMemorySpanExporter
) -> None:
    connect(org)
    batch = InvokeOktaFlowBatchOperator(task_id="batch", flow="echo", payloads=[{"n": 1}, {"n": 2}])

    task = in_task_span(lambda: batch.execute(with_store(Store())))

    found = of_flows(spans)
    assert [span.parent and span.parent.span_id for span in found] == [task, task]
    assert sorted(sent(org), key=str) == sorted(traceparent_of(span) for span in found)


def test_a_failed_invocation_is_a_failed_span_that_quotes_nothing(
    org: LocalOrg, connect: Connect, spans: InMemorySpanExporter
) -> None:
    connect(org)
    org.flow("fails")(lambda request: ReturnError(400, "a-private-word"))
    connect(org)

    with pytest.raises(OktaFlowFailedError):
        invoke(flow="fails")

    (span,) = of_flows(spans)
    assert span.status.status_code is trace.StatusCode.ERROR
    assert (span.attributes or {})["http.response.status_code"] == 400
    assert "private" not in span.to_json()


def test_a_refused_request_is_counted_as_sent_again(
    org: LocalOrg, connect: Connect, spans: InMemorySpanExporter
) -> None:
    connect(org)
    org.inject(TooManyRequests(retry_after=0), flow="echo")

    invoke()

    (span,) = of_flows(spans)
    assert (span.attributes or {})["http.request.resend_count"] == 1
    assert set(sent(org)) == {traceparent_of(span)}


def test_a_users_own_traceparent_wins(org: LocalOrg, connect: Connect, spans: InMemorySpanExporter) -> None:
    connect(org)
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    invoke(headers={"Traceparent": own})

    assert sent(org) == [own]
    assert len(of_flows(spans)) == 1


class FailsAtStart(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("a-private-word")


class FailsAtEnd(SpanProcessor):
    def on_end(self, span: Any) -> None:
        raise RuntimeError("a-private-word")


class FailingStats:
    def incr(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("a-private-word")

    timing = gauge = incr


def a_processor(kind: type[SpanProcessor]) -> Callable[[pytest.MonkeyPatch], None]:
    def trace_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
        provider = TracerProvider()
        provider.add_span_processor(kind())
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    return trace_with_it


def a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_stats", FailingStats)


@pytest.mark.parametrize(
    "breaks", [a_processor(FailsAtStart), a_processor(FailsAtEnd), a_backend], ids=["start", "end", "Stats"]
)
def test_what_only_observes_changes_no_outcome_and_is_told_once(
    org: LocalOrg,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    breaks: Callable[[pytest.MonkeyPatch], None],
) -> None:
    connect(org)
    org.flow("fails")(lambda request: ReturnError(400, "down"))
    connect(org)
    breaks(monkeypatch)
    monkeypatch.setattr(metrics.harmless, "_warned_in", 0)
    batch = InvokeOktaFlowBatchOperator(task_id="batch", flow="echo", payloads=[{"n": 1}, {"n": 2}], max_rate=1000)

    assert invoke(result="body") == {"a": 1}
    assert [record["outcome"] for record in batch.execute(with_store(Store()))] == ["succeeded"] * 2
    with pytest.raises(OktaFlowFailedError, match="returned 400"):
        invoke(flow="fails")

    assert len(org.flows["echo"].runs) == 3
    (warning,) = (line for line in caplog.messages if "Metrics or traces" in line)
    assert "builtins.RuntimeError" in warning
    assert "private" not in caplog.text


def test_an_interruption_of_what_observes_is_not_suppressed() -> None:
    with pytest.raises(KeyboardInterrupt), metrics.harmless:
        raise KeyboardInterrupt


def test_nothing_is_sent_along_without_a_trace(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    invoke()

    assert sent(org) == [None]
