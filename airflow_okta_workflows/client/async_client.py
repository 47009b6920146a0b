"""Driver for event loops."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_okta_workflows.client.base import TOO_LATE, Client, Departure, stopped_without_token
from airflow_okta_workflows.client.log_masking import amask
from airflow_okta_workflows.core import protocol
from airflow_okta_workflows.core.flows.exactly_once import WRITTEN_AHEAD
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.protocol import Conversation, End, InvocationState, Step, StopRequested, resume
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from airflow_okta_workflows.client.rate_limiter import RateLimiter
    from airflow_okta_workflows.core.flows.invocation import Invocation
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.http.types import HttpRequest, HttpResponse, TransportFailure
    from airflow_okta_workflows.core.oauth.access_token import AccessToken

log = logging.getLogger(__name__)
T = TypeVar("T")


class AsyncFlowClient(Client[AiohttpTransport]):
    """Client for event loops.

    If a task is cancelled after the stop signal while it waits, for example for a rate limit or a token, the
    conversation receives :class:`StopRequested` and raises an error that says how far it got. A cancellation while a
    request is being sent is an ordinary one.

    Unlike the synchronous client, it leaves SIGTERM to its callers: operators have ``on_kill``, a triggerer cancels its
    triggers, and only the hook has to heed the signal itself.
    """

    _blocks = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._sending: set[asyncio.Task[Any] | None] = set()

    @property
    def sending(self) -> frozenset[asyncio.Task[Any] | None]:
        """The tasks in which a request that has a checkpoint is being sent."""
        return frozenset(self._sending)

    def invoke_flow(
        self,
        call: Invocation,
        *,
        limiter: RateLimiter | None = None,
        on_state: Callable[[InvocationState], Awaitable[None]] | None = None,
    ) -> Coroutine[Any, Any, FlowResponse]:
        """Invoke a flow. The caller has to remove the frames of errors, whose locals contain the token (`NoFrames`).

        :param call: the invocation
        :param limiter: rate limiter of the flow; None for none
        :param on_state: called with each state before the invocation continues
        :raises CoreError: if the invocation did not succeed
        """
        return self._drive(self.invoke(call), limiter, on_state)

    async def access_token(self, rejected_token: str | None = None) -> AccessToken:
        """Return an access token that is valid now.

        :param rejected_token: value of a token that was rejected, which is never returned; or None
        :raises CoreError: if the org grants no token
        """
        with NoFrames(), stopped_without_token():
            return await self._drive(self.obtain_token(rejected_token))

    async def _drive(
        self,
        conversation: Conversation[T],
        limiter: RateLimiter | None = None,
        on_state: Callable[[InvocationState], Awaitable[None]] | None = None,
    ) -> T:
        departure = Departure(self.runtime.monotonic) if on_state else None
        # Most of what a poll yields: without a limiter or checkpoints there is nothing to perform.
        ignored = (*(() if limiter else (protocol.AcquireRateLimit,)), *(() if on_state else (protocol.Checkpoint,)))
        try:
            step = resume(conversation, None)
            while not isinstance(step, End):
                event: object = None
                try:
                    self._require_not_stopped(step)
                    if not isinstance(step, protocol.Send):
                        if not isinstance(step, ignored):
                            event = await self._perform(step, limiter, on_state, departure)
                    elif departure:
                        event = await self._send(step.request, departure)
                    else:
                        event = await self.transport.send(step.request)
                except StopRequested as stop:
                    event = stop
                except asyncio.CancelledError:
                    if isinstance(step, protocol.Send) or not self.runtime.stop.requested:
                        raise
                    event = StopRequested()
                step = resume(conversation, event)
            return step.result
        finally:
            conversation.close()

    async def _perform(
        self,
        step: Step,
        limiter: RateLimiter | None,
        on_state: Callable[[InvocationState], Awaitable[None]] | None,
        departure: Departure | None,
    ) -> object:
        match step:
            case protocol.Wait(seconds, reason):
                if reason:
                    log.warning("%s", reason)
                await self.runtime.async_sleep(seconds)
            case protocol.AcquireRateLimit() if limiter:
                await limiter.acquire()
            case protocol.Throttle(seconds) if limiter:
                await limiter.throttle(seconds)
            case protocol.Checkpoint(state):
                if on_state and departure:
                    departure.begin(WRITTEN_AHEAD)
                    await on_state(state)
            case protocol.Join(outcome):
                await asyncio.gather(asyncio.wrap_future(outcome), return_exceptions=True)
            case protocol.Call(in_thread=in_thread):
                return await asyncio.to_thread(step.perform) if in_thread else step.perform()
            case protocol.MaskSecrets(texts, until):
                await amask(texts, until)
            case protocol.Log(text):
                log.warning("%s", text)
        return None

    async def _send(self, request: HttpRequest, departure: Departure) -> HttpResponse | TransportFailure:
        options = departure.send_options(self.settings.connect_timeout)
        if options is None:
            return TOO_LATE
        task = asyncio.current_task()
        self._sending.add(task)
        try:
            return await self.transport.send(request, **options)
        finally:
            self._sending.discard(task)
