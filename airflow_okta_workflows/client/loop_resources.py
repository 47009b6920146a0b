"""What all who invoke flows on one event loop share: the HTTP session, the pace of each flow, the connections.

A triggerer runs a thousand triggers on one loop. They look a connection up once a minute and not a thousand times,
use one token and one parsed key, and keep together to the rate that a flow takes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_okta_workflows.client.rate_limiter import FlowRateLimiter
from airflow_okta_workflows.core.retry.pacer import Pacer
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport, connection_limit, open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import aiohttp

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.hooks.flow_hook import FlowHook

log = logging.getLogger(__name__)

_LOOK_AGAIN = 60.0
"""Seconds after which a connection is looked up again: so changed credentials take effect without a restart."""
_LOOK_AGAIN_REFUSED = 5.0
"""The same, once what was found is of no use: the org or a flow's host refuses it, or it knows no such flow."""


@dataclass
class _LookUp:
    """Hold a connection as it was last looked up.

    :param hook: the hook with its settings; None if there was none to be had
    :param error: why, if so
    :param at: when it was looked up
    :param lock: held by the one who looks it up, on behalf of all
    """

    hook: FlowHook | None = None
    error: Exception | None = None
    at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LoopResources:
    """Hold what the users of one event loop share; :func:`loop_resources` gives it.

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

    def transport(self, settings: OktaWorkflowsSettings) -> AiohttpTransport:
        """Return a transport over the shared session.

        :param settings: the connection
        """
        return AiohttpTransport(self.session, settings, self._slots)

    def limiter(self, url: str, runtime: Runtime) -> FlowRateLimiter:
        """Return the limiter through which all invocations of a flow pass.

        :param url: the flow's invoke URL
        :param runtime: clock and sleep
        """
        if url not in self._limiters:
            self._limiters[url] = FlowRateLimiter(Pacer(), runtime)
        return self._limiters[url]

    async def hook(
        self, conn_id: str, open_hook: Callable[[], FlowHook], *, refused: FlowHook | None = None
    ) -> FlowHook:
        """Return the hook of a connection that was looked up not long ago, the same for all who ask.

        :param conn_id: the connection's id
        :param open_hook: makes a new hook of it
        :param refused: one that was of no use: its credentials were refused, or it knows no such flow. The connection
            may have been changed since
        :raises OktaConfigurationError: if the connection cannot be used
        """
        look_up = self._look_ups.setdefault(conn_id, _LookUp())
        async with look_up.lock:
            age = self._clock() - look_up.at
            limit = _LOOK_AGAIN_REFUSED if look_up.hook is refused else _LOOK_AGAIN
            if age > (limit if look_up.hook else _LOOK_AGAIN_REFUSED):
                try:
                    look_up.hook, look_up.error = await _looked_up(open_hook(), look_up.hook), None
                except Exception as error:
                    look_up.error = error.with_traceback(None)
                look_up.at = self._clock()
            if look_up.hook is None:
                # Of a connection that is not there, a thousand triggers need to be told only once.
                raise look_up.error or LookupError(conn_id)
            return look_up.hook


async def _looked_up(new: FlowHook, known: FlowHook | None) -> FlowHook:
    """Look a connection up and return its hook: the known one if nothing has changed."""
    try:
        settings = await new.asettings()
    except Exception as error:
        if known is None:
            raise
        # A wait that goes well does not end because the metadata database is away for a moment.
        log.warning("Connection %r could not be looked up again: %s", new.okta_workflows_conn_id, error)
        return known
    return known if known is not None and settings == known.settings else new


_shares: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopResources] = WeakKeyDictionary()


@asynccontextmanager
async def loop_resources() -> AsyncIterator[LoopResources]:
    """Give what is shared on the running loop; it is made for the first user and ends with the last one."""
    loop = asyncio.get_running_loop()
    share = _shares.get(loop)
    if share is None:
        share = _shares[loop] = LoopResources(open_session())
    share.users += 1
    try:
        yield share
    finally:
        share.users -= 1
        if not share.users:
            # Out of the dictionary first: who comes while it closes gets one of their own.
            del _shares[loop]
            await share.session.close()
