"""The conversation with a flow: what each response means, and when an invocation may be sent again.

Theory of operation: no other module decides when an invocation is sent again. What happens after an attempt depends on
how far it got:

- *Not sent*, such as a failed connection: another attempt after a backoff, unless it cannot help.
- *Refused before the flow ran*: another attempt after the first 401, with a new token, and after 429, once the wait
  that the host requests is over. A second 401, a 403 and a 404 are final.
- *Responded*: final. A response with an execution id always comes from the flow, whatever its status, and even if the
  rest of it is unreadable or never arrived.
- *Outcome unknown*, such as a lost connection, a gateway's 503, a login page or an unreadable 429: another attempt
  under the same idempotency key if the flow is declared idempotent; otherwise final.

Attempts that were not sent or have an unknown outcome count together, up to ``ATTEMPTS``; rate limits draw on a budget
of seconds. Once the outcome of one attempt is unknown, a later attempt that is not sent or is refused does not change
that: the flow may have run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

from airflow_okta_workflows.core.errors import CoreError, ErrorKind, configuration_error
from airflow_okta_workflows.core.flows import hints as flow_hints
from airflow_okta_workflows.core.flows.encoding import (
    check_headers,
    check_method,
    check_timeout,
    encode_payload,
    encode_query,
)
from airflow_okta_workflows.core.flows.response import FlowResponse, is_foreign_page, parse_response
from airflow_okta_workflows.core.http import hints as http_hints
from airflow_okta_workflows.core.http.messages import error_message
from airflow_okta_workflows.core.http.types import FailureKind, HttpRequest, HttpResponse, TransportFailure
from airflow_okta_workflows.core.oauth.clock_skew import clock_offset
from airflow_okta_workflows.core.protocol import (
    AcquireRateLimit,
    Checkpoint,
    Conversation,
    InvocationState,
    Log,
    Send,
    StopRequested,
    Throttle,
    Wait,
)
from airflow_okta_workflows.core.retry.backoff import ATTEMPTS, RetryBudget, backoff, retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from airflow_okta_workflows.core.addresses import FlowAddress
    from airflow_okta_workflows.core.oauth.flow_auth import FlowAuth
    from airflow_okta_workflows.core.runtime import Runtime

# A gateway timed out or lost the flow's host; the flow itself may still have run. 520 to 524 are Cloudflare's.
_GATEWAY = frozenset({408, 502, 503, 504, *range(520, 525)})
_BEFORE_RUNNING = (401, 403, 404)
_LIMITED_FOR = 1.0
"""Seconds for which other invocations count a 429 that asks for no wait: Okta's limit of a flow is per second."""

_TURN, _SENDING = AcquireRateLimit(), Checkpoint(InvocationState.SENDING)


class InvocationOptions(TypedDict, total=False):
    """Keyword arguments of ``OktaWorkflowsHook.invoke`` that accompany the payload."""

    method: str
    query: Mapping[str, Any] | None
    headers: Mapping[str, Any] | None
    idempotent: bool
    timeout: float | timedelta | None


@dataclass
class Invocation:
    """One validated invocation.

    :param address: the flow
    :param idempotency_key: its idempotency key
    :param idempotent: whether running the flow twice under this key does no harm
    :param method: ``GET`` or ``POST``
    :param url: the invoke URL, query included
    :param headers: the headers, except those that authorize the request
    :param body: the encoded payload, or None
    :param rate_limit_wait: seconds that may be spent waiting on 429
    :param read_timeout: seconds that the response may take; the connection's default if None
    :param item: what log lines call the item of a batch, such as ``Item 3``; empty if there is no batch
    """

    address: FlowAddress
    idempotency_key: str
    idempotent: bool
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    rate_limit_wait: float
    read_timeout: float | None
    item: str = ""

    @classmethod
    def build(
        cls,
        address: FlowAddress,
        payload: Any,
        *,
        idempotency_key: str,
        rate_limit_wait: float,
        method: str = "POST",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        idempotent: bool = False,
        timeout: float | timedelta | None = None,
    ) -> Invocation:
        """Validate and encode what a caller wants to send. Parameters that are not listed here are those of the class.

        :param payload: a JSON value, a string of JSON, or None
        :param query: query parameters, or None
        :param timeout: how long the response may take, in seconds or as a ``timedelta``; the connection's default if
            None
        :raises CoreError: of kind ``CONFIGURATION`` if it cannot be sent
        """
        method = check_method(method)
        own = check_headers(headers)
        body = encode_payload(payload, method)
        encoded_query = encode_query(query)
        # A caller's own header replaces the default; header names are compared without regard to case.
        named = {name.lower() for name in own}
        defaults = {"Accept": "application/json, */*;q=0.5", "Idempotency-Key": idempotency_key}
        if body is not None:
            defaults["Content-Type"] = "application/json"
        return cls(
            address=address,
            idempotency_key=_check_key(idempotency_key),
            idempotent=idempotent,
            method=method,
            url=address.url + (f"?{encoded_query}" if encoded_query else ""),
            headers={**{n: v for n, v in defaults.items() if n.lower() not in named}, **own},
            body=body,
            rate_limit_wait=rate_limit_wait,
            read_timeout=check_timeout(timeout),
        )

    def with_payload(self, body: bytes | None, idempotency_key: str, item: str = "") -> Invocation:
        """Return the same invocation with another payload, under another key.

        :param body: the encoded payload, or None
        :param idempotency_key: its idempotency key
        :param item: what log lines call it, if it is the item of a batch
        """
        headers = {**self.headers, "Idempotency-Key": idempotency_key}
        # Not dataclasses.replace, which takes three times as long: each poll and each item of a batch comes by here.
        return Invocation(
            self.address,
            idempotency_key,
            self.idempotent,
            self.method,
            self.url,
            headers,
            body,
            self.rate_limit_wait,
            self.read_timeout,
            item,
        )

    def with_headers(self, headers: Mapping[str, str]) -> Invocation:
        """Return the same invocation with further headers, unless it has one of them already.

        :param headers: the further headers
        """
        own = {name.lower() for name in self.headers}
        return self if own & headers.keys() else replace(self, headers={**self.headers, **headers})

    @property
    def in_logs(self) -> str:
        """What log lines call the invocation."""
        return f"{self.item}: flow {self.address.name!r}" if self.item else f"flow {self.address.name!r}"

    @property
    def http_request(self) -> HttpRequest:
        """The request, without the headers that authorize it."""
        return HttpRequest(self.method, self.url, self.headers, self.body, self.read_timeout)


def invoke_flow(call: Invocation, auth: FlowAuth, runtime: Runtime) -> Conversation[FlowResponse]:
    """Invoke a flow once, sending again only if the flow cannot have run or is declared idempotent.

    :param call: what to send, and where
    :param auth: authorizes each attempt
    :param runtime: clock and randomness
    :raises CoreError: if the invocation did not succeed; its kind says how far it got
    """
    return _InvocationConversation(call, auth, runtime).run()


class _InvocationConversation:
    def __init__(self, call: Invocation, auth: FlowAuth, runtime: Runtime) -> None:
        self._call = call
        self._auth = auth
        self._runtime = runtime
        self._budget: RetryBudget | None = None
        self._failures = 0
        self._renewed = False
        self._may_have_run = False

    def run(self) -> Conversation[FlowResponse]:
        try:
            request = yield from self._auth.authorize(self._call.http_request)
            while True:
                yield _TURN
                yield _SENDING
                event = yield Send(request)
                if isinstance(event, TransportFailure):
                    request = yield from self._after_failure(request, event)
                elif isinstance(event, HttpResponse):
                    response = parse_response(event, self._auth.secrets)
                    page = is_foreign_page(response)
                    if 200 <= event.status < 300 and not page and not response.unreadable:
                        return response
                    request = yield from self._after_response(request, event, response, page=page)
                else:  # pragma: no cover  # the event of a Send is one of the two
                    raise TypeError(f"Send led to {type(event).__name__}")
        except StopRequested:
            self._fail(ErrorKind.NOT_SENT, "was not invoked: the task was stopped", flow_hints.STOPPED)

    def _after_failure(self, request: HttpRequest, failure: TransportFailure) -> Conversation[HttpRequest]:
        """Return the request to send next, unless the failure ends the invocation."""
        if failure.response is not None:
            begun = parse_response(failure.response, self._auth.secrets)
            if begun.execution_id is not None:
                return (yield from self._after_response(request, failure.response, begun, page=False))
        yield from self._after_loss(failure)
        return request

    def _after_response(
        self, request: HttpRequest, event: HttpResponse, response: FlowResponse, *, page: bool
    ) -> Conversation[HttpRequest]:
        """Return the request to send next, unless the response ends the invocation."""
        if event.status < 300 and not page:
            self._fail(
                ErrorKind.BAD_RESPONSE,
                f"returned {response.status_code}{_execution(response)}, but {response.unreadable}",
                flow_hints.RESPONSE_UNREADABLE,
                response=response,
            )
        # An execution id proves that the flow ran, so even a 401, 429 or 504 is its own response, and final.
        ran = response.execution_id is not None
        if 300 <= event.status < 400:
            self._fail(
                ErrorKind.BAD_RESPONSE,
                f"returned {event.status}, a redirect",
                flow_hints.RESPONSE_REDIRECTED,
                response=response,
            )
        if not ran and (doubt := _doubt(response, page=page)):
            yield from self._after_loss(TransportFailure(FailureKind.OUTCOME_UNKNOWN, doubt))
        elif event.status == 401 and not ran and not self._renewed:
            self._renewed = True
            yield from self._not_run()
            yield Log(f"{self._call.in_logs}, refused before running: 401; once more with a new token")
            request = yield from self._auth.authorize(request, rejected=True)
        elif event.status == 429 and not ran:
            yield from self._after_rate_limit(event, response)
        elif event.status in _BEFORE_RUNNING and not ran:
            self._fail(
                ErrorKind.REFUSED,
                f"was refused with {event.status} and did not run",
                self._refusal_hint(event, response, page=page),
                response=response,
            )
        else:
            hint = flow_hints.FLOW_FAILED if ran else self._refusal_hint(event, response, page=page)
            but = f", but {response.unreadable}" if response.unreadable else ""
            self._fail(ErrorKind.FAILED, f"returned {event.status}{_execution(response)}{but}", hint, response=response)
        return request

    def _refusal_hint(self, event: HttpResponse, response: FlowResponse, *, page: bool) -> str:
        if page and event.status in _BEFORE_RUNNING:
            return flow_hints.FOREIGN_REFUSAL
        otherwise = flow_hints.FOREIGN_REFUSAL if page else flow_hints.FLOW_FAILED
        skew = clock_offset(event.headers, self._runtime.clock())
        return flow_hints.flow_hint(event.status, response.body, skew, otherwise)

    def _after_loss(self, failure: TransportFailure) -> Conversation[None]:
        if failure.kind is FailureKind.UNTRUSTED:
            self._fail(ErrorKind.NOT_SENT, f"was not invoked: {failure.detail}", http_hints.transport_hint(failure))
        if failure.kind is FailureKind.OUTCOME_UNKNOWN:
            self._may_have_run = True
            if not self._call.idempotent:
                self._fail(
                    ErrorKind.OUTCOME_UNKNOWN,
                    f"was invoked, and its outcome is unknown: {failure.detail}",
                    flow_hints.OUTCOME_UNKNOWN,
                )
        self._failures += 1
        if self._failures >= ATTEMPTS:
            if self._may_have_run:
                self._fail(
                    ErrorKind.NO_RESPONSE,
                    f"was invoked, and its outcome is unknown after {ATTEMPTS} attempts: {failure.detail}",
                    flow_hints.NO_RESPONSE,
                )
            self._fail(
                ErrorKind.NOT_SENT,
                f"could not be invoked in {ATTEMPTS} attempts: {failure.detail}",
                http_hints.transport_hint(failure),
            )
        seconds = backoff(self._failures, self._runtime.random)
        yield from self._not_run()
        yield Wait(
            seconds,
            f"{self._call.in_logs}, {failure.kind.value}: {failure.detail}."
            f" Attempt {self._failures} of {ATTEMPTS}; next in {seconds:.1f} s",
        )

    def _after_rate_limit(self, event: HttpResponse, response: FlowResponse) -> Conversation[None]:
        asked = retry_after_seconds(event.headers, self._runtime.clock())
        self._budget = self._budget or RetryBudget(self._call.rate_limit_wait, self._runtime.random)
        seconds = self._budget.spend(asked)
        # Also if this invocation fails: the others have to know.
        yield Throttle(seconds or asked or _LIMITED_FOR)
        if seconds is None:
            self._fail(
                ErrorKind.RATE_LIMITED,
                f"returned 429 for longer than rate_limit_wait ({self._call.rate_limit_wait:.0f} s) and did not run",
                flow_hints.FLOW_RATE_LIMITED,
                response=response,
                retry_after=asked,
            )
        yield from self._not_run()
        yield Wait(
            seconds,
            f"{self._call.in_logs}, refused before running: 429, too many requests. Next in {seconds:.1f} s",
            rate_limited=True,
        )

    def _not_run(self) -> Conversation[None]:
        """Replace the checkpoint ``SENDING`` while this waits, unless an earlier attempt may have run."""
        if not self._may_have_run:
            yield Checkpoint(InvocationState.NOT_RUN)

    def _fail(self, kind: ErrorKind, what: str, hint: str, **data: Any) -> NoReturn:
        if self._may_have_run and kind in (ErrorKind.NOT_SENT, ErrorKind.REFUSED, ErrorKind.RATE_LIMITED):
            # A later attempt tells nothing about the earlier one, whose outcome remains unknown.
            kind, hint = ErrorKind.NO_RESPONSE, flow_hints.NO_RESPONSE
            what = f"was invoked, and its outcome is unknown; a later attempt {what}"
            data.pop("retry_after", None)
        address = self._call.address
        said = error_message(data["response"].body) if "response" in data else ""
        details = [f"The flow says: {said!r}"] if said else []
        details += [f"Host: {address.origin.netloc}", f"Idempotency key: {self._call.idempotency_key}"]
        raise CoreError(
            kind,
            f"Flow {address.name!r} {what}.",
            hint,
            detail="\n".join(details),
            flow=address.name,
            idempotency_key=self._call.idempotency_key,
            **data,
        )


def _doubt(response: FlowResponse, *, page: bool) -> str:
    """Return why a response without an execution id says nothing about the flow; empty if it says something."""
    status = response.status_code
    if page and (status in _GATEWAY or not 400 <= status < 500):
        return f"a proxy or a login returned {status} and an HTML page"
    if status in _GATEWAY:
        return f"a gateway returned {status} instead of the flow"
    # The part that cannot be read may name the execution.
    if response.unreadable and (status >= 500 or status in (*_BEFORE_RUNNING, 429)):
        return f"it returned {status}, but {response.unreadable}"
    return ""


def _execution(response: FlowResponse) -> str:
    return f" (execution {response.execution_id})" if response.execution_id else ""


def _check_key(idempotency_key: str) -> str:
    # Leading and trailing spaces would not arrive: they are not part of a header value (RFC 9110, section 5.5).
    good = isinstance(idempotency_key, str) and idempotency_key.isascii() and idempotency_key.isprintable()
    if not good or not 0 < len(idempotency_key) <= 255 or idempotency_key != idempotency_key.strip():
        raise configuration_error(
            "The idempotency key is not 1 to 255 printable ASCII characters without spaces at the ends.",
            "OKW-1407: Use a UUID, or ids joined with dashes.",
        )
    return idempotency_key
