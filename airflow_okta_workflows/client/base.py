"""Shared part of both drivers: the conversations of one connection, and how to resume one."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Generic, TypedDict, TypeVar

from airflow_okta_workflows import metrics
from airflow_okta_workflows.client.observation import Observer
from airflow_okta_workflows.core import protocol
from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.exactly_once import LEAVES_WITHIN
from airflow_okta_workflows.core.flows.hints import STOPPED
from airflow_okta_workflows.core.flows.invocation import Invocation, invoke_flow
from airflow_okta_workflows.core.forking import cached_property
from airflow_okta_workflows.core.http.types import FailureKind, TransportFailure
from airflow_okta_workflows.core.oauth.token_request import TokenRequest, request_token
from airflow_okta_workflows.core.protocol import Conversation, InvocationState, Step, StopRequested
from airflow_okta_workflows.core.retry.backoff import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.oauth.access_token import AccessToken
    from airflow_okta_workflows.core.oauth.flow_auth import FlowAuth
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.tokens.source import TokenSource

log = logging.getLogger(__name__)
TransportT = TypeVar("TransportT")


class Client(Generic[TransportT]):
    """Base class of the two clients: the conversations of one connection, which the subclasses drive.

    :param settings: the connection
    :param tokens: the source of access tokens
    :param transport: the transport that sends the requests
    :param runtime: clock, sleep, randomness and ids
    :param token_attempts: most attempts to request one token
    """

    _blocks: ClassVar[bool]
    """Whether waiting blocks the thread."""

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

    def obtain_token(self, rejected_token: str | None = None) -> Conversation[AccessToken]:
        """Begin the conversation that returns a token: this process's, another process's, or a new one.

        :param rejected_token: value of a token that a flow's host rejected, which is never returned; or None
        """
        outcome = "hit"

        def request() -> Conversation[AccessToken]:
            nonlocal outcome
            outcome = "miss"
            metrics.count("token.request")
            return self._request_token()

        token = yield from self.tokens.obtain(request, self.runtime, rejected_token=rejected_token, blocks=self._blocks)
        metrics.count("token.cache", outcome=outcome)
        return token

    def flow_auth(self) -> FlowAuth:
        """Return the authorization of one invocation."""
        return self.settings.flow_auth(self.obtain_token)

    def _request_token(self) -> Conversation[AccessToken]:
        settings = self.settings
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
        return request_token(request, self.runtime)

    def invoke(self, call: Invocation) -> Conversation[FlowResponse]:
        """Begin the conversation with a flow.

        :param call: the invocation
        """
        if not self._observer.is_needed:
            return invoke_flow(call, self.flow_auth(), self.runtime)
        observation = self._observer.begin(call)
        if headers := observation.headers:
            call = call.with_headers(headers)
        return observation.through(invoke_flow(call, self.flow_auth(), self.runtime))

    @cached_property
    def _observer(self) -> Observer:
        return Observer.configured(self.settings.flow_tag, self.runtime.monotonic)

    def _require_not_stopped(self, step: Step) -> None:
        """Raise if the task was stopped and this step would lead to sending something."""
        if not self.runtime.stop.requested:
            return
        if isinstance(
            step, (protocol.Send, protocol.Wait, protocol.Join, protocol.AcquireRateLimit)
        ) or step == protocol.Checkpoint(InvocationState.SENDING):
            raise StopRequested


class SendOptions(TypedDict, total=False):
    """Options of a transport's ``send``."""

    connect_timeout: float
    """Seconds until the request has to leave, the wait for a free slot included."""


class Departure:
    """Time limit for a request to leave after its checkpoint; without a checkpoint there is none.

    A later try that reads the checkpoint relies on the limit. A request that cannot leave in time is not sent; the
    conversation then writes a new checkpoint and tries again.

    :param monotonic: returns seconds of a clock that never goes back
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._latest: float | None = None

    def begin(self, age: float = 0.0) -> None:
        """Begin the time limit, just before a checkpoint is written.

        :param age: most seconds ago at which the checkpoint was written, if it was written ahead
        """
        self._latest = self._monotonic() + LEAVES_WITHIN - age

    def send_options(self, default: float) -> SendOptions | None:
        """Return the transport's options for a request that leaves now; None if it is too late.

        :param default: the connection's ``connect_timeout``, in seconds
        """
        if self._latest is None:
            return {}
        left = self._latest - self._monotonic()
        return {"connect_timeout": min(default, left)} if left > 0 else None


TOO_LATE = TransportFailure(
    FailureKind.NOT_SENT, f"its checkpoint took longer than {LEAVES_WITHIN:.0f} s, so it was not sent"
)


@contextmanager
def stopped_without_token() -> Iterator[None]:
    """Convert a stop to an error, for a conversation that only obtains a token."""
    try:
        yield
    except StopRequested:
        raise CoreError(ErrorKind.TOKEN, "No access token was requested: the task was stopped.", STOPPED) from None
