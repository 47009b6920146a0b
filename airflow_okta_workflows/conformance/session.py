"""The requests of a run, each counted, and what is made of the responses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.conformance.budget import INVOCATIONS, RATE_INVOCATIONS, TOKEN_REQUESTS, Budget
from airflow_okta_workflows.conformance.findings import Findings
from airflow_okta_workflows.conformance.normalized import Normalizer
from airflow_okta_workflows.core.flows.response import parse_response
from airflow_okta_workflows.core.http.dates import http_date
from airflow_okta_workflows.core.http.json_values import parse_json_value
from airflow_okta_workflows.core.http.types import FailureKind, HttpResponse, TransportFailure
from airflow_okta_workflows.emulator.profile import HTML, MEDIA_TYPE
from airflow_okta_workflows.emulator.rules import ACCEPTED, RULES
from airflow_okta_workflows.transport.network import proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.addresses import Origin
    from airflow_okta_workflows.core.http.proxies import Proxy
    from airflow_okta_workflows.core.http.types import Headers, HttpRequest
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.emulator.profile import OrgRules
    from airflow_okta_workflows.emulator.rules import Observation
    from airflow_okta_workflows.transport.h11_transport import H11Transport

_SHORTEST_SECRET = 8
_SHORTEST_NAME = 2
"""Characters of a name within a host, such as the org's subdomain."""
_RATE = re.compile(r"rate-?limit|retry-after", re.IGNORECASE)
_ORDINARY = frozenset(
    [
        *("login", "auth", "identity", "account", "accounts", "okta", "oktapreview", "workflows", "localhost"),
        # The placeholders.
        *("alias", "email", "error", "host", "ip", "kid", "number", "org", "proxy", "time", "url"),
        *re.findall(r"[a-z]+", json.dumps([rule.expected for rule in RULES.values()]).lower()),
    ]
)
"""Words that may be part of a host name and do not reveal its owner."""
_TELLING = re.compile(r"exec|flo|instance|request-?id|trace|correlation|rate-?limit|retry|okta", re.IGNORECASE)
"""Names of headers that are worth a look; others may name products and companies."""


class ProbeFailedError(Exception):
    """The failure of a probe: the response says nothing about the rule. The message is a phrase."""


class Session:
    """One run: its connection, its counted requests and its findings.

    :param settings: the connection
    :param transport: sends the requests
    :param runtime: clocks and sleep
    :param rules: the observations that the run is compared with
    :param say: shows the progress
    """

    def __init__(
        self,
        settings: OktaWorkflowsSettings,
        transport: H11Transport,
        runtime: Runtime,
        rules: OrgRules,
        say: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.transport = transport
        self.runtime = runtime
        self.say = say
        self.normalizer = _normalizer(settings)
        self.findings = Findings(rules, self.normalizer)
        self.token_requests = Budget(TOKEN_REQUESTS)
        self.invocations = Budget(INVOCATIONS)
        self.rate_invocations = Budget(RATE_INVOCATIONS)
        self.token: str | None = None
        """The access token, once there is one."""
        self.clock_offset = 0.0
        """Seconds by which the local clock is ahead of the org's."""

    def send(self, request: HttpRequest, budget: Budget) -> HttpResponse | TransportFailure:
        """Send a request that a budget covers.

        :param request: the request
        :param budget: the budget
        :raises BudgetExceededError: if it does not cover one more; nothing is sent then
        """
        budget.take()
        return self.transport.send(request)

    def observe(self, rule: str, event: HttpResponse | TransportFailure) -> Observation:
        """Return what came of a request as an observation.

        :param rule: the number of the rule that it shows
        :param event: the response or failure
        :raises ProbeFailedError: if there was no response, or one that says nothing about a rule
        """
        response = responded(event)
        accepted = is_success(response) and RULES[rule].may_be_accepted
        return ACCEPTED if accepted else self.describe(response)

    def describe(self, response: HttpResponse) -> Observation:
        """Return a response as an observation.

        :param response: the response
        """
        observation: Observation = {"status": response.status, "type": self.media_type(response.headers)}
        text = response.body.decode("utf-8", "replace").strip()
        if not text:
            return observation
        if is_page(response):
            return {**observation, "text": HTML}
        if text.startswith(("{", "[")) or str(observation["type"]).endswith("json"):
            try:
                return {**observation, "body": self.normalizer.value(parse_json_value(text))}
            except ValueError:
                pass
        return {**observation, "text": self.normalizer.text(text)}

    def media_type(self, headers: Headers) -> str | None:
        """Return the media type of a response, without parameters; None if it names none.

        :param headers: its headers
        """
        text = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not MEDIA_TYPE.fullmatch(text):
            return None
        return text if self.normalizer.text(text) == text else "application/other"

    def rate_header_names(self, headers: Headers) -> list[str]:
        """Return the names of the headers of a response that are about a rate limit, in lower case.

        :param headers: its headers
        """
        return sorted({self.normalizer.text(name.lower()) for name in headers if _RATE.search(name)})

    def note_headers(self, kind: str, headers: Headers) -> None:
        """Keep the names of headers that may show more than the rules ask for.

        :param kind: the kind of response
        :param headers: its headers
        """
        names = sorted({self.normalizer.text(name.lower()) for name in headers if _TELLING.search(name)})
        self.findings.headers[kind] = names

    def execution_header(self, response: HttpResponse) -> tuple[str | None, str]:
        """Return the name of the header that holds an execution id, and the id; None and nothing without one.

        :param response: the response
        """
        found = parse_response(response, ()).execution_id
        for name, value in response.headers.items():
            if found and value.partition(",")[0].strip() == found:
                self.normalizer.hide([found])
                return name.lower(), found
        return None, ""


def responded(event: HttpResponse | TransportFailure) -> HttpResponse:
    """Return the response of a request.

    :param event: the response or failure
    :raises ProbeFailedError: if there was none, its body is unreadable, or it is that of a rate limit or a login page
    """
    if isinstance(event, TransportFailure):
        raise ProbeFailedError(f"no response: {event.detail}")
    if event.unreadable:
        raise ProbeFailedError(f"returned {event.status}, but {event.unreadable}")
    if event.status == 429:
        raise ProbeFailedError("returned 429, a rate limit")
    if is_success(event) and is_page(event):
        # Neither a token nor the response of a flow of these; a proxy sends one instead of them.
        raise ProbeFailedError(f"returned {event.status} with an HTML page, such as that of a login")
    return event


def is_success(response: HttpResponse) -> bool:
    """Return whether a response has a status of success.

    :param response: the response
    """
    return 200 <= response.status < 300


def is_page(response: HttpResponse) -> bool:
    """Return whether the body of a response is an HTML page.

    :param response: the response
    """
    return response.body.lstrip().startswith(b"<")


def lost(event: HttpResponse | TransportFailure) -> Observation | None:
    """Return the observation of a connection that ended after the request was sent; None for a response.

    :param event: the response or failure
    """
    if isinstance(event, TransportFailure) and event.kind is FailureKind.OUTCOME_UNKNOWN:
        return {"lost": event.detail}
    return None


def has_date(headers: Headers) -> bool:
    """Return whether a response has a ``Date``.

    :param headers: its headers
    """
    return http_date(headers.get("Date", "")) is not None


def text_member(response: HttpResponse, name: str) -> Any:
    """Return a member of a response's JSON object; None if there is none.

    :param response: the response
    :param name: the member's name
    """
    body = parse_response(response, ()).body
    return body.get(name) if isinstance(body, dict) else None


def _normalizer(settings: OktaWorkflowsSettings) -> Normalizer:
    normalizer = Normalizer()
    # A shorter one, such as a passphrase, would take ordinary words out of messages; no response holds it.
    normalizer.hide(form for form in settings.secret_forms() if len(form) >= _SHORTEST_SECRET)
    names = [(flow.alias, "<alias>") for flow in settings.flows.values()]
    names += [(settings.client_id, "<client>"), (settings.key_id or settings.key_text.kid or "", "<kid>")]
    for name, placeholder in names:
        if name.lower() not in _ORDINARY:
            normalizer.learn(name, placeholder)
    for origin, placeholder in _origins(settings):
        # The last label, such as com, is that of many.
        for label in origin.host.split(".")[:-1]:
            if not label.isdigit() and label not in _ORDINARY:
                normalizer.learn(label, "<org>", shortest=_SHORTEST_NAME)
        normalizer.learn(origin.url, placeholder)
        normalizer.learn(origin.netloc, placeholder)
        if origin.host not in _ORDINARY:
            normalizer.learn(origin.host, placeholder, shortest=_SHORTEST_NAME)
    return normalizer


def _origins(settings: OktaWorkflowsSettings) -> Iterator[tuple[Origin | Proxy, str]]:
    """Yield the origins of a connection and their placeholders; the last one counts if one has several roles."""
    for origin in (*settings.allowed, settings.workflows, settings.domain):
        if proxy := proxy_for(origin.url, settings):
            yield proxy, "<proxy>"
    for origin in settings.allowed:
        yield origin, "<workflows>"
    yield settings.workflows, "<workflows>"
    yield settings.domain, "<domain>"
