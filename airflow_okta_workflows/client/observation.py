"""Metrics and the trace span of one invocation, from the steps of its conversation."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows import metrics
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.protocol import (
    AcquireRateLimit,
    Conversation,
    End,
    Send,
    StopRequested,
    Wait,
    resume,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_okta_workflows.core.addresses import FlowAddress
    from airflow_okta_workflows.core.flows.invocation import Invocation
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.protocol import Step


_turn_waits: ContextVar[list[float] | None] = ContextVar("okta_workflows_turn_waits", default=None)


@contextmanager
def noted_turn_waits() -> Iterator[list[float]]:
    """Yield a list to which each invocation of the block adds the seconds that it waits for its turns.

    Not after it has received a 429: then the flow's host determines the wait, and not those who share the pace.
    """
    waits: list[float] = []
    _turn_waits.set(waits)
    try:
        yield waits
    finally:
        # Not reset(): a coroutine that is never resumed is closed in another context, where that fails.
        _turn_waits.set(None)


class Observer:
    """Observer of a client's invocations.

    :param flow_tag: returns a flow's name as a tag
    :param monotonic: returns seconds of a clock that never goes back
    :param provider: OpenTelemetry's tracer provider; None if there is no trace
    """

    def __init__(self, flow_tag: Callable[[FlowAddress], str], monotonic: Callable[[], float], provider: Any) -> None:
        self._flow_tag = flow_tag
        self._monotonic = monotonic
        self._provider = provider
        self._measures = bool(provider) or metrics.are_on()

    @classmethod
    def configured(cls, flow_tag: Callable[[FlowAddress], str], monotonic: Callable[[], float]) -> Observer:
        """Return an observer with what this process has of metrics and traces, which are configured at its start.

        :param flow_tag: returns a flow's name as a tag
        :param monotonic: returns seconds of a clock that never goes back
        """
        provider = None
        with metrics.harmless:
            provider = _tracer_provider()
        return cls(flow_tag, monotonic, provider)

    @property
    def is_needed(self) -> bool:
        """Whether there are metrics or traces, or the caller wants to know the waits for turns."""
        return self._measures or _turn_waits.get() is not None

    def begin(self, call: Invocation) -> Observation:
        """Begin to observe an invocation. Its span is a child of the current one, such as the task's.

        :param call: the invocation
        """
        flow = self._flow_tag(call.address)
        span = None
        if self._provider:
            with metrics.harmless:
                span = _start_span(self._provider, call, flow)
        return Observation(call.url, flow, span, self._monotonic)


class Observation:
    """Metrics and the trace span of one invocation.

    :param url: the URL of its requests
    :param flow: the flow, as a tag
    :param span: the span, or None
    :param monotonic: returns seconds of a clock that never goes back
    """

    def __init__(self, url: str, flow: str, span: Any, monotonic: Callable[[], float]) -> None:
        self._url = url
        self._flow = flow
        self._span = span
        self._monotonic = monotonic
        self._began = monotonic()
        self._attempts = 0
        self._turn_waits = _turn_waits.get()

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that continue the trace in the flow (W3C Trace Context); none without a span."""
        with metrics.harmless:
            return _trace_headers(self._span)
        return {}

    def through(self, conversation: Conversation[FlowResponse]) -> Conversation[FlowResponse]:
        """Return the same conversation, observed.

        :param conversation: the conversation with the flow
        """
        event: object = None
        with closing(conversation):
            try:
                progress = resume(conversation, None)
                while not isinstance(progress, End):
                    began = self._monotonic()
                    try:
                        event = yield progress
                    except StopRequested as stop:
                        event = stop
                    self._step(progress, self._monotonic() - began)
                    progress = resume(conversation, event)
            except BaseException as error:
                self._end(error.kind.value if isinstance(error, CoreError) else "stopped", error)
                raise
            self._end("succeeded", None, progress.result)
            return progress.result

    def _step(self, step: Step, seconds: float) -> None:
        match step:
            case Send(request) if request.url == self._url:
                self._attempts += 1
            case AcquireRateLimit():
                metrics.timing("pace.wait", seconds, flow=self._flow)
                if self._turn_waits is not None:
                    self._turn_waits.append(seconds)
            case Wait(rate_limited=True):
                self._turn_waits = None
                metrics.count("rate_limited", flow=self._flow)
                metrics.timing("rate_limit.wait", seconds, flow=self._flow)

    def _end(self, outcome: str, error: BaseException | None, response: FlowResponse | None = None) -> None:
        metrics.count("invocation", flow=self._flow, outcome=outcome)
        metrics.timing("invocation.duration", self._monotonic() - self._began, flow=self._flow, outcome=outcome)
        if self._span is None:
            return
        if isinstance(error, CoreError):
            response = error.data.get("response")
        with metrics.harmless:
            _end_span(self._span, outcome, response, self._attempts)


def _trace() -> Any:
    """Return OpenTelemetry's API if this process has loaded it: otherwise nothing can have configured it."""
    return sys.modules.get("opentelemetry.trace")


def _tracer_provider() -> Any:
    if (trace := _trace()) is None:
        return None
    provider = trace.get_tracer_provider()
    # Without a configured provider it is a proxy, whose spans would cost something and lead nowhere.
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def _start_span(provider: Any, call: Invocation, flow: str) -> Any:
    span = provider.get_tracer("airflow_okta_workflows").start_span(
        f"okta_workflows {flow}",
        kind=_trace().SpanKind.CLIENT,
        attributes={
            "okta_workflows.flow": call.address.name,
            "okta_workflows.idempotency_key": call.idempotency_key,
            "http.request.method": call.method,
            "server.address": call.address.origin.host,
        },
    )
    return span if span.is_recording() else None


def _trace_headers(span: Any) -> Mapping[str, str]:
    if span is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers, _trace().set_span_in_context(span))
    return headers


def _end_span(span: Any, outcome: str, response: FlowResponse | None, attempts: int) -> None:
    trace = _trace()
    span.set_attribute("okta_workflows.outcome", outcome)
    span.set_attribute("http.request.resend_count", max(0, attempts - 1))
    if response is not None:
        span.set_attribute("http.response.status_code", response.status_code)
        if response.execution_id:
            span.set_attribute("okta_workflows.execution_id", response.execution_id)
    if outcome != "succeeded":
        # Not the exception itself: its message quotes what the flow returned.
        span.set_status(trace.StatusCode.ERROR, outcome)
    span.end()
