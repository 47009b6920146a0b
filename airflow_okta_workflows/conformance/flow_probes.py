"""Probes of flows and of their host."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.conformance.recipes import (
    CLIENT_TOKEN,
    CLOSED_SECONDS,
    ERROR_MESSAGE,
    ERROR_STATUS,
    PREFIX,
    SLOW_SECONDS,
)
from airflow_okta_workflows.conformance.session import (
    ProbeFailedError,
    has_date,
    is_success,
    lost,
    responded,
    text_member,
)
from airflow_okta_workflows.core.flows.invocation import Invocation
from airflow_okta_workflows.core.flows.response import UUID
from airflow_okta_workflows.core.http.types import HttpResponse
from airflow_okta_workflows.core.oauth.flow_auth import authorized
from airflow_okta_workflows.emulator.rules import ACCEPTED, AS_GIVEN, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_okta_workflows.conformance.session import Session
    from airflow_okta_workflows.core.addresses import FlowAddress
    from airflow_okta_workflows.core.http.types import HttpRequest, TransportFailure

_TIMEOUT = 90.0
"""Seconds that a response may take: more than the slow flow, so that the org ends it."""
_SHORTEST_LIMIT = 20
"""Seconds before which no org ends a run: a flow that ends earlier is off or fails, or the network does."""
_NOT_RUN = (401, 403, 404, 405)
"""Statuses of a request that no flow has seen."""
_WORD = "conformance"
_RULES_OF = {
    "echo": ("F1", "F2", "F3", "F4", "F5", "R1", "E1", "E5", "L7", "C2", "C4"),
    "off": ("F8",),
    CLIENT_TOKEN: ("F9",),
    "failing": ("R3", "R4", "E2", "E3"),
    "branch": ("R5",),
    "close": ("R2", "R6", "E4"),
    "slow": ("L1", "L2"),
}
"""The rules that each flow shows."""


def flow_request(
    session: Session,
    address: FlowAddress,
    payload: Any = None,
    *,
    method: str = "POST",
    query: Mapping[str, str] | None = None,
) -> HttpRequest:
    """Return the request of an invocation, without its authorization.

    :param session: the run
    :param address: the flow
    :param payload: the payload
    :param method: ``GET`` or ``POST``
    :param query: the query
    """
    invocation = Invocation.build(
        address,
        payload,
        idempotency_key=session.runtime.new_id(),
        rate_limit_wait=0,
        method=method,
        query=query,
        timeout=_TIMEOUT,
    )
    return invocation.http_request


def probe_flows(session: Session, flows: Mapping[str, FlowAddress]) -> None:
    """Compare the flows that there are.

    :param session: the run, which has a token
    :param flows: the flows by name
    """
    _FlowProbes(session, flows).run()


def skip_flows(session: Session, why: str, *, failed: bool) -> None:
    """Record that no flow was tried.

    :param session: the run
    :param why: the reason, as a phrase
    :param failed: whether that is a failure
    """
    for rules in (*_RULES_OF.values(), ("F7",)):
        session.findings.skip(*rules, why=why, failed=failed)


class _FlowProbes:
    def __init__(self, session: Session, flows: Mapping[str, FlowAddress]) -> None:
        self._session = session
        self._findings = session.findings
        self._flows = flows
        self._names_executions = False

    def run(self) -> None:
        probes = {
            "echo": self._probe_echo,
            "off": self._probe_refused("F8"),
            CLIENT_TOKEN: self._probe_refused("F9"),
            "failing": self._probe_failing,
            "branch": self._probe_branch,
            "close": self._probe_close,
            "slow": self._probe_slow,
        }
        self._probe_unknown_alias()
        for name, probe in probes.items():
            if name not in self._flows:
                option = f"--flow {name}=<alias>"
                known = f"{PREFIX}{name} is not in the connection's flows, and there is no {option}"
                self._findings.skip(*_RULES_OF[name], why=known)
                continue
            probe(self._flows[name])

    def _probe_unknown_alias(self) -> None:
        alias = self._session.runtime.new_id().replace("-", "")
        self._session.normalizer.learn(alias, "<alias>")
        self._probe_refused("F7")(self._session.settings.find_flow(alias))

    def _probe_refused(self, rule: str) -> Any:
        """Return a probe that sends a valid request, which is expected to be refused."""

        def probe(address: FlowAddress) -> None:
            with self._failing_softly(rule):
                self._findings.saw(rule, self._session.observe(rule, self._invoke(rule, address, {})))

        return probe

    def _probe_echo(self, address: FlowAddress) -> None:
        session, findings = self._session, self._findings
        # A flow that does not run shows none of them.
        with self._failing_softly(*_RULES_OF["echo"]):
            response = self._ran(self._invoke("F1", address, {"message": _WORD}))
            findings.saw("F1", {"members": text_member(response, "message") == _WORD})
            findings.saw("R1", {"status": response.status, "type": session.media_type(response.headers)})
            findings.saw("L7", {"headers": session.rate_header_names(response.headers)})
            findings.saw("C2", {"date": has_date(response.headers)})
            self._saw_execution(response)
            session.note_headers("a flow that ran", response.headers)
        if not findings.seen("F1"):
            return
        before = session.transport.connections_opened
        with self._failing_softly("F2"):
            event = self._send("F2", flow_request(session, address, method="GET", query={"parameter": _WORD}))
            findings.saw("C4", {"kept": session.transport.connections_opened == before})
            seen = session.observe("F2", event)
            if seen == ACCEPTED and text_member(responded(event), "parameter") != _WORD:
                seen = session.describe(responded(event))
            findings.saw("F2", seen)
        with self._failing_softly("F3"):
            request = replace(flow_request(session, address), method="PUT")
            findings.saw("F3", session.observe("F3", self._send("F3", request)))
        with self._failing_softly("F4", "E5"):
            event = self._send("F4", flow_request(session, address), token=None)
            seen = session.observe("F4", event)
            findings.saw("F4", seen)
            session.note_headers("a refused request", responded(event).headers)
            if seen == ACCEPTED:
                findings.skip("E5", why="a request without a token was not refused")
            else:
                findings.saw("E5", {"execution_id": session.execution_header(responded(event))[0] is not None})
        with self._failing_softly("F5"):
            event = self._send("F5", flow_request(session, address), token="no-token")  # noqa: S106  # it is none
            findings.saw("F5", session.observe("F5", event))

    def _saw_execution(self, response: HttpResponse) -> None:
        name, value = self._session.execution_header(response)
        self._names_executions = name is not None
        form = "uuid" if name is None or UUID.fullmatch(value) else "other"
        seen = name and self._session.normalizer.text(name)
        self._findings.saw("E1", {"header": seen, "form": form})

    def _probe_failing(self, address: FlowAddress) -> None:
        session = self._session
        session.normalizer.learn(ERROR_MESSAGE, "<message>")
        for rule, of_execution, text in (("R3", "E2", "{}"), ("R4", "E3", "{")):
            with self._failing_softly(rule, of_execution):
                response = responded(self._invoke(rule, address, {"json": text}))
                seen = session.observe(rule, response)
                if response.status in _NOT_RUN or seen in self._findings.seen("F7", "F8"):
                    raise ProbeFailedError(f"returned {response.status}: the flow did not run")
                if rule == "R3" and seen.get("status") == ERROR_STATUS:
                    seen = {**seen, "status": AS_GIVEN}
                self._findings.saw(rule, seen)
                self._saw_whether_named(of_execution, response)
                session.note_headers(f"rule {rule}", response.headers)

    def _probe_branch(self, address: FlowAddress) -> None:
        with self._failing_softly("R5"):
            where = text_member(self._ran(self._invoke("R5", address, {"inside": True})), "where")
            if where not in ("inside", "behind"):
                raise ProbeFailedError("the flow returned neither of the two")
            self._findings.saw("R5", {"returned": where})

    def _probe_close(self, address: FlowAddress) -> None:
        began = self._session.runtime.monotonic()
        with self._failing_softly("R2", "R6", "E4"):
            response = self._ran(self._invoke("R2", address, {}))
            took = self._session.runtime.monotonic() - began
            self._findings.saw("R2", {"status": response.status, "type": self._session.media_type(response.headers)})
            self._findings.saw("R6", {"early": took < CLOSED_SECONDS / 2})
            self._saw_whether_named("E4", response)

    def _probe_slow(self, address: FlowAddress) -> None:
        self._session.say(f"L1: {RULES['L1'].claim} This takes {SLOW_SECONDS} s at most.")
        began = self._session.runtime.monotonic()
        with self._failing_softly("L1", "L2"):
            event = self._invoke("L2", address, {})
            took = self._session.runtime.monotonic() - began
            seen = lost(event) or self._session.observe("L2", event)
            is_done = isinstance(event, HttpResponse) and is_success(event)
            if took < (SLOW_SECONDS - 5 if is_done else _SHORTEST_LIMIT):
                how = seen.get("lost") or f"it returned {seen['status']}"
                raise ProbeFailedError(f"the flow ended after {took:.0f} s: {how}")
            if is_done:
                self._findings.saw("L1", {"seconds": None})
                self._findings.skip("L2", why=f"there was no limit within {SLOW_SECONDS} s")
                return
            self._findings.saw("L1", {"seconds": 5 * round(took / 5)})
            if "status" in seen:
                named = self._session.execution_header(responded(event))[0] is not None
                seen = {**seen, "execution_id": named}
            self._findings.saw("L2", seen)

    def _saw_whether_named(self, rule: str, response: HttpResponse) -> None:
        """Record whether a response names its execution, if that of the flow ``echo`` does."""
        if "echo" in self._flows and not self._names_executions:
            self._findings.skip(rule, why="no header of the flow echo names an execution")
            return
        self._findings.saw(rule, {"execution_id": self._session.execution_header(response)[0] is not None})

    def _ran(self, event: HttpResponse | TransportFailure) -> HttpResponse:
        """Return the response of a flow that ran and succeeded.

        :raises ProbeFailedError: if it did not
        """
        response = responded(event)
        if not is_success(response):
            raise ProbeFailedError(f"the flow returned {response.status}")
        return response

    def _invoke(self, rule: str, address: FlowAddress, payload: Any) -> HttpResponse | TransportFailure:
        return self._send(rule, flow_request(self._session, address, payload))

    def _send(self, rule: str, request: HttpRequest, token: str | None = "") -> HttpResponse | TransportFailure:
        """Send a request with the run's token, with another one, or (None) with none."""
        if rule != "L2":
            self._session.say(f"{rule}: {RULES[rule].claim}")
        if token is not None:
            request = authorized(request, token or self._session.token or "")
        return self._session.send(request, self._session.invocations)

    @contextmanager
    def _failing_softly(self, *rules: str) -> Iterator[None]:
        """Record the failure of a probe, and go on."""
        try:
            yield
        except ProbeFailedError as failure:
            self._findings.skip(*rules, why=str(failure), failed=True)
