"""The org's side of the simulation: the local org's own rules, behind a network with latency."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import formatdate
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_okta_workflows.client.async_client import AsyncFlowClient
from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.core.http.types import Headers, HttpResponse
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.tokens.source import TokenSource
from benchmarks.simulation.virtual_time import virtual_runtime

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.http.types import HttpRequest
    from airflow_okta_workflows.tokens.file_cache import TokenCache

FLOW = "simulated"
CONN_ID = "okta_workflows_default"

_KEPT_ALIVE = 15.0
"""Seconds for which aiohttp keeps an idle connection open."""


@dataclass(frozen=True)
class Network:
    """Network between Airflow and the org.

    :param one_way: least seconds that a request or a response takes
    :param jitter: mean of the additional seconds, which are exponentially distributed
    :param handshake: one-way trips to open a connection: TCP and TLS 1.3 take two each
    :param pause: start and end of a period in which nothing gets through; what is sent during it leaves at its end
    """

    one_way: float = 0.02
    jitter: float = 0.0
    handshake: int = 4
    pause: tuple[float, float] = (0.0, 0.0)

    def seconds(self, now: float, chance: random.Random) -> float:
        """Return how many seconds a message takes that is sent now.

        :param now: the virtual time
        :param chance: source of randomness for the jitter
        """
        begin, end = self.pause
        stands = end - now if begin <= now < end else 0.0
        return stands + self.one_way + (chance.expovariate(1 / self.jitter) if self.jitter else 0.0)


@dataclass(frozen=True)
class Arrival:
    """One request that reached the flow.

    :param at: virtual time of its arrival
    :param sender: the process that sent it
    :param key: its idempotency key
    :param ran: whether the flow ran; otherwise the request got 429
    """

    at: float
    sender: str
    key: str
    ran: bool


class SimulatedOrg:
    """Org without a socket that applies the local org's own rate limit of 10/s and its own token rules.

    It must be created on an event loop in virtual time.

    :param chance: source of all randomness
    :param network: the network in front of it
    :param run: returns the seconds that a run of the flow takes
    :param epoch: start of the simulation, in seconds since the epoch
    :param grants_tokens: whether it grants tokens
    """

    def __init__(
        self,
        chance: random.Random,
        network: Network,
        run: Callable[[], float] = lambda: 0.0,
        *,
        epoch: float = 0.0,
        grants_tokens: bool = True,
    ) -> None:
        self.runtime = virtual_runtime(chance, epoch=epoch)
        self.arrivals: list[Arrival] = []
        self.token_requests = 0
        self.open = self.most_open = 0
        self._chance = chance
        self._network = network
        self._run = run
        self._grants_tokens = grants_tokens
        self._rules = LocalOrg(port=443, clock=self.runtime.clock)
        self._rules.flow(FLOW, alias=UUID(int=0).hex)(lambda request: request.body)

    @cached_property
    def settings(self) -> OktaWorkflowsSettings:
        """Settings of the connection to this org."""
        given = self._rules.connection()
        return parse_connection(SimpleNamespace(conn_id=CONN_ID, schema=None, port=None, **given), given["extra"])

    def client(self, sender: str, cache: TokenCache | None = None) -> AsyncFlowClient:
        """Return the client of a process that has just started.

        :param sender: the process
        :param cache: token cache that the process shares with others on its host; None for no cache
        """
        wire: Any = _Wire(self, sender)
        return AsyncFlowClient(self.settings, TokenSource(self.runtime.clock, cache), wire, self.runtime)

    def ran(self, begin: float = 0.0, end: float = float("inf"), sender: str | None = None) -> int:
        """Return how often the flow ran.

        :param begin: start of the period, in virtual seconds
        :param end: its end, not included
        :param sender: count only runs for this process; None for all
        """
        return sum(one.ran and begin <= one.at < end and sender in (None, one.sender) for one in self.arrivals)

    def refused_share(self, begin: float = 0.0, end: float = float("inf")) -> float:
        """Return the share of requests that got 429.

        :param begin: start of the period, in virtual seconds
        :param end: its end, not included
        """
        responses = [one.ran for one in self.arrivals if begin <= one.at < end]
        return responses.count(False) / len(responses)

    async def on_the_way(self) -> None:
        """Wait until a message that is sent now has arrived."""
        await self.runtime.async_sleep(self._network.seconds(self.runtime.monotonic(), self._chance))

    async def connected(self) -> None:
        """Wait until a new connection is open."""
        for _ in range(self._network.handshake):
            await self.on_the_way()

    async def respond(self, request: HttpRequest, sender: str) -> HttpResponse:
        """Respond to a request that has arrived.

        :param request: the request
        :param sender: the process that sent it
        """
        if request.url == self.settings.token_url:
            self.token_requests += 1
            if not self._grants_tokens:
                return self._told(401, {"error": "invalid_client"})
            token = self._rules.grant_token(self.settings.domain.url, self.settings.scope)
            return self._told(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": token})
        if not self._rules.accepts_token(request.headers["Authorization"].removeprefix("Bearer ")):
            return self._told(401, {})
        ran = self._rules.takes_invocation(self._rules.flows[FLOW])
        key = request.headers["Idempotency-Key"]
        self.arrivals.append(Arrival(self.runtime.monotonic(), sender, key, ran))
        if not ran:
            reset = str(int(self.runtime.clock()) + 1)
            return self._told(429, {"errorCode": "E0000047"}, {"X-Rate-Limit-Reset": reset})
        await self.runtime.async_sleep(self._run())
        execution = str(UUID(self.runtime.new_id()))
        return self._told(200, {"status": "RUNNING"}, {"x-execution-id": execution})

    def _told(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> HttpResponse:
        date = formatdate(self.runtime.clock(), usegmt=True)
        told = {"Date": date, "Content-Type": "application/json", **(headers or {})}
        return HttpResponse(status, Headers(told), json.dumps(body).encode())


class _Wire:
    """Transport of one process, with its connection pool."""

    def __init__(self, org: SimulatedOrg, sender: str) -> None:
        self._org = org
        self._sender = sender
        self._idle_since: list[float] = []

    async def send(self, request: HttpRequest, **_: Any) -> HttpResponse:
        org, now = self._org, self._org.runtime.monotonic
        org.open += 1
        org.most_open = max(org.most_open, org.open)
        try:
            self._idle_since = [since for since in self._idle_since if now() - since < _KEPT_ALIVE]
            if self._idle_since:
                self._idle_since.pop()
            else:
                await org.connected()
            await org.on_the_way()
            response = await org.respond(request, self._sender)
            await org.on_the_way()
            return response
        finally:
            org.open -= 1
            self._idle_since.append(now())


class SimulatedHook(OktaWorkflowsHook):
    """Hook of one process, with a simulated connection and network.

    :param org: the org
    :param sender: the process
    """

    def __init__(self, org: SimulatedOrg, sender: str) -> None:
        super().__init__(CONN_ID, runtime=org.runtime)
        self.settings = org.settings
        self.look_ups = 0
        self.client = org.client(sender)

    async def asettings(self) -> OktaWorkflowsSettings:
        """Return the connection's settings, and count the look-up."""
        self.look_ups += 1
        return self.settings
