"""A step-by-step check of a connection, from its fields to a token, without invoking a flow.

``okta-workflows check`` shows each step; the Test button of the connection form shows a summary of them.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from airflow_okta_workflows.client.sync_client import FlowClient
from airflow_okta_workflows.connection import http_guard
from airflow_okta_workflows.core.errors import CoreError, configuration_error, split_code
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
    """The result of one step of a check."""

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    """It works, but something should be changed."""
    SKIPPED = "skipped"
    """It could not be done, or there was nothing to check; the step's detail says why."""


@dataclass(frozen=True)
class CheckStep:
    """One step of a check.

    :param name: what was checked, in one word
    :param result: the result
    :param detail: what was found, as a phrase or sentences, without secrets
    :param fix: what to change; empty unless the result is a failure or a warning
    """

    name: str
    result: CheckResult
    detail: str
    fix: str = ""


_NO_RESPONSE = "the domain gave no response"
_LONGEST_SUMMARY = 2000
"""Characters that Airflow's form accepts."""
_PATIENCE = 5.0
"""Seconds to connect, or to wait for a rate limit; a response may take twice as long. The limits are short because a
user is watching, and because the API server sets no time-out."""

_SLOW_ROUNDS = 200_000
"""Rounds of key derivation that take about 0.1 s, once in each process that asks for a token."""
FASTER_KEY = (
    "OKW-1160: Convert the key once to a PEM with 2,048 rounds, and give that one: openssl pkcs8 -topk8 -in FILE -out"
    " key.pem (from PKCS#12: openssl pkcs12 -in FILE -nocerts -out key.pem). With a random passphrase it is as safe."
)

FIELD_WARNINGS = "OKW-1162: In the connection, {}."

AFTER_FIELDS = ("key", "domain", "metadata", "clock", "token", "flows")
"""The steps that need a connection whose fields are valid."""


def check_connection(
    read: Callable[[], OktaWorkflowsSettings], runtime: Runtime, flows: Sequence[str] = ()
) -> Generator[CheckStep, None, None]:
    """Check a connection step by step, and yield each step when it is done.

    :param read: returns the connection's settings
    :param runtime: clock, sleep and randomness
    :param flows: flows to check besides those that the connection names: names, aliases or invoke URLs
    """
    try:
        settings = with_short_waits(read())
    except OktaConfigurationError as error:
        problems = error.problems or (_with_code(f"{error.message} {error.hint}", error.code),)
        what = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        yield CheckStep("fields", CheckResult.FAILED, f"The connection has {what}.", _in_one_fix(problems))
        yield from skipped(AFTER_FIELDS, "the fields have to be right first")
        return
    told = f"{settings.client_id} at {settings.domain.netloc}, flows at {settings.workflows.netloc}"
    fixes = (
        [FIELD_WARNINGS.format("; ".join(warning.rstrip(".") for warning in settings.warnings))]
        if settings.warnings
        else []
    )
    if settings.gives_secrets_away:
        told += f". {http_guard.WARNING}"
        fixes.insert(0, http_guard.FIX)
    result = CheckResult.WARNING if fixes else CheckResult.PASSED
    yield CheckStep("fields", result, told, _in_one_fix([_with_code(*reversed(split_code(fix))) for fix in fixes]))
    with closing(H11Transport(settings)) as transport:
        yield from _check(settings, transport, runtime, flows)


def summary(steps: Iterable[CheckStep]) -> tuple[bool, str]:
    """Return whether a connection obtains a token with the needed scopes, and a summary of the steps, for the form.

    :param steps: the steps of :func:`check_connection`; those after the token are not run
    :return: the verdict, and a string of at most 2,000 characters, without secrets
    """
    told: list[str] = []
    good = True
    for step in steps:
        if step.result is CheckResult.FAILED and step.name != "domain":
            good = False
        if step.name in ("fields", "token") or step.result in (CheckResult.FAILED, CheckResult.WARNING):
            code, fix = split_code(step.fix)
            told += [f"{step.name}: {step.detail.rstrip('.')}.", *_with_code(fix, code).split("\n")]
        if step.name == "token":
            good = good and step.result is CheckResult.PASSED
            break
    text = " ".join(filter(None, [*told, "No flow was invoked."]))
    return good, text if len(text) <= _LONGEST_SUMMARY else text[: _LONGEST_SUMMARY - 1] + "…"


def skipped(names: Sequence[str], why: str) -> Iterator[CheckStep]:
    """Yield skipped steps.

    :param names: their names
    :param why: the reason
    """
    for name in names:
        yield CheckStep(name, CheckResult.SKIPPED, why)


def _with_code(text: str, code: str) -> str:
    return f"{text} ({code})" if code else text


def _in_one_fix(texts: Sequence[str]) -> str:
    """Return what to change as the fix of one step.

    :param texts: each thing to change, with its code in parentheses at the end
    """
    if len(texts) > 1:
        return " ".join(f"({number}) {text}" for number, text in enumerate(texts, 1))
    return re.sub(r"(.*) \((OKW-\d{4})\)", r"\2: \1", "".join(texts), flags=re.DOTALL)


def _check(
    settings: OktaWorkflowsSettings, transport: H11Transport, runtime: Runtime, flows: Sequence[str]
) -> Iterator[CheckStep]:
    key = _with_slowness(_step("key", lambda: _key(settings)), settings)
    yield key
    response = transport.send(metadata_request(settings.domain))
    offset = clock_offset(response.headers, runtime.clock()) if isinstance(response, HttpResponse) else None
    domain = _step("domain", lambda: _reachable(response, settings, settings.domain))
    yield domain
    # A domain that accepts this request without responding may still grant a token.
    unreachable = isinstance(response, TransportFailure) and response.kind is not FailureKind.OUTCOME_UNKNOWN
    if isinstance(response, TransportFailure):
        yield from skipped(["metadata"], _NO_RESPONSE)
    else:
        yield _metadata(response, settings)
    if offset is None:
        yield from skipped(["clock"], _NO_RESPONSE if unreachable else "the org's response has no Date")
    else:
        yield _step("clock", lambda: _clock(offset, settings))
    if unreachable:
        yield from skipped(["token"], _NO_RESPONSE)
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
        return CheckStep(name, CheckResult.FAILED, f"{error.message} {error.detail}".strip(), error.hint)


def _key(settings: OktaWorkflowsSettings) -> str:
    key = settings.signing_key
    kid = f"kid {_kid(key, settings)}" if key.kid else "no kid: set key_id once the app has more than one key"
    return f"{key.description}, {key.algorithm}, {kid}; from {settings.key_text.source}"


def _with_slowness(step: CheckStep, settings: OktaWorkflowsSettings) -> CheckStep:
    """Return the step of a usable key as a warning if the key takes long to decrypt, as it does in each process."""
    rounds = settings.key_text.derivation_rounds
    if step.result is not CheckResult.PASSED or rounds < _SLOW_ROUNDS:
        return step
    detail = f"{step.detail}; each process takes long to decrypt it ({rounds:,} rounds of key derivation)"
    return replace(step, result=CheckResult.WARNING, detail=detail, fix=FASTER_KEY)


def _kid(key: SigningKey, settings: OktaWorkflowsSettings) -> str:
    from airflow_okta_workflows.core.keys.generation import thumbprint

    kid = str(key.kid)
    # key_id may contain anything, even a private key: that of P-256 is as long as a kid that is a thumbprint.
    is_kid = kid == settings.key_text.kid or not may_hold_key(kid) or kid == thumbprint(key.key)
    return kid if is_kid else f"{kid[:8]}…"


def _reachable(response: HttpResponse | TransportFailure, settings: OktaWorkflowsSettings, origin: Origin) -> str:
    if isinstance(response, TransportFailure):
        raise configuration_error(
            f"{origin.url} gave no response: {response.detail}.", http_hints.transport_hint(response)
        )
    way = ", through a proxy" if proxy_for(origin.url, settings) else ""
    return f"{origin.url} responds{way}; {_protection(settings, origin)}"


def _protection(settings: OktaWorkflowsSettings, origin: Origin) -> str:
    if origin.scheme == "http":
        return "no TLS, on this machine" if origin.is_loopback else "NO TLS (insecure_http is set)"
    bundle = ca_bundle(settings)
    return f"its certificate is trusted by {bundle}" if bundle else "its certificate is NOT verified (verify is false)"


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
    # A separate source: a token that the shared one already has would prove nothing.
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
        # The root of the host, because no flow is there; no token is sent.
        _reachable(transport.send(HttpRequest("GET", origin.url + "/", {})), settings, origin)
    hosts = ", ".join(sorted({settings.find_flow(name).origin.netloc for name in names}))
    return (
        f"{', '.join(names)} at {hosts}: allowed, and responds. Only an invocation (--flow NAME) shows whether an alias"
        " is right and its flow is on and accepts the token"
    )


def with_short_waits(settings: OktaWorkflowsSettings) -> OktaWorkflowsSettings:
    """Return a connection's settings with waits that are short enough for a user who is watching.

    :param settings: the connection
    """
    return replace(
        settings,
        connect_timeout=min(settings.connect_timeout, _PATIENCE),
        read_timeout=min(settings.read_timeout, 2 * _PATIENCE),
        rate_limit_wait=min(settings.rate_limit_wait, _PATIENCE),
    )
