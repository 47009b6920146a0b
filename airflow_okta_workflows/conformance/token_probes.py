"""Probes of the org's metadata and of its token endpoint.

Most of the requests are wrong on purpose. None changes anything in the org, names another client of it, or tries the
same mistake twice.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from airflow_okta_workflows.conformance.session import (
    ProbeFailedError,
    has_date,
    is_page,
    is_success,
    responded,
)
from airflow_okta_workflows.core.http.messages import json_object
from airflow_okta_workflows.core.http.types import HttpRequest, HttpResponse
from airflow_okta_workflows.core.oauth.client_assertion import MAX_LIFETIME, assertion_claims
from airflow_okta_workflows.core.oauth.clock_skew import clock_offset
from airflow_okta_workflows.core.oauth.server_metadata import metadata_request
from airflow_okta_workflows.core.oauth.token_request import token_form, token_http_request
from airflow_okta_workflows.emulator.rules import RULES, TOKENS
from airflow_okta_workflows.emulator.token_endpoint import NOT_GRANTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_okta_workflows.conformance.session import Session
    from airflow_okta_workflows.core.http.types import TransportFailure
    from airflow_okta_workflows.core.keys.signing import SigningKey

_UNKNOWN_CLIENT = "0oa00000000000000000"
_UNKNOWN = "okta-workflows-conformance"
"""A name that no org knows: of a key, a client, a grant type."""
_TLS = "C5"


def probe_metadata(session: Session) -> None:
    """Compare the org's metadata, and measure its clock.

    :param session: the run
    """
    settings, findings = session.settings, session.findings
    event = session.transport.send(metadata_request(settings.domain))
    _note_tls(session)
    try:
        response = _own(event)
    except ProbeFailedError as failure:
        findings.skip("M1", "M2", "M3", "M4", why=str(failure), failed=True)
        return
    session.clock_offset = clock_offset(response.headers, session.runtime.clock()) or 0.0
    session.say(f"This machine's clock is within {max(1, round(abs(session.clock_offset)))} s of the org's.")
    findings.saw("M1", {"status": response.status, "type": session.media_type(response.headers)})
    metadata = json_object(response.body)
    if not metadata:
        findings.skip("M2", "M3", "M4", why="there is no metadata")
        return
    text = session.normalizer.text
    findings.saw("M2", {name: text(str(metadata.get(name, ""))) for name in ("issuer", "token_endpoint")})
    grants, methods, algorithms = (
        _strings(metadata.get(f"{name}_supported"))
        for name in ("grant_types", "token_endpoint_auth_methods", "token_endpoint_auth_signing_alg_values")
    )
    findings.saw(
        "M3", {"client_credentials": "client_credentials" in grants, "private_key_jwt": "private_key_jwt" in methods}
    )
    findings.saw("M4", {"algorithms": sorted(text(one) for one in algorithms)})


def _note_tls(session: Session) -> None:
    settings = session.settings
    if settings.domain.scheme != "https":
        session.findings.skip(_TLS, why="the connection is without TLS")
    elif settings.verify is False:
        session.findings.skip(_TLS, why="the certificate is not verified (verify is false)")
    elif session.transport.tls_version is None:
        session.findings.skip(_TLS, why="there was no TLS connection", failed=True)
    else:
        session.findings.saw(_TLS, {"tls": session.transport.tls_version})


def probe_tokens(session: Session) -> None:
    """Compare the token endpoint, and keep a token for the probes of flows.

    :param session: the run
    :raises CoreError: if the key cannot be read
    """
    _TokenProbes(session).run()


class _TokenProbes:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._settings = session.settings
        self._findings = session.findings
        self._key = session.settings.signing_key

    def run(self) -> None:
        first, used = self._sign(), self._sign()
        self._session.normalizer.hide([first, used])
        if not self._granted(first):
            return
        before = self._session.transport.connections_opened
        self._session.say(f"T3: {self._claim('T3')}")
        self._probe("T3", self._form(first))
        self._findings.saw("C3", {"kept": self._session.transport.connections_opened == before})
        for rule, form in self._wrong_forms(used):
            self._session.say(f"{rule}: {self._claim(rule)}")
            self._probe(rule, form)
        self._probe_not_granted()
        self._probe_query()

    def _granted(self, assertion: str) -> bool:
        """Send a valid request, and return whether the org granted a token; all other probes need one."""
        session, findings = self._session, self._findings
        session.say(f"T1: {self._claim('T1')}")
        try:
            response = _decided(self._send(self._form(assertion)))
        except ProbeFailedError as failure:
            findings.skip(*_rules("T1"), why=str(failure), failed=True)
            return False
        members = json_object(response.body)
        token, seconds, scope = (members.get(name) for name in ("access_token", "expires_in", "scope"))
        if isinstance(token, str):
            session.token = token
            session.normalizer.hide([token])
            members["access_token"] = "<token>"  # noqa: S105  # a placeholder
        if type(seconds) is int:
            findings.saw("T2", {"expires_in": seconds})
            members["expires_in"] = "<seconds>"
        if isinstance(scope, str) and set(scope.split()) == set(self._settings.scope.split()):
            members["scope"] = "<scope>"
        observed = session.describe(replace(response, body=b""))
        if members:
            observed = {**observed, "body": session.normalizer.value(members)}
        findings.saw("T1", observed)
        findings.saw("C1", {"date": has_date(response.headers)})
        session.note_headers("a granted token", response.headers)
        if session.token is None:
            why = "a valid request was refused: okta-workflows check says why"
            findings.skip(*_rules("T2"), why=why, failed=True)
            return False
        findings.skip("T2", why="the response has no expires_in", failed=True)
        findings.saw("T22", {"headers": session.rate_header_names(response.headers)})
        return True

    def _wrong_forms(self, used: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        now = self._now()
        claims: dict[str, dict[str, Any]] = {
            "T4": {"iat": now - 700, "exp": now - 400},
            "T5": {"exp": now + 2 * MAX_LIFETIME},
            "T6": {"iat": now + 900, "exp": now + 1200},
            "T7": {"aud": self._settings.domain.url},
            "T8": {"iss": _UNKNOWN, "sub": _UNKNOWN},
            "T9": {"iss": _UNKNOWN_CLIENT, "sub": _UNKNOWN_CLIENT},
            "T20": {"jti": None},
        }
        for rule, changes in claims.items():
            yield rule, self._form(self._sign(**changes))
        yield "T10", self._form(self._sign(replace(self._key, kid=_UNKNOWN)))
        yield "T11", self._form(self._sign(replace(self._key, key=_another(self._key))))
        kid = {"kid": self._key.kid} if self._key.kid else None
        yield "T12", self._form(jwt.encode(self._claims(), secrets.token_bytes(32), "HS256", kid))
        yield "T13", self._form("this.is.no-jwt")
        form = self._form("")
        yield "T14", {name: form[name] for name in ("grant_type", "scope")}
        yield "T15", {**self._form(self._sign()), "client_assertion_type": _UNKNOWN}
        yield "T16", {**self._form(self._sign()), "grant_type": _UNKNOWN}
        yield "T17", {**self._form(used), "scope": "okta.conformance.read"}
        # Now with a scope that would be granted, if the assertion were still good.
        yield "T18", self._form(used)

    def _probe_not_granted(self) -> None:
        self._session.say(f"T19: {self._claim('T19')}")
        event = self._send({**self._form(self._sign()), "scope": NOT_GRANTED})
        if isinstance(event, HttpResponse) and NOT_GRANTED in str(json_object(event.body).get("scope", "")):
            self._findings.skip("T19", why=f"the app has the scope {NOT_GRANTED}")
            return
        self._record("T19", event)

    def _probe_query(self) -> None:
        self._session.say(f"T21: {self._claim('T21')}")
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        # Without an assertion: one in a URL would be in the log of each proxy.
        url = f"{self._settings.token_url}?grant_type=client_credentials"
        self._record("T21", self._session.send(HttpRequest("POST", url, headers), self._session.token_requests))

    def _probe(self, rule: str, form: Mapping[str, str]) -> None:
        self._record(rule, self._send(form))

    def _record(self, rule: str, event: HttpResponse | TransportFailure) -> None:
        if isinstance(event, HttpResponse) and isinstance(token := json_object(event.body).get("access_token"), str):
            self._session.normalizer.hide([token])
        try:
            self._findings.saw(rule, self._session.observe(rule, _decided(event)))
        except ProbeFailedError as failure:
            self._findings.skip(rule, why=str(failure), failed=True)

    def _send(self, form: Mapping[str, str]) -> HttpResponse | TransportFailure:
        return self._session.send(token_http_request(self._settings.token_url, form), self._session.token_requests)

    def _form(self, assertion: str) -> dict[str, str]:
        return token_form(self._settings.scope, assertion)

    def _sign(self, key: SigningKey | None = None, **changes: Any) -> str:
        return (key or self._key).sign(self._claims(**changes))

    def _claims(self, **changes: Any) -> dict[str, Any]:
        claims = assertion_claims(
            client_id=self._settings.client_id,
            token_url=self._settings.token_url,
            now=self._now(),
            lifetime=300,
            jti=self._session.runtime.new_id(),
        )
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def _now(self) -> int:
        """Return the time by the org's clock, so that a wrong local one makes no difference."""
        return int(self._session.runtime.clock() - self._session.clock_offset)

    def _claim(self, rule: str) -> str:
        return RULES[rule].claim


def _own(event: HttpResponse | TransportFailure) -> HttpResponse:
    """Return a response of the org itself.

    :raises ProbeFailedError: if it is another's, or that of a failure
    """
    response = responded(event)
    if is_page(response):
        raise ProbeFailedError(f"returned {response.status} with an HTML page, such as that of a gateway")
    if response.status >= 500:
        raise ProbeFailedError(f"returned {response.status}, a failure of the server")
    return response


def _decided(event: HttpResponse | TransportFailure) -> HttpResponse:
    """Return the response of a token endpoint that has granted or refused a token.

    :raises ProbeFailedError: if it has done neither
    """
    response = _own(event)
    if is_success(response) and not isinstance(json_object(response.body).get("access_token"), str):
        raise ProbeFailedError(f"returned {response.status} without an access token")
    return response


def _rules(first: str) -> list[str]:
    """Return the numbers of the probed rules of the token endpoint, from one on."""
    numbers = [rule.id for rule in TOKENS if not rule.unprobed]
    return [*numbers[numbers.index(first) :], "C1", "C3"]


def _another(key: SigningKey) -> Any:
    """Return a new private key of the same type and size."""
    if isinstance(key.key, rsa.RSAPrivateKey):
        return rsa.generate_private_key(public_exponent=65537, key_size=key.key.key_size)
    return ec.generate_private_key(key.key.curve)


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
