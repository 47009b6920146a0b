"""Records of the local org: its flows, the requests that it received, the tokens that it granted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from airflow_okta_workflows.emulator.cards import FlowRequest

FlowFunction = Callable[["FlowRequest"], Any]
Security = Literal["oauth", "client_token", "public"]


@dataclass
class SeenRequest:
    """One request to a flow, whether the flow ran or the request was refused.

    :param flow: the flow's name
    :param method: the HTTP method
    :param headers: the headers, with names in lower case; the value of ``authorization`` is only the scheme, and that
        of ``x-api-client-token`` is masked
    :param text: the body as a string
    :param status: the status of the response; None if the connection was cut instead, or the exchange is not over
    :param response: the body of the response as a string
    :param ran: whether the flow ran
    :param query: the query parameters, without a client token
    :param received_at: when it arrived, by the org's clock, in seconds since the epoch
    :param duration: seconds until the exchange was over; None before
    :param execution_id: the id of the execution; None if the flow did not run
    """

    flow: str
    method: str
    headers: Mapping[str, str]
    text: str
    status: int | None = None
    response: str = ""
    ran: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    received_at: float = 0.0
    duration: float | None = None
    execution_id: str | None = None

    @property
    def idempotency_key(self) -> str | None:
        """The Idempotency-Key header; None without one."""
        return self.headers.get("idempotency-key")


@dataclass
class SeenTokenRequest:
    """One token request.

    :param status: the status of the response; None if the connection was cut instead, or the exchange is not over
    :param error: the OAuth error code of a refusal; None without one
    :param granted: whether a token was granted
    :param received_at: when it arrived, by the org's clock, in seconds since the epoch
    """

    status: int | None = None
    error: str | None = None
    granted: bool = False
    received_at: float = 0.0


@dataclass
class Flow:
    """One flow of the local org.

    :param name: its name
    :param function: the function that it runs
    :param alias: its alias
    :param security: its security level
    :param active: whether it is switched on
    :param runs: the request of each run
    :param recent: the times of the latest invocations, by the org's clock, for the rate limit
    """

    name: str
    function: FlowFunction
    alias: str
    security: Security = "oauth"
    active: bool = True
    runs: list[FlowRequest] = field(default_factory=list)
    recent: deque[float] = field(default_factory=deque, repr=False)


@dataclass(frozen=True)
class GrantedToken:
    """The org's record of a token that it granted.

    :param issuer: the origin under which it was requested
    :param scopes: its scopes
    :param expires_at: when it expires, by the org's clock, in seconds since the epoch
    """

    issuer: str
    scopes: frozenset[str]
    expires_at: float
