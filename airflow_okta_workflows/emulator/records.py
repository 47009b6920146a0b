"""What the local org keeps: its flows, the requests it saw, the tokens it gave."""

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
    """One request to a flow, whether it ran or was refused.

    :param flow: the flow's name
    :param method: the method
    :param headers: the headers, names in lower case; of ``authorization`` only the scheme
    :param text: the body as text
    :param status: the status of the response; None if the connection was cut instead, or is still open
    :param response: the body of the response, as a string
    :param ran: whether the flow ran
    """

    flow: str
    method: str
    headers: Mapping[str, str]
    text: str
    status: int | None = None
    response: str = ""
    ran: bool = False


@dataclass
class SeenTokenRequest:
    """One token request.

    :param status: the status of the response; None if the connection was cut instead, or is still open
    :param error: the OAuth error of a refusal
    """

    status: int | None = None
    error: str | None = None


@dataclass
class Flow:
    """One flow of the local org.

    :param name: its name
    :param function: what it does
    :param alias: its alias
    :param security: its security level
    :param active: whether it is switched on
    :param runs: what it was given, each time it ran
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
    """What the org knows of a token that it granted.

    :param issuer: the origin under which it was asked for
    :param expires_at: when it ends, by the org's clock
    """

    issuer: str
    expires_at: float
