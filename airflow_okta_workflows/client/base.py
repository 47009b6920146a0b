"""What both drivers share: the conversations of one connection, and how one is taken up again."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.invocation import Invocation, invoke_flow
from airflow_okta_workflows.core.oauth.token_request import TokenRequest, request_token
from airflow_okta_workflows.core.protocol import (
    AcquireRateLimit,
    Checkpoint,
    Conversation,
    Event,
    GetToken,
    InvocationState,
    Send,
    Step,
    StopRequested,
    Wait,
)
from airflow_okta_workflows.core.retry.backoff import ATTEMPTS
from airflow_okta_workflows.tokens.coordination import obtain_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.oauth.access_token import AccessToken
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.tokens.source import TokenSource

log = logging.getLogger(__name__)
T = TypeVar("T")
TransportT = TypeVar("TransportT")


class Client(Generic[TransportT]):
    """Begin the core's conversations for one connection; how they are driven is up to the two below.

    :param settings: the connection
    :param tokens: where access tokens come from
    :param transport: sends the requests
    :param runtime: clock, sleep and chance
    :param token_attempts: attempts for a token in all, where another may help
    """

    def __init__(
        self,
        settings: OktaWorkflowsSettings,
        tokens: TokenSource,
        transport: TransportT,
        runtime: Runtime,
        token_attempts: int = ATTEMPTS,
    ) -> None:
        self.settings = settings
        self.tokens = tokens
        self.transport = transport
        self.runtime = runtime
        self._token_attempts = token_attempts

    def obtain_token(
        self, stale_token: AccessToken | None, rejected_token: str | None, *, patient: bool = True
    ) -> Conversation[AccessToken]:
        """Begin the conversation that brings a token: another process's, or a new one.

        :param stale_token: a stale token of this process, good for now
        :param rejected_token: the text of a token that a flow's host refused, which must not come back
        :param patient: whether another that asks may be waited for
        """
        return obtain_token(
            self._request_token,
            self.tokens.cache,
            stale_token=stale_token,
            rejected_token=rejected_token,
            clock=self.runtime.clock,
            random=self.runtime.random,
            patient=patient,
        )

    def _request_token(self) -> Conversation[AccessToken]:
        settings, runtime = self.settings, self.runtime
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
        return request_token(request, clock=runtime.clock, random=runtime.random, new_id=runtime.new_id)

    def invoke(self, call: Invocation) -> Conversation[FlowResponse]:
        """Begin the conversation with a flow.

        :param call: what to send, and where
        """
        return invoke_flow(call, self.settings.flow_auth(), clock=self.runtime.clock, random=self.runtime.random)

    def _require_not_stopped(self, step: Step) -> None:
        """Raise if the task was stopped and this step would lead to sending something."""
        leads_on = isinstance(step, (Send, Wait, AcquireRateLimit, GetToken)) or step == Checkpoint(
            InvocationState.SENDING
        )
        if leads_on and self.runtime.stop.requested:
            raise StopRequested


@dataclass(frozen=True)
class End(Generic[T]):
    """What a conversation has led to."""

    result: T


def resume(conversation: Conversation[T], event: Event | StopRequested) -> Step | End[T]:
    """Take a conversation up with what its last step led to, and return the next step, or its end.

    :param conversation: the conversation
    :param event: what the step led to; None at the beginning
    """
    try:
        if isinstance(event, StopRequested):
            return conversation.throw(event)
        return conversation.send(event)
    except StopIteration as end:
        return End(end.value)


@contextmanager
def stopped_without_token() -> Iterator[None]:
    """Raise the error that a stop means for whoever asked for a token alone."""
    try:
        yield
    except StopRequested:
        raise CoreError(ErrorKind.TOKEN, "No access token was asked for: the task was stopped.") from None
