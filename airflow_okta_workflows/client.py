"""The two drivers: they perform the steps that the core's conversations ask for, and decide nothing.

:class:`FlowClient` drives them for threads and task processes, :class:`AsyncFlowClient` on an event loop.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_okta_workflows.core.exchange import (
    Conversation,
    Event,
    GetToken,
    Log,
    Mask,
    Note,
    Pace,
    Send,
    Stage,
    Step,
    StopRequested,
    Wait,
)
from airflow_okta_workflows.core.faults import Fault, FaultKind
from airflow_okta_workflows.core.flow_call import FlowCall, invoke_flow
from airflow_okta_workflows.core.token_request import TokenRequest, request_token
from airflow_okta_workflows.core.waiting import ATTEMPTS
from airflow_okta_workflows.frames import NoFrames
from airflow_okta_workflows.masking import amask, mask
from airflow_okta_workflows.tokens.sharing import obtain_token
from airflow_okta_workflows.transport.aiohttp_transport import AiohttpTransport
from airflow_okta_workflows.transport.requests_transport import RequestsTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from airflow_okta_workflows.core.access_token import AccessToken
    from airflow_okta_workflows.core.answers import FlowResponse
    from airflow_okta_workflows.pace_gate import Gate
    from airflow_okta_workflows.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.surroundings import Surroundings
    from airflow_okta_workflows.tokens.source import TokenSource

log = logging.getLogger(__name__)
T = TypeVar("T")
TransportT = TypeVar("TransportT")


class _Client(Generic[TransportT]):
    """Begin the core's conversations for one connection; how they are driven is up to the two below.

    :param settings: the connection
    :param tokens: where access tokens come from
    :param transport: sends the requests
    :param surroundings: clock, sleep and chance
    :param token_attempts: attempts for a token in all, where another may help
    """

    def __init__(
        self,
        settings: OktaWorkflowsSettings,
        tokens: TokenSource,
        transport: TransportT,
        surroundings: Surroundings,
        token_attempts: int = ATTEMPTS,
    ) -> None:
        self.settings = settings
        self.tokens = tokens
        self.transport = transport
        self.surroundings = surroundings
        self._token_attempts = token_attempts
        self._sending: set[asyncio.Task[Any]] = set()

    def obtain_token(self, known: AccessToken | None, refused: str | None) -> Conversation[AccessToken]:
        return obtain_token(
            self._request_token,
            self.tokens.cache,
            known=known,
            refused=refused,
            clock=self.surroundings.clock,
            random=self.surroundings.random,
        )

    def _request_token(self) -> Conversation[AccessToken]:
        settings, surroundings = self.settings, self.surroundings
        log.info("Asking %s for an access token", settings.domain.netloc)
        request = TokenRequest(
            token_url=settings.token_url,
            client_id=settings.client_id,
            scope=settings.scope,
            load_key=lambda: settings.signing_key,
            assertion_lifetime=settings.assertion_lifetime,
            rate_limit_wait=settings.rate_limit_wait,
            attempts=self._token_attempts,
        )
        return request_token(request, clock=surroundings.clock, random=surroundings.random, new_id=surroundings.new_id)

    def invoke(self, call: FlowCall) -> Conversation[FlowResponse]:
        return invoke_flow(call, clock=self.surroundings.clock, random=self.surroundings.random)

    def _require_not_stopped(self, step: Step) -> None:
        """Raise if the task was stopped and this step would lead to sending something."""
        leads_on = isinstance(step, (Send, Wait, Pace, GetToken)) or step == Note(Stage.SENDING)
        if leads_on and self.surroundings.stop.requested:
            raise StopRequested


class FlowClient(_Client[RequestsTransport]):
    """Invoke flows from threads and task processes."""

    def invoke_flow(self, call: FlowCall, on_stage: Callable[[Stage], None] | None = None) -> FlowResponse:
        """Invoke a flow.

        :param call: what to send, and where
        :param on_stage: is told each stage before the invocation goes on
        :raises Fault: if it did not succeed
        """
        with NoFrames(), self.surroundings.stop.heeding_sigterm():
            return self._drive(self.invoke(call), on_stage)

    def access_token(self, refused: str | None = None) -> AccessToken:
        """Return an access token that is good now.

        :param refused: the text of one that must not come back
        :raises Fault: if the org gives none
        """
        with NoFrames(), self.surroundings.stop.heeding_sigterm(), _stopped_without_token():
            return self._token(refused)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self.transport.close()

    def _token(self, refused: str | None) -> AccessToken:
        return self.tokens.get(self._renew, refused=refused)

    def _renew(self, known: AccessToken | None, refused: str | None) -> AccessToken:
        return self._drive(self.obtain_token(known, refused))

    def _drive(self, conversation: Conversation[T], on_stage: Callable[[Stage], None] | None = None) -> T:
        # Closed whatever happens: a conversation may hold the lock of the token cache.
        with closing(conversation):
            progress = _resume(conversation, None)
            while not isinstance(progress, _End):
                try:
                    event = self._perform(progress, on_stage)
                except StopRequested as stop:
                    progress = _resume(conversation, stop)
                else:
                    progress = _resume(conversation, event)
            return progress.result

    def _perform(self, step: Step, on_stage: Callable[[Stage], None] | None) -> Event:
        self._require_not_stopped(step)
        match step:
            case Send(request):
                return self.transport.send(request)
            case GetToken(refused):
                return self._token(refused).value
            case Wait(seconds, reason):
                if reason:
                    log.warning("%s", reason)
                self.surroundings.wait(seconds)
            case Pace():
                # A single task does not pace itself; the host limits it with 429.
                pass
            case Note(stage):
                if on_stage:
                    on_stage(stage)
            case Mask(texts, until):
                mask(texts, until)
            case Log(text):
                log.warning("%s", text)
        return None


class AsyncFlowClient(_Client[AiohttpTransport]):
    """Invoke flows on an event loop.

    Tasks that wait, for a rate limit or a token, end when they are cancelled after the stop signal: the conversation
    then says what that means. What is being sent has to be cancelled as any other task.
    """

    @property
    def sending(self) -> frozenset[asyncio.Task[Any]]:
        """The tasks in which a request is on its way."""
        return frozenset(self._sending)

    async def invoke_flow(
        self,
        call: FlowCall,
        *,
        gate: Gate | None = None,
        on_stage: Callable[[Stage], Awaitable[None]] | None = None,
    ) -> FlowResponse:
        """Invoke a flow.

        :param call: what to send, and where
        :param gate: the pace of the flow, if there are others to keep it with
        :param on_stage: is told each stage before the invocation goes on
        :raises Fault: if it did not succeed
        """
        with NoFrames(), self.surroundings.stop.heeding_sigterm():
            return await self._drive(self.invoke(call), gate, on_stage)

    async def access_token(self, refused: str | None = None) -> AccessToken:
        """Return an access token that is good now.

        :param refused: the text of one that must not come back
        :raises Fault: if the org gives none
        """
        with NoFrames(), self.surroundings.stop.heeding_sigterm(), _stopped_without_token():
            return await self._token(refused)

    async def _token(self, refused: str | None) -> AccessToken:
        return await self.tokens.aget(self._renew, refused=refused)

    async def _renew(self, known: AccessToken | None, refused: str | None) -> AccessToken:
        return await self._drive(self.obtain_token(known, refused))

    async def _drive(
        self,
        conversation: Conversation[T],
        gate: Gate | None = None,
        on_stage: Callable[[Stage], Awaitable[None]] | None = None,
    ) -> T:
        with closing(conversation):
            progress = _resume(conversation, None)
            while not isinstance(progress, _End):
                try:
                    event = await self._perform(progress, gate, on_stage)
                except StopRequested as stop:
                    progress = _resume(conversation, stop)
                else:
                    progress = _resume(conversation, event)
            return progress.result

    async def _perform(
        self, step: Step, gate: Gate | None, on_stage: Callable[[Stage], Awaitable[None]] | None
    ) -> Event:
        self._require_not_stopped(step)
        if isinstance(step, Send):
            with self._on_its_way():
                return await self.transport.send(step.request)
        try:
            return await self._perform_wait(step, gate, on_stage)
        except asyncio.CancelledError:
            if self.surroundings.stop.requested:
                raise StopRequested from None
            raise

    async def _perform_wait(
        self, step: Step, gate: Gate | None, on_stage: Callable[[Stage], Awaitable[None]] | None
    ) -> Event:
        match step:
            case GetToken(refused):
                return (await self._token(refused)).value
            case Wait(seconds, reason, rate_limited):
                if reason:
                    log.warning("%s", reason)
                if gate and rate_limited:
                    gate.hold(seconds)
                await self.surroundings.asleep(seconds)
            case Pace():
                if gate:
                    await gate.passed()
            case Note(stage):
                if on_stage:
                    await on_stage(stage)
            case Mask(texts, until):
                await amask(texts, until)
            case Log(text):
                log.warning("%s", text)
        return None

    @contextmanager
    def _on_its_way(self) -> Iterator[None]:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover  # a coroutine that is not in a task
            yield
            return
        self._sending.add(task)
        try:
            yield
        finally:
            self._sending.discard(task)


@dataclass(frozen=True)
class _End(Generic[T]):
    """What a conversation has led to."""

    result: T


def _resume(conversation: Conversation[T], event: Event | StopRequested) -> Step | _End[T]:
    """Take a conversation up with what its last step led to, and return the next step, or its end."""
    try:
        if isinstance(event, StopRequested):
            return conversation.throw(event)
        return conversation.send(event)
    except StopIteration as end:
        return _End(end.value)


@contextmanager
def _stopped_without_token() -> Iterator[None]:
    try:
        yield
    except StopRequested:
        raise Fault(FaultKind.TOKEN, "No access token was asked for: the task was stopped.") from None
