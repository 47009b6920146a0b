"""Driver for threads and task processes."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from airflow_okta_workflows.client.base import TOO_LATE, Client, Departure, stopped_without_token
from airflow_okta_workflows.client.log_masking import mask
from airflow_okta_workflows.client.rate_limiter import ThreadRateLimiter
from airflow_okta_workflows.core import protocol
from airflow_okta_workflows.core.forking import cached_property
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.protocol import Conversation, End, InvocationState, Step, StopRequested, resume
from airflow_okta_workflows.pace.configured import configured_pace
from airflow_okta_workflows.transport.h11_transport import H11Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.flows.invocation import Invocation
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.http.types import HttpRequest
    from airflow_okta_workflows.core.oauth.access_token import AccessToken
    from airflow_okta_workflows.core.oauth.flow_auth import FlowAuth
    from airflow_okta_workflows.pace.configured import Pace

log = logging.getLogger(__name__)
T = TypeVar("T")


class FlowClient(Client[H11Transport]):
    """Client for threads and task processes."""

    _blocks = True

    def invoke_flow(self, call: Invocation, on_state: Callable[[InvocationState], None] | None = None) -> FlowResponse:
        """Invoke a flow.

        :param call: the invocation
        :param on_state: called with each state before the invocation continues
        :raises CoreError: if the invocation did not succeed
        """
        with NoFrames(), self.runtime.stop.heeding_sigterm():
            return self._drive(self.invoke(call), self._limiter(call.address.url), on_state)

    def access_token(self, rejected_token: str | None = None) -> AccessToken:
        """Return an access token that is valid now.

        :param rejected_token: value of a token that was rejected, which is never returned; or None
        :raises CoreError: if the org grants no token
        """
        with NoFrames(), self.runtime.stop.heeding_sigterm(), stopped_without_token():
            return self._drive(self.obtain_token(rejected_token))

    def authorize(self, request: HttpRequest, auth: FlowAuth, rejected: bool) -> HttpRequest:
        """Return a request with its authorization, for callers that send it themselves.

        :param request: the request
        :param auth: the authorization of the flow
        :param rejected: whether the last request was refused with 401
        :raises CoreError: if there are no credentials
        """
        with NoFrames(), self.runtime.stop.heeding_sigterm(), stopped_without_token():
            return self._drive(auth.authorize(request, rejected=rejected))

    def close(self) -> None:
        """Close the connections that are kept open."""
        self.transport.close()

    def _limiter(self, url: str) -> ThreadRateLimiter | None:
        turns = self._pace.turns(url)
        return ThreadRateLimiter(turns, self.runtime) if turns else None

    @cached_property
    def _pace(self) -> Pace:
        return configured_pace()

    def _drive(
        self,
        conversation: Conversation[T],
        limiter: ThreadRateLimiter | None = None,
        on_state: Callable[[InvocationState], None] | None = None,
    ) -> T:
        # Always closed: a conversation may own the lock of the token cache, or the renewal of a token.
        departure = Departure(self.runtime.monotonic)
        with closing(conversation):
            progress = resume(conversation, None)
            while not isinstance(progress, End):
                try:
                    event = self._perform(progress, limiter, on_state, departure)
                except StopRequested as stop:
                    progress = resume(conversation, stop)
                else:
                    progress = resume(conversation, event)
            return progress.result

    def _perform(
        self,
        step: Step,
        limiter: ThreadRateLimiter | None,
        on_state: Callable[[InvocationState], None] | None,
        departure: Departure,
    ) -> object:
        self._require_not_stopped(step)
        match step:
            case protocol.Send(request):
                options = departure.send_options(self.settings.connect_timeout)
                return TOO_LATE if options is None else self.transport.send(request, **options)
            case protocol.Wait(seconds, reason):
                if reason:
                    log.warning("%s", reason)
                self.runtime.wait(seconds)
            case protocol.Join(outcome):
                outcome.exception()
            case protocol.AcquireRateLimit() if limiter:
                limiter.acquire()
            case protocol.Throttle(seconds) if limiter:
                limiter.throttle(seconds)
            case protocol.Checkpoint(state):
                if on_state:
                    departure.begin()
                    on_state(state)
            case protocol.Call():
                return step.perform()
            case protocol.MaskSecrets(texts, until):
                mask(texts, until)
            case protocol.Log(text):
                log.warning("%s", text)
        return None
