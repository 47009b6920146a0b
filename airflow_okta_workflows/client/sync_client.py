"""The driver for threads and task processes."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from airflow_okta_workflows.client.base import Client, End, resume, stopped_without_token
from airflow_okta_workflows.client.log_masking import mask
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.protocol import (
    Conversation,
    Event,
    GetToken,
    LoadKey,
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
from airflow_okta_workflows.tokens.source import running_loop
from airflow_okta_workflows.transport.h11_transport import H11Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.flows.invocation import FlowCall
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.oauth.access_token import AccessToken

log = logging.getLogger(__name__)
T = TypeVar("T")


class FlowClient(Client[H11Transport]):
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
        with NoFrames(), self.surroundings.stop.heeding_sigterm(), stopped_without_token():
            return self._token(refused)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self.transport.close()

    def _token(self, refused: str | None) -> AccessToken:
        return self.tokens.get(self._renew, refused=refused)

    def _renew(self, known: AccessToken | None, refused: str | None) -> AccessToken:
        return self._drive(self.obtain_token(known, refused, patient=running_loop() is None))

    def _drive(self, conversation: Conversation[T], on_stage: Callable[[Stage], None] | None = None) -> T:
        # Closed whatever happens: a conversation may hold the lock of the token cache.
        with closing(conversation):
            progress = resume(conversation, None)
            while not isinstance(progress, End):
                try:
                    event = self._perform(progress, on_stage)
                except StopRequested as stop:
                    progress = resume(conversation, stop)
                else:
                    progress = resume(conversation, event)
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
            case LoadKey():
                return step.perform()
            case Mask(texts, until):
                mask(texts, until)
            case Log(text):
                log.warning("%s", text)
        return None
