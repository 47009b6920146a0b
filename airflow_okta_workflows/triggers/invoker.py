"""A flow as triggers invoke it: over what the loop shares, at the flow's pace, with credentials of today."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowRefusedError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.hooks.flow_hook import FlowHook
from airflow_okta_workflows.triggers.encrypted_result import encrypt_result

if TYPE_CHECKING:
    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.client.loop_resources import LoopResources
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.runtime import Runtime


@dataclass
class TriggererInvoker:
    """One flow as a trigger invokes it, as often as needed.

    :param resources: what the loop shares; the caller holds it for as long as this is used
    :param okta_workflows_conn_id: the connection
    :param runtime: clock and sleep
    :param flow: the flow, as the user names it
    :param request: the other arguments of :meth:`OktaWorkflowsSettings.build_invocation`, but for the idempotency key
    """

    resources: LoopResources
    okta_workflows_conn_id: str
    runtime: Runtime
    flow: str
    request: dict[str, Any] = field(repr=False)

    async def invoke(self, idempotency_key: str | None = None) -> FlowResponse:
        """Invoke it once, and once more where the connection was of no use and has been changed since.

        :param idempotency_key: the idempotency key; a new one if None
        :raises OktaWorkflowsError: if it did not succeed
        """
        client = await self._client()
        key = idempotency_key or self.runtime.new_id()
        try:
            return await self._invoke(client, key)
        except (OktaConfigurationError, OktaFlowRefusedError):
            # Not sent, or refused before running, so another attempt is safe.
            changed = await self._client(rejected=client)
            if changed is client:
                raise
            return await self._invoke(changed, key)

    async def invoke_encrypted(self, idempotency_key: str) -> str | None:
        """Invoke it and return the outcome, response or error, as only a worker can open it; None if it is too large.

        :param idempotency_key: the idempotency key
        :raises OktaConfigurationError: if the connection cannot be used: then nothing was sent
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

    async def _invoke(self, client: AsyncFlowClient, idempotency_key: str) -> FlowResponse:
        with raise_provider_errors():
            call = client.settings.build_invocation(
                self.flow, idempotency_key=idempotency_key, idempotent=True, **self.request
            )
            limiter = self.resources.limiter(call.address.url, self.runtime)
            return await client.invoke_flow(call, limiter=limiter)
