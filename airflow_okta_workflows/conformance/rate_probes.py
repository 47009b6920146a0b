"""The probe of a flow's rate limit: how many invocations per second it accepts, and how they are counted.

Theory of operation: two bursts follow each other by half a second. If the last second counts, nothing of the second
burst is accepted; if a bucket refills, about half of it; if each second of the clock counts by itself, all of it, but
only if a new second has begun in between. So the pair is sent three times, each a third of a second later in the
second: at least one of the three pairs then has such a beginning between its bursts, and at least one has none.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, TypeGuard

from airflow_okta_workflows.conformance.flow_probes import flow_request
from airflow_okta_workflows.conformance.session import ProbeFailedError, is_success, responded
from airflow_okta_workflows.core.http.types import HttpResponse
from airflow_okta_workflows.core.oauth.flow_auth import authorized

if TYPE_CHECKING:
    from airflow_okta_workflows.conformance.session import Session
    from airflow_okta_workflows.core.addresses import FlowAddress
    from airflow_okta_workflows.core.http.types import TransportFailure

RULES_OF_RATE = ("L3", "L4", "L5", "L6")
_FIRST, _SECOND = 12, 10
"""Invocations of the two bursts."""
_BETWEEN = 0.5
_PAIRS = 3
_NEXT_PAIR = 3 + 1 / 3
"""Seconds from one pair to the next: enough for a limit per second to recover, and a third more than whole seconds."""


def probe_rate(session: Session, echo: FlowAddress) -> None:
    """Compare the rate limit of a flow.

    :param session: the run, which has a token
    :param echo: the flow ``echo``
    """
    session.say("L3 to L6: three pairs of bursts.")
    pairs: list[tuple[int, int]] = []
    events: list[HttpResponse | TransportFailure] = []
    with ThreadPoolExecutor(_FIRST, "okta-burst") as threads:
        # The invocations before this count, too.
        begin = session.runtime.monotonic() + 2.0
        for number in range(_PAIRS):
            _wait_until(session, begin + number * _NEXT_PAIR)
            first = _burst(session, echo, _FIRST, threads)
            _wait_until(session, begin + number * _NEXT_PAIR + _BETWEEN)
            second = _burst(session, echo, _SECOND, threads)
            pairs.append((_accepted(first), _accepted(second)))
            events += [*first, *second]
    _judge(session, pairs, events)


def skip_rate(session: Session, why: str, *, failed: bool) -> None:
    """Record that the rate limit was not tried.

    :param session: the run
    :param why: the reason, as a phrase
    :param failed: whether that is a failure
    """
    session.findings.skip(*RULES_OF_RATE, why=why, failed=failed)


def _wait_until(session: Session, moment: float) -> None:
    session.runtime.wait(max(0.0, moment - session.runtime.monotonic()))


def _burst(
    session: Session, echo: FlowAddress, size: int, threads: ThreadPoolExecutor
) -> list[HttpResponse | TransportFailure]:
    requests = [authorized(flow_request(session, echo, {}), session.token or "") for _ in range(size)]
    return list(threads.map(lambda request: session.send(request, session.rate_invocations), requests))


def _accepted(events: list[HttpResponse | TransportFailure]) -> int:
    return sum(isinstance(event, HttpResponse) and is_success(event) for event in events)


def _is_refusal(event: HttpResponse | TransportFailure) -> TypeGuard[HttpResponse]:
    return isinstance(event, HttpResponse) and event.status == 429


def _judge(session: Session, pairs: list[tuple[int, int]], events: list[HttpResponse | TransportFailure]) -> None:
    findings = session.findings
    limit = int(median(first for first, _ in pairs))
    if not limit:
        skip_rate(session, "none of the invocations was accepted", failed=True)
        return
    refusals = list(filter(_is_refusal, events))
    if refusals:
        findings.saw("L4", session.describe(refusals[0]))
        findings.saw("L5", {"headers": session.rate_header_names(refusals[0].headers)})
        session.note_headers("rule L4", refusals[0].headers)
    if why := next(filter(None, map(_failure, events)), ""):
        # Neither accepted nor refused by the limit: the numbers of accepted ones say nothing then.
        skip_rate(session, f"an invocation in a burst failed: {why}", failed=True)
    elif not refusals:
        findings.saw("L3", {"accepted_at_once": None})
        findings.skip("L4", "L5", "L6", why="no invocation was refused")
    elif limit == _FIRST:
        findings.skip("L3", "L6", why=f"at least {_FIRST} invocations at once are accepted")
    else:
        findings.saw("L3", {"accepted_at_once": limit})
        findings.saw("L6", {"window": window_of(limit, [second for _, second in pairs])})


def _failure(event: HttpResponse | TransportFailure) -> str:
    """Return why an invocation was neither accepted nor refused by the limit; empty if it was."""
    if _is_refusal(event):
        return ""
    try:
        response = responded(event)
    except ProbeFailedError as failure:
        return str(failure)
    return "" if is_success(response) else f"returned {response.status}"


def window_of(limit: int, accepted: list[int]) -> str:
    """Return how invocations are counted: one of :data:`~airflow_okta_workflows.emulator.rules.WINDOWS`.

    :param limit: how many of each first burst were accepted
    :param accepted: how many of each second burst were accepted
    """
    full = min(limit, _SECOND)
    if max(accepted) <= 0.2 * full:
        return "sliding"
    if max(accepted) >= 0.8 * full and min(accepted) <= 0.2 * full:
        return "second"
    if all(0.3 * full <= number <= 0.7 * full for number in accepted):
        return "bucket"
    return "other"
