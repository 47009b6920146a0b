"""Invocation of a flow by the triggers, with the event loop's shared resources, rate limit and current credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.client.rate_limiter import AcquireUntil
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowRefusedError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.hooks.flow_hook import FlowHook
from airflow_okta_workflows.triggers.encrypted_result import encrypt_result

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.client.loop_resources import LoopResources
    from airflow_okta_workflows.client.rate_limiter import RateLimiter
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.flows.invocation import Invocation
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.runtime import Runtime


@dataclass
class TriggererInvoker:
    """Invoker of one flow for a trigger.

    :param resources: resources that all triggers on this event loop share; the caller must hold them open meanwhile
    :param okta_workflows_conn_id: the connection
    :param runtime: clock and sleep
    :param flow: the flow, as the user names it
    :param request: the other arguments of :meth:`OktaWorkflowsSettings.build_invocation`, without the idempotency key;
        the flow is idempotent unless they say otherwise
    :param deadline: when an invocation that waits for its turn gives up, in seconds since the epoch; None for never
    """

    resources: LoopResources
    okta_workflows_conn_id: str
    runtime: Runtime
    flow: str
    request: dict[str, Any] = field(repr=False)
    deadline: float | None = None
    _last: tuple[AsyncFlowClient, Invocation] | None = field(default=None, init=False, repr=False)

    async def invoke(self, idempotency_key: str | None = None) -> FlowResponse:
        """Invoke the flow; if the connection did not work and has been changed since, invoke it a second time.

        :param idempotency_key: the idempotency key; a new one if None
        :raises OktaWorkflowsError: if the invocation did not succeed
        :raises NoTurnError: if its turn did not come before the deadline
        """
        client = await self._client()
        key = idempotency_key or self.runtime.new_id()
        try:
            with raise_provider_errors(), NoFrames():
                return await self._invoke(client, key)
        except (OktaConfigurationError, OktaFlowRefusedError):
            # Not sent, or refused before the flow ran, so another attempt is safe.
            changed = await self._client(rejected=client)
            if changed is client:
                raise
            with raise_provider_errors(), NoFrames():
                return await self._invoke(changed, key)

    async def invoke_encrypted(self, idempotency_key: str) -> str | None:
        """Invoke the flow, and return the response or error, encrypted for the worker; None if it is too large.

        :param idempotency_key: the idempotency key
        :raises OktaConfigurationError: if the connection cannot be used; nothing was sent
        """
        outcome: FlowResponse | OktaWorkflowsError
        try:
            outcome = await self.invoke(idempotency_key)
        except OktaWorkflowsError as error:
            outcome = error
        client = await self._client()
        return encrypt_result(outcome, client.settings, idempotency_key)

    async def _client(self, rejected: AsyncFlowClient | None = None) -> AsyncFlowClient:
        return await self.resources.client_for(
            self.okta_workflows_conn_id, self._read_settings, self.runtime, rejected=rejected
        )

    async def _read_settings(self) -> OktaWorkflowsSettings:
        return await FlowHook(self.okta_workflows_conn_id, runtime=self.runtime).asettings()

    def _invoke(self, client: AsyncFlowClient, idempotency_key: str) -> Coroutine[Any, Any, FlowResponse]:
        call = self._build(client, idempotency_key)
        limiter: RateLimiter | None = self.resources.limiter(call.address.url, self.runtime)
        if limiter and self.deadline is not None:
            limiter = AcquireUntil(limiter, self.deadline, self.runtime)
        return client.invoke_flow(call, limiter=limiter)

    def _build(self, client: AsyncFlowClient, idempotency_key: str) -> Invocation:
        if self._last is None or self._last[0] is not client:
            options = {"idempotent": True, **self.request}
            call = client.settings.build_invocation(self.flow, idempotency_key=idempotency_key, **options)
        else:
            # A sensor sends the same again and again, so it is checked and encoded only once.
            call = self._last[1].with_payload(self._last[1].body, idempotency_key)
        self._last = client, call
        return call
