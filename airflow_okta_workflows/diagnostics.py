"""A connection looked at step by step, from its fields to a token, as far as that goes without invoking a flow.

``okta-workflows check`` shows each step; the Test button of the connection form shows a summary of them.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from airflow_okta_workflows.client.sync_client import FlowClient
from airflow_okta_workflows.connection import http_guard
from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.http import hints as http_hints
from airflow_okta_workflows.core.http.types import FailureKind, HttpRequest, HttpResponse, TransportFailure
from airflow_okta_workflows.core.oauth import hints as oauth_hints
from airflow_okta_workflows.core.oauth.clock_skew import clock_offset, require_clock
from airflow_okta_workflows.core.oauth.server_metadata import metadata_request, parse_issuer, require_issuer
from airflow_okta_workflows.core.secret import may_hold_key
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.tokens.source import TokenSource
from airflow_okta_workflows.transport.h11_transport import H11Transport
from airflow_okta_workflows.transport.network import ca_bundle, proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.addresses import Origin
    from airflow_okta_workflows.core.keys.signing import SigningKey
    from airflow_okta_workflows.core.runtime import Runtime


class CheckResult(Enum):
    """How a step of a check went."""

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    """It works, and something in it should be changed all the same."""
    SKIPPED = "skipped"
    """It could not be done, or there was nothing to do; the step says why."""


@dataclass(frozen=True)
class CheckStep:
    """One step of a check.

    :param name: what was looked at: one word
    :param result: how it went
    :param detail: what was found: a phrase or sentences, without secrets
    :param fix: what to change; empty unless it failed, or is a warning
    """

    name: str
    result: CheckResult
    detail: str
    fix: str = ""


_NO_ANSWER = "the domain gave no answer"
_LONGEST_SUMMARY = 2000
"""Characters that Airflow's form takes."""
_PATIENCE = 5.0
"""Seconds for each step: somebody is looking on, and the API server waits without a time-out of its own."""

AFTER_FIELDS = ("key", "domain", "metadata", "clock", "token", "flows")
"""The steps that need a connection whose fields are right."""


def check_connection(
    read: Callable[[], OktaWorkflowsSettings], runtime: Runtime, flows: Sequence[str] = ()
) -> Generator[CheckStep, None, None]:
    """Look at a connection step by step, and yield each step when it is done.

    :param read: gives the checked connection
    :param runtime: clock, sleep and chance
    :param flows: flows to look for besides those that the connection names: names, aliases or invoke URLs
    """
    try:
        settings = with_short_waits(read())
    except OktaConfigurationError as error:
        problems = error.problems or (str(error),)
        what = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        yield CheckStep("fields", CheckResult.FAILED, f"The connection has {what}.", " ".join(_numbered(problems)))
        yield from skipped(AFTER_FIELDS, "the fields have to be right first")
        return
    told = f"{settings.client_id} at {settings.domain.netloc}, flows at {settings.workflows.netloc}"
    if settings.gives_secrets_away:
        yield CheckStep("fields", CheckResult.WARNING, f"{told}. {http_guard.WARNING}", http_guard.FIX)
    else:
        yield CheckStep("fields", CheckResult.PASSED, told)
    with closing(H11Transport(settings)) as transport:
        yield from _check(settings, transport, runtime, flows)


def summary(steps: Iterable[CheckStep]) -> tuple[bool, str]:
    """Return whether a connection gets a token that its flows take, and what the steps found, for the form.

    :param steps: the steps of :func:`check_connection`; those behind the token are not taken
    :return: a string of at most 2,000 characters, without secrets
    """
    told: list[str] = []
    good = True
    for step in steps:
        if step.result is CheckResult.FAILED and step.name != "domain":
            good = False
        if step.name in ("fields", "token") or step.result in (CheckResult.FAILED, CheckResult.WARNING):
            told += [f"{step.name}: {step.detail.rstrip('.')}.", step.fix]
        if step.name == "token":
            good = good and step.result is CheckResult.PASSED
            break
    text = " ".join(filter(None, [*told, "No flow was invoked."]))
    return good, text if len(text) <= _LONGEST_SUMMARY else text[: _LONGEST_SUMMARY - 1] + "…"


def skipped(names: Sequence[str], why: str) -> Iterator[CheckStep]:
    """Yield steps that cannot be done.

    :param names: their names
    :param why: why not
    """
    for name in names:
        yield CheckStep(name, CheckResult.SKIPPED, why)


def _numbered(problems: Sequence[str]) -> Sequence[str]:
    return problems if len(problems) == 1 else [f"({number}) {error}" for number, error in enumerate(problems, 1)]


def _check(
    settings: OktaWorkflowsSettings, transport: H11Transport, runtime: Runtime, flows: Sequence[str]
) -> Iterator[CheckStep]:
    key = _step("key", lambda: _key(settings))
    yield key
    response = transport.send(metadata_request(settings.domain))
    offset = clock_offset(response.headers, runtime.clock()) if isinstance(response, HttpResponse) else None
    domain = _step("domain", lambda: _reachable(response, settings, settings.domain))
    yield domain
    # One that takes a request and gives no response may still give a token.
    unreachable = isinstance(response, TransportFailure) and response.kind is not FailureKind.OUTCOME_UNKNOWN
    if isinstance(response, TransportFailure):
        yield from skipped(["metadata"], _NO_ANSWER)
    else:
        yield _metadata(response, settings)
    if offset is None:
        yield from skipped(["clock"], _NO_ANSWER if unreachable else "the org's answer tells no time")
    else:
        yield _step("clock", lambda: _clock(offset, settings))
    if unreachable:
        yield from skipped(["token"], _NO_ANSWER)
    elif key.result is CheckResult.FAILED:
        yield from skipped(["token"], "the key cannot sign a request for one")
    else:
        yield _step("token", lambda: _token(settings, transport, runtime))
    named = [*settings.flows, *(flow for flow in flows if flow not in settings.flows)]
    if named:
        yield _step("flows", lambda: _flows(named, settings, transport))
    else:
        yield from skipped(["flows"], "the connection names none; DAGs can still use aliases and invoke URLs")


def _step(name: str, look: Callable[[], str]) -> CheckStep:
    try:
        return CheckStep(name, CheckResult.PASSED, look())
    except CoreError as error:
        return CheckStep(name, CheckResult.FAILED, error.message, error.hint)


def _key(settings: OktaWorkflowsSettings) -> str:
    key = settings.signing_key
    kid = f"kid {_kid(key, settings)}" if key.kid else "no kid: set key_id once the app has more than one key"
    return f"{key.description}, {key.algorithm}, {kid}; from {settings.key_text.source}"


def _kid(key: SigningKey, settings: OktaWorkflowsSettings) -> str:
    from airflow_okta_workflows.core.keys.generation import thumbprint

    kid = str(key.kid)
    # What somebody has put into key_id may be anything, such as a private key, which has the form of a kid.
    is_kid = kid == settings.key_text.kid or not may_hold_key(kid) or kid == thumbprint(key.key)
    return kid if is_kid else f"{kid[:8]}…"


def _reachable(answer: HttpResponse | TransportFailure, settings: OktaWorkflowsSettings, origin: Origin) -> str:
    if isinstance(answer, TransportFailure):
        raise configuration_error(f"{origin.url} gave no answer: {answer.detail}.", http_hints.transport_hint(answer))
    way = ", through a proxy" if proxy_for(origin.url, settings) else ""
    return f"{origin.url} answers{way}; {_protection(settings, origin)}"


def _protection(settings: OktaWorkflowsSettings, origin: Origin) -> str:
    if origin.scheme == "http":
        return "no TLS, on this machine" if origin.is_loopback else "NO TLS (insecure_http is set)"
    bundle = ca_bundle(settings)
    return f"its certificate is good by {bundle}" if bundle else "its certificate is NOT looked at (verify is false)"


def _metadata(response: HttpResponse, settings: OktaWorkflowsSettings) -> CheckStep:
    try:
        issuer = parse_issuer(response)
    except CoreError as error:
        return CheckStep("metadata", CheckResult.WARNING, error.message, error.hint)

    def compare() -> str:
        require_issuer(issuer, settings.domain)
        return f"the org calls itself {issuer.url}, as the connection does"

    return _step("metadata", compare)


def _clock(offset: float, settings: OktaWorkflowsSettings) -> str:
    require_clock(offset, settings.assertion_lifetime)
    return f"within {max(1, round(abs(offset)))} s of the org's"


def _token(settings: OktaWorkflowsSettings, transport: H11Transport, runtime: Runtime) -> str:
    # Not the shared source: a token that is there already would prove nothing.
    tokens = TokenSource(runtime.clock)
    token = FlowClient(settings, tokens, transport, runtime, token_attempts=1).access_token()
    granted = token.scope or settings.scope
    if missing := set(settings.scope.split()) - set(granted.split()):
        raise configuration_error(
            f"The org granted {granted} and not {' '.join(sorted(missing))}.", oauth_hints.SCOPE_NOT_GRANTED
        )
    return f"granted for {token.lifetime:.0f} s, scope {granted}"


def _flows(names: Sequence[str], settings: OktaWorkflowsSettings, transport: H11Transport) -> str:
    origins = {settings.find_flow(name).origin for name in names} - {settings.domain}
    for origin in sorted(origins, key=lambda one: one.url):
        # The root of the host: no flow is there, and no token goes along.
        _reachable(transport.send(HttpRequest("GET", origin.url + "/", {})), settings, origin)
    hosts = ", ".join(sorted({settings.find_flow(name).origin.netloc for name in names}))
    return f"{', '.join(names)} at {hosts}, which may have the token"


def with_short_waits(settings: OktaWorkflowsSettings) -> OktaWorkflowsSettings:
    """Return a connection's settings for somebody who is looking on.

    :param settings: the connection
    """
    return replace(
        settings,
        connect_timeout=min(settings.connect_timeout, _PATIENCE),
        read_timeout=min(settings.read_timeout, 2 * _PATIENCE),
        rate_limit_wait=min(settings.rate_limit_wait, _PATIENCE),
    )
