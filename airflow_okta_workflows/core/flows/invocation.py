"""The conversation with a flow: what each answer means, and when an invocation may be sent again.

This is the one place that decides it. A request that was *not sent* or was *refused before the flow ran* is sent
again; an *answer* is final; one that was *sent and has no answer* is sent again only if the flow is declared
idempotent, under the same idempotency key.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_okta_workflows.core import refusals
from airflow_okta_workflows.core.errors import Fault, FaultKind, misconfigured
from airflow_okta_workflows.core.flows.encoding import (
    check_headers,
    check_method,
    check_timeout,
    encode_payload,
    encode_query,
)
from airflow_okta_workflows.core.flows.response import FlowResponse, error_message, is_foreign_page, read_flow_response
from airflow_okta_workflows.core.protocol import (
    Conversation,
    GetToken,
    HttpAnswer,
    HttpRequest,
    Log,
    Lost,
    Note,
    Pace,
    Phase,
    Send,
    Stage,
    StopRequested,
    Wait,
)
from airflow_okta_workflows.core.retry.backoff import ATTEMPTS, WaitBudget, asked_wait, backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_okta_workflows.core.addresses import FlowAddress

# A gateway gave up waiting, or lost the flow's host: nothing that the flow says. 520 to 524 are Cloudflare's.
_GATEWAY = frozenset({408, 502, 503, 504, *range(520, 525)})
_BEFORE_RUNNING = (401, 403, 404)


@dataclass(frozen=True)
class FlowCall:
    """Hold one checked invocation.

    :param address: the flow
    :param invocation_key: its idempotency key
    :param idempotent: whether running the flow twice under this key does no harm
    :param method: ``GET`` or ``POST``
    :param url: the invoke URL, query included
    :param headers: the headers but for the token's
    :param body: the encoded payload, or None
    :param rate_limit_wait: seconds that may be spent waiting on 429
    :param read_timeout: seconds that the answer may take; the connection's default if None
    """

    address: FlowAddress
    invocation_key: str
    idempotent: bool
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    rate_limit_wait: float
    read_timeout: float | None

    @classmethod
    def of(
        cls,
        address: FlowAddress,
        payload: Any,
        *,
        method: str,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, Any] | None,
        invocation_key: str,
        idempotent: bool,
        rate_limit_wait: float,
        read_timeout: float | None,
    ) -> FlowCall:
        """Check and encode what a caller wants to send.

        :param payload: a JSON value, JSON text, or None; the other parameters are as above
        :raises Fault: of kind ``CONFIGURATION`` if it cannot be sent
        """
        method = check_method(method)
        own = check_headers(headers)
        body = encode_payload(payload, method)
        encoded_query = encode_query(query)
        # The caller's Accept or User-Agent stands; the names differ in case only, so compare them without it.
        named = {name.lower() for name in own}
        defaults = {"Accept": "application/json, */*;q=0.5", "Idempotency-Key": invocation_key}
        if body is not None:
            defaults["Content-Type"] = "application/json"
        return cls(
            address=address,
            invocation_key=_check_key(invocation_key),
            idempotent=idempotent,
            method=method,
            url=address.url + (f"?{encoded_query}" if encoded_query else ""),
            headers={**{n: v for n, v in defaults.items() if n.lower() not in named}, **own},
            body=body,
            rate_limit_wait=rate_limit_wait,
            read_timeout=check_timeout(read_timeout),
        )

    def with_payload(self, body: bytes, invocation_key: str) -> FlowCall:
        """Return the same invocation with another payload, under another key.

        :param body: the encoded payload
        :param invocation_key: its idempotency key
        """
        headers = {**self.headers, "Idempotency-Key": invocation_key}
        return replace(self, body=body, invocation_key=invocation_key, headers=headers)

    def http_request(self, token: str) -> HttpRequest:
        """Return the request, with the token in it."""
        return HttpRequest(
            method=self.method,
            url=self.url,
            headers={**self.headers, "Authorization": f"Bearer {token}"},
            body=self.body,
            read_timeout=self.read_timeout,
        )


def invoke_flow(
    call: FlowCall, *, clock: Callable[[], float], random: Callable[[], float]
) -> Conversation[FlowResponse]:
    """Invoke a flow once, sending again only where the flow cannot have run, or may run twice.

    :param call: what to send, and where
    :param clock: gives seconds since the epoch
    :param random: gives numbers from 0 to 1
    :raises Fault: of one of the kinds of a flow
    """
    return (yield from _Invocation(call, clock, random).run())


class _Invocation:
    def __init__(self, call: FlowCall, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._call = call
        self._clock = clock
        self._random = random
        self._budget = WaitBudget(call.rate_limit_wait, random)
        self._failures = 0
        self._may_have_run = False

    def run(self) -> Conversation[FlowResponse]:
        try:
            return (yield from self._talk())
        except StopRequested:
            self._fail(FaultKind.NOT_SENT, "was not invoked: the task was stopped", "")

    def _talk(self) -> Conversation[FlowResponse]:
        token = yield from _token(None)
        renewed = False
        while True:
            yield Pace()
            yield Note(Stage.SENDING)
            event = yield Send(self._call.http_request(token))
            if isinstance(event, Lost):
                yield from self._after_loss(event)
                continue
            if not isinstance(event, HttpAnswer):  # pragma: no cover  # a driver answers Send with one of the two
                raise TypeError(f"Send was answered with {type(event).__name__}")
            response = read_flow_response(event, (token,))
            # An execution id says that the flow ran: then even a 401, a 429 or a 504 is its own response, and final.
            ran = response.execution_id is not None
            page = is_foreign_page(response)
            if 200 <= event.status < 300 and not page:
                return self._readable(response)
            if 300 <= event.status < 400:
                self._fail(
                    FaultKind.BAD_ANSWER,
                    f"answered {event.status}, a redirect",
                    refusals.ANSWER_REDIRECTED,
                    response=response,
                )
            if (event.status in _GATEWAY and not ran) or (page and not 400 <= event.status < 500):
                yield from self._after_loss(Lost(Phase.FATE_UNKNOWN, _said_by_a_gateway(event.status, page=page)))
            elif event.status == 401 and not ran and not renewed:
                renewed = True
                yield from self._not_run()
                yield Log(f"flow {self._call.address.name!r}, refused before running: 401; once more with a new token")
                token = yield from _token(token)
            elif event.status == 429 and not ran:
                yield from self._after_rate_limit(event, response)
            elif event.status in _BEFORE_RUNNING and not ran:
                self._fail(
                    FaultKind.REFUSED,
                    f"refused the invocation with {event.status}{_said(response)}; the flow did not run",
                    refusals.FOREIGN_REFUSAL if page else refusals.flow_hint(event.status),
                    response=response,
                )
            else:
                hint = "" if ran else refusals.failure_hint(event.status)
                self._fail(FaultKind.FAILED, f"answered {event.status}{_said(response)}", hint, response=response)

    def _readable(self, response: FlowResponse) -> FlowResponse:
        if response.unreadable:
            ran = f" (it ran: execution {response.execution_id})" if response.execution_id else ""
            self._fail(
                FaultKind.BAD_ANSWER,
                f"answered {response.status_code}{ran}, but {response.unreadable}",
                refusals.ANSWER_UNREADABLE,
                response=response,
            )
        return response

    def _after_loss(self, lost: Lost) -> Conversation[None]:
        if lost.phase is Phase.UNTRUSTED:
            self._fail(FaultKind.NOT_SENT, f"was not invoked: {lost.detail}", refusals.lost_hint(lost))
        if lost.phase is Phase.FATE_UNKNOWN:
            self._may_have_run = True
            if not self._call.idempotent:
                self._fail(
                    FaultKind.OUTCOME_UNKNOWN,
                    f"was invoked, and its outcome is unknown: {lost.detail}",
                    refusals.OUTCOME_UNKNOWN,
                )
        self._failures += 1
        if self._failures >= ATTEMPTS:
            self._fail(
                FaultKind.NOT_SENT,
                f"could not be invoked in {ATTEMPTS} attempts: {lost.detail}",
                refusals.lost_hint(lost),
            )
        seconds = backoff(self._failures, self._random)
        yield from self._not_run()
        yield Wait(
            seconds,
            f"flow {self._call.address.name!r}, {lost.phase.value}: {lost.detail}."
            f" Attempt {self._failures} of {ATTEMPTS}; next in {seconds:.1f} s",
        )

    def _after_rate_limit(self, answer: HttpAnswer, response: FlowResponse) -> Conversation[None]:
        asked = asked_wait(answer.headers, self._clock())
        seconds = self._budget.take(asked)
        if seconds is None:
            self._fail(
                FaultKind.RATE_LIMITED,
                "answered 429, too many requests, for longer than the"
                f" {self._call.rate_limit_wait:.0f} s that may be waited; the flow did not run",
                refusals.FLOW_RATE_LIMITED,
                response=response,
                retry_after=asked,
            )
        yield from self._not_run()
        yield Wait(
            seconds,
            f"flow {self._call.address.name!r}, refused before running: 429, too many requests. Next in"
            f" {seconds:.1f} s",
            rate_limited=True,
        )

    def _not_run(self) -> Conversation[None]:
        """Take back the note of sending while this waits, unless an earlier attempt may have run."""
        if not self._may_have_run:
            yield Note(Stage.NOT_RUN)

    def _fail(self, kind: FaultKind, what: str, hint: str, **data: Any) -> NoReturn:
        if self._may_have_run and kind in (FaultKind.NOT_SENT, FaultKind.REFUSED, FaultKind.RATE_LIMITED):
            # What a later attempt met says nothing of the earlier one, whose fate stays unknown.
            kind, hint = FaultKind.NO_ANSWER, refusals.NO_ANSWER
            what = f"was invoked, and its outcome is unknown; a later attempt {what}"
            data.pop("retry_after", None)
        address = self._call.address
        raise Fault(
            kind,
            f"Flow {address.name!r} at {address.origin.netloc} {what} (invocation key {self._call.invocation_key}).",
            hint,
            flow=address.name,
            invocation_key=self._call.invocation_key,
            **data,
        )


def _token(refused: str | None) -> Conversation[str]:
    token = yield GetToken(refused)
    if not isinstance(token, str):  # pragma: no cover  # a driver answers GetToken with a token, or raises
        raise TypeError(f"GetToken was answered with {type(token).__name__}")
    return token


def _said_by_a_gateway(status: int, *, page: bool) -> str:
    if page:
        return f"{status} and an HTML page came, which no flow sent: a proxy, a gateway or a login page answered"
    return f"a gateway answered {status} instead of the flow"


def _said(response: FlowResponse) -> str:
    message = error_message(response.body)
    execution = f", execution {response.execution_id}" if response.execution_id else ""
    return f"{execution}: {message!r}" if message else execution


def _check_key(invocation_key: str) -> str:
    # Spaces at its ends would not arrive: they are no part of a header's value (RFC 9110, section 5.5).
    good = isinstance(invocation_key, str) and invocation_key.isascii() and invocation_key.isprintable()
    if not good or not 0 < len(invocation_key) <= 255 or invocation_key != invocation_key.strip():
        raise misconfigured(
            "The invocation key is not 1 to 255 printable ASCII characters without spaces at the ends.",
            "Use a UUID, or ids joined with dashes.",
        )
    return invocation_key
