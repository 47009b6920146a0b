"""Resources shared by all tasks that invoke flows on one event loop: HTTP session, rate limiters, clients.

A triggerer runs a thousand triggers on one loop. Together they look up a connection once a minute, use one token and
one parsed key, and stay within a flow's rate limit.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from airflow_okta_workflows.client.async_client import AsyncFlowClient
from airflow_okta_workflows.client.rate_limiter import FlowRateLimiter
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.pace.configured import configured_pace
from airflow_okta_workflows.tokens.source import token_source_for
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport, open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.pace.configured import Pace
    from airflow_okta_workflows.tokens.source import TokenSource

log = logging.getLogger(__name__)

ReadSettings: TypeAlias = "Callable[[], Awaitable[OktaWorkflowsSettings]]"

_LOOK_AGAIN = 60.0
"""Seconds after which a connection is looked up again, so that changed credentials take effect without a restart."""
_LOOK_AGAIN_REFUSED = 5.0
"""The same after a failed look-up, or if the client is rejected: its credentials are refused or a flow is unknown."""


@dataclass
class _LookUp:
    """The result of the last look-up of a connection.

    :param client: the client for it; None if no look-up has succeeded
    :param error: the error of the last look-up, or None
    :param at: when it was looked up, by the monotonic clock
    :param lock: held by the task that looks it up on behalf of all
    """

    client: AsyncFlowClient | None = None
    error: Exception | None = None
    at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LoopResources:
    """The shared resources of one event loop, obtained with :func:`loop_resources`.

    :param session: the HTTP session
    :param clock: monotonic clock, in seconds
    :param pace: the pace of the flows; the configured one if None
    """

    def __init__(
        self, session: aiohttp.ClientSession, clock: Callable[[], float] = Runtime.monotonic, pace: Pace | None = None
    ) -> None:
        self.session = session
        self.users = 0
        self._clock = clock
        self._pace = pace
        self._limiters: dict[str, FlowRateLimiter | None] = {}
        self._look_ups: dict[str, _LookUp] = {}

    def client(self, settings: OktaWorkflowsSettings, tokens: TokenSource, runtime: Runtime) -> AsyncFlowClient:
        """Return a client over the shared session.

        :param settings: the connection
        :param tokens: the source of its access tokens
        :param runtime: clock and sleep
        """
        transport = AiohttpTransport(self.session, settings)
        return AsyncFlowClient(settings, tokens, transport, runtime)

    def limiter(self, url: str, runtime: Runtime) -> FlowRateLimiter | None:
        """Return the rate limiter that all invocations of a flow on this event loop share; None if there is no pace.

        :param url: the flow's invoke URL
        :param runtime: clock and sleep
        :raises OktaConfigurationError: if the configured pace cannot be used
        """
        if url not in self._limiters:
            pace = self._pace or configured_pace()
            turns = pace.turns(url)
            self._limiters[url] = FlowRateLimiter((turns,), runtime, pace.block) if turns else None
        return self._limiters[url]

    async def client_for(
        self, conn_id: str, read: ReadSettings, runtime: Runtime, *, rejected: AsyncFlowClient | None = None
    ) -> AsyncFlowClient:
        """Return the client of a connection that was looked up recently, the same for all callers.

        :param conn_id: the connection's id
        :param read: looks up and checks the connection
        :param runtime: clock and sleep
        :param rejected: a client whose credentials were refused, or whose connection lacks a flow; the connection may
            have been changed since, so it is looked up again sooner
        :raises OktaConfigurationError: if the connection cannot be used
        """
        if (look_up := self._look_ups.get(conn_id)) is None:
            look_up = self._look_ups[conn_id] = _LookUp()
        if look_up.client and not self._is_due(look_up, rejected):
            return look_up.client
        async with look_up.lock:
            if self._is_due(look_up, rejected):
                try:
                    settings = await read()
                    if look_up.client is None or look_up.client.settings != settings:
                        look_up.client = self.client(settings, token_source_for(settings), runtime)
                    look_up.error = None
                except Exception as error:
                    look_up.error = error.with_traceback(None)
                    if look_up.client:
                        # A brief outage of the metadata database must not end a wait that otherwise works.
                        log.warning("Connection %r could not be looked up again: %s", conn_id, error)
                look_up.at = self._clock()
            if look_up.client is None:
                # The stored error: a thousand triggers need only one look-up to learn that a connection is missing.
                raise look_up.error or LookupError(conn_id)
            return look_up.client

    def _is_due(self, look_up: _LookUp, rejected: AsyncFlowClient | None) -> bool:
        soon = look_up.client is None or look_up.client is rejected
        return self._clock() - look_up.at > (_LOOK_AGAIN_REFUSED if soon else _LOOK_AGAIN)


_open: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopResources] = WeakKeyDictionary()


@asynccontextmanager
async def loop_resources() -> AsyncIterator[LoopResources]:
    """Yield the shared resources of the running loop, which last from its first user to its last."""
    loop = asyncio.get_running_loop()
    resources = _open.get(loop)
    if resources is None:
        resources = _open[loop] = LoopResources(open_session())
    resources.users += 1
    try:
        yield resources
    finally:
        resources.users -= 1
        if not resources.users:
            # Removed first: a user that comes while the session closes opens another one.
            del _open[loop]
            await resources.session.close()
