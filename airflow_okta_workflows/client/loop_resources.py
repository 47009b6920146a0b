"""What everything that invokes flows on one event loop shares: HTTP session, rate limiters, connections.

A triggerer runs a thousand triggers on one loop. They look a connection up once a minute and not a thousand times,
use one token and one parsed key, and keep together to the rate that a flow takes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from airflow_okta_workflows.client.async_client import AsyncFlowClient
from airflow_okta_workflows.client.rate_limiter import FlowRateLimiter
from airflow_okta_workflows.core.retry.pacer import Pacer
from airflow_okta_workflows.tokens.source import token_source_for
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport, connection_limit, open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import aiohttp

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.tokens.source import TokenSource

log = logging.getLogger(__name__)

ReadSettings: TypeAlias = "Callable[[], Awaitable[OktaWorkflowsSettings]]"

_LOOK_AGAIN = 60.0
"""Seconds after which a connection is looked up again: so changed credentials take effect without a restart."""
_LOOK_AGAIN_REFUSED = 5.0
"""The same, once what was found is of no use: the org or a flow's host refuses it, or it knows no such flow."""


@dataclass
class _LookUp:
    """A connection as it was last looked up.

    :param client: the client for it; None if there was none to be had
    :param error: why, if so
    :param at: when it was looked up
    :param lock: held by the one who looks it up, on behalf of all
    """

    client: AsyncFlowClient | None = None
    error: Exception | None = None
    at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LoopResources:
    """What the users of one event loop share; :func:`loop_resources` gives it.

    :param session: the HTTP session
    :param clock: gives seconds that never go back
    """

    def __init__(self, session: aiohttp.ClientSession, clock: Callable[[], float] = time.monotonic) -> None:
        self.session = session
        self.users = 0
        self._clock = clock
        self._slots = asyncio.Semaphore(connection_limit())
        self._limiters: dict[str, FlowRateLimiter] = {}
        self._look_ups: dict[str, _LookUp] = {}

    def client(self, settings: OktaWorkflowsSettings, tokens: TokenSource, runtime: Runtime) -> AsyncFlowClient:
        """Return a client over the shared session.

        :param settings: the connection
        :param tokens: where its access tokens come from
        :param runtime: clock and sleep
        """
        transport = AiohttpTransport(self.session, settings, self._slots)
        return AsyncFlowClient(settings, tokens, transport, runtime)

    def limiter(self, url: str, runtime: Runtime) -> FlowRateLimiter:
        """Return the limiter through which all invocations of a flow pass.

        :param url: the flow's invoke URL
        :param runtime: clock and sleep
        """
        if url not in self._limiters:
            self._limiters[url] = FlowRateLimiter(Pacer(), runtime)
        return self._limiters[url]

    async def client_for(
        self, conn_id: str, read: ReadSettings, runtime: Runtime, *, rejected: AsyncFlowClient | None = None
    ) -> AsyncFlowClient:
        """Return the client of a connection that was looked up not long ago, the same for all who ask.

        :param conn_id: the connection's id
        :param read: looks it up
        :param runtime: clock and sleep
        :param rejected: a client that was of no use: its credentials were refused, or it knows no such flow. The
            connection may have been changed since
        :raises OktaConfigurationError: if the connection cannot be used
        """
        look_up = self._look_ups.setdefault(conn_id, _LookUp())
        async with look_up.lock:
            age = self._clock() - look_up.at
            limit = _LOOK_AGAIN_REFUSED if look_up.client is rejected else _LOOK_AGAIN
            if age > (limit if look_up.client else _LOOK_AGAIN_REFUSED):
                try:
                    settings = await read()
                    if look_up.client is None or look_up.client.settings != settings:
                        look_up.client = self.client(settings, token_source_for(settings), runtime)
                    look_up.error = None
                except Exception as error:
                    look_up.error = error.with_traceback(None)
                    if look_up.client:
                        # A wait that goes well does not end because the metadata database is away for a moment.
                        log.warning("Connection %r could not be looked up again: %s", conn_id, error)
                look_up.at = self._clock()
            if look_up.client is None:
                # Of a connection that is not there, a thousand triggers need to be told only once.
                raise look_up.error or LookupError(conn_id)
            return look_up.client


_open: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopResources] = WeakKeyDictionary()


@asynccontextmanager
async def loop_resources() -> AsyncIterator[LoopResources]:
    """Give what is shared on the running loop; it is made for the first user and ends with the last one."""
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
            # Out of the dictionary first: whoever comes while it closes opens another one.
            del _open[loop]
            await resources.session.close()
