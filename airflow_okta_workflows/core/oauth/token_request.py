"""The conversation with the org's token endpoint (RFC 6749, section 4.4, with private_key_jwt, RFC 7523)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.http import hints as http_hints
from airflow_okta_workflows.core.http.messages import error_message, json_object, one_line
from airflow_okta_workflows.core.http.types import FailureKind, HttpRequest, HttpResponse, TransportFailure
from airflow_okta_workflows.core.oauth import hints as oauth_hints
from airflow_okta_workflows.core.oauth.access_token import AccessToken
from airflow_okta_workflows.core.oauth.client_assertion import ASSERTION_TYPE, sign_client_assertion
from airflow_okta_workflows.core.oauth.clock_skew import clock_offset
from airflow_okta_workflows.core.protocol import Conversation, MaskSecrets, Send, Wait, call
from airflow_okta_workflows.core.retry.backoff import ATTEMPTS, RetryBudget, backoff, retry_after_seconds
from airflow_okta_workflows.core.secret import redact_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_okta_workflows.core.keys.signing import SigningKey
    from airflow_okta_workflows.core.runtime import Runtime

TOKEN_PATH = "/oauth2/v1/token"  # noqa: S105  # a path, not a password
"""Path at the org authorization server; a custom authorization server refuses these requests."""
_LONGEST_LIFETIME = 86_400.0
_SHORTEST_LIFETIME = 60.0
"""Minimum seconds that a token counts as valid, whatever its ``expires_in``: the flow's host decides, with a 401."""

_SHORTEST_SECRET = 16
"""Characters; a shorter value is no token, and redacting it would remove ordinary words."""


@dataclass(frozen=True)
class TokenRequest:
    """One access token to request, the key to sign with, and the limits of retries.

    :param token_url: the org's token endpoint; also the assertion's audience
    :param client_id: the app's client id
    :param scope: the scopes, separated by spaces
    :param load_key: returns the signing key; called only when a token is requested
    :param assertion_lifetime: seconds that each client assertion is valid
    :param rate_limit_wait: total seconds that may be spent waiting on 429
    :param attempts: total attempts for an error that another attempt may resolve
    """

    token_url: str
    client_id: str
    scope: str
    load_key: Callable[[], SigningKey] = field(repr=False)
    assertion_lifetime: int
    rate_limit_wait: float
    attempts: int = ATTEMPTS

    @property
    def host(self) -> str:
        """The org's host, for messages."""
        return urlsplit(self.token_url).netloc


def request_token(request: TokenRequest, runtime: Runtime) -> Conversation[AccessToken]:
    """Request an access token; retry where another attempt may help, with a new client assertion each time.

    :param request: the request
    :param runtime: clock, randomness and ids
    :raises CoreError: of kind ``TOKEN`` or ``TOKEN_REFUSED``, or ``CONFIGURATION`` for a key that cannot be read
    """
    budget = RetryBudget(request.rate_limit_wait, runtime.random)
    key = yield from call(request.load_key)
    failures = 0
    while True:
        assertion = sign_client_assertion(
            key,
            client_id=request.client_id,
            token_url=request.token_url,
            now=runtime.clock(),
            lifetime=request.assertion_lifetime,
            jti=runtime.new_id(),
        )
        asked_at = runtime.clock()
        yield MaskSecrets((assertion,), until=asked_at + request.assertion_lifetime)
        event = yield Send(token_http_request(request.token_url, token_form(request.scope, assertion)))
        if isinstance(event, HttpResponse):
            reply = _Reply(event, assertion, runtime.clock())
            if event.status == 200 and not reply.unreadable:
                token = _read_token(reply, asked_at, runtime.clock())
                yield MaskSecrets((token.value,), until=token.expires_at)
                return token
            if event.status == 429:
                asked = retry_after_seconds(event.headers, runtime.clock())
                seconds = budget.spend(asked)
                if seconds is None:
                    raise reply.as_error(
                        ErrorKind.TOKEN,
                        f"{request.host} returned 429 to token requests for longer than rate_limit_wait"
                        f" ({request.rate_limit_wait:.0f} s).",
                        oauth_hints.ORG_RATE_LIMITED,
                    )
                yield Wait(seconds, f"{request.host} returned 429 to a token request; trying again in {seconds:.1f} s")
                continue
            error = _refusal(request, reply)
            if error.kind is ErrorKind.TOKEN_REFUSED:
                raise error
        elif isinstance(event, TransportFailure):
            error = _unreachable(request, event)
            if event.kind is FailureKind.UNTRUSTED:
                raise error
        else:  # pragma: no cover  # a Send leads only to these two
            raise TypeError(f"Send led to {type(event).__name__}")
        failures += 1
        if failures >= request.attempts:
            raise error
        seconds = backoff(failures, runtime.random)
        yield Wait(seconds, f"{error.message} Attempt {failures} of {request.attempts}; next in {seconds:.1f} s")


class _Reply:
    """A response of the token endpoint, with the client assertion and the token redacted from its members."""

    def __init__(self, response: HttpResponse, assertion: str, now: float) -> None:
        self.status = response.status
        members = json_object(response.body)
        self.access_token = members.get("access_token")
        secrets = [value for value in (assertion, self.access_token) if isinstance(value, str)]
        self.members = redact_value(members, tuple(value for value in secrets if len(value) >= _SHORTEST_SECRET))
        self.error = self.text("error") or self.text("errorCode")
        said = self.text("error_description") or error_message(self.members)
        self.unreadable = response.unreadable
        begun = response.body.lstrip()[:1] == b"{"
        if not self.unreadable and begun and not members and b"".join(response.body.split()) != b"{}":
            self.unreadable = "its JSON is cut off or broken"
        self.description = said or self.unreadable or None
        self.clock_offset = clock_offset(response.headers, now)

    def as_error(self, kind: ErrorKind, message: str, hint: str) -> CoreError:
        return CoreError(
            kind,
            message,
            hint,
            detail=f"The org says: {self.description}"
            if self.description not in (None, self.error, self.unreadable)
            else "",
            status_code=self.status,
            error=self.error,
            error_description=self.description,
        )

    def text(self, name: str) -> str | None:
        value = self.members.get(name)
        return one_line(value) or None if isinstance(value, str) else None


def token_form(scope: str, assertion: str) -> dict[str, str]:
    """Return the form of a token request.

    :param scope: the scopes, separated by spaces
    :param assertion: the client assertion
    """
    return {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }


def token_http_request(token_url: str, form: Mapping[str, str]) -> HttpRequest:
    """Return a request to the token endpoint.

    :param token_url: the token endpoint
    :param form: the form
    """
    return HttpRequest(
        method="POST",
        url=token_url,
        headers={"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(form).encode(),
    )


def _read_token(reply: _Reply, asked_at: float, now: float) -> AccessToken:
    value = reply.access_token
    if str(reply.members.get("token_type")).lower() == "dpop":
        raise reply.as_error(
            ErrorKind.TOKEN_REFUSED,
            "The org granted a token that needs a proof of possession.",
            oauth_hints.DPOP_TOKEN,
        )
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise reply.as_error(
            ErrorKind.TOKEN_REFUSED,
            "The token endpoint returned 200 without a usable token.",
            oauth_hints.NOT_THE_ORG,
        )
    lifetime = _lifetime(reply.members.get("expires_in"))
    expires_at = max(asked_at + lifetime, now + _SHORTEST_LIFETIME)
    return AccessToken(value, expires_at=expires_at, lifetime=lifetime, scope=reply.text("scope"))


def _lifetime(expires_in: Any) -> float:
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return 3600.0  # the lifetime that Okta documents for this token
    return min(max(seconds, _SHORTEST_LIFETIME), _LONGEST_LIFETIME) if seconds == seconds else 3600.0  # noqa: PLR0124  # NaN


def _refusal(request: TokenRequest, reply: _Reply) -> CoreError:
    reason = f": {reply.error}" if reply.error else ""
    message = f"{request.host} returned {reply.status} to the token request{reason}."
    if reply.status >= 500 or reply.error == "temporarily_unavailable":
        return reply.as_error(ErrorKind.TOKEN, message, oauth_hints.TRY_LATER)
    if 300 <= reply.status < 400:
        return reply.as_error(
            ErrorKind.TOKEN_REFUSED,
            f"{request.host} redirected the token request ({reply.status}).",
            oauth_hints.NOT_THE_ORG,
        )
    if reply.unreadable:
        # A part may be missing, as of a response that is shorter than its Content-Length.
        return reply.as_error(
            ErrorKind.TOKEN,
            f"{request.host} returned {reply.status} to the token request, but {reply.unreadable}.",
            oauth_hints.NOT_THE_ORG,
        )
    hint = oauth_hints.token_hint(reply.error, reply.description, reply.clock_offset)
    return reply.as_error(ErrorKind.TOKEN_REFUSED, message, hint)


def _unreachable(request: TokenRequest, failure: TransportFailure) -> CoreError:
    return CoreError(
        ErrorKind.TOKEN, f"No token from {request.host}: {failure.detail}.", http_hints.transport_hint(failure)
    )
