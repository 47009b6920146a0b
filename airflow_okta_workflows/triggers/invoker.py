"""A flow as triggers invoke it: over what the loop shares, at the flow's pace, with credentials of today."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowRefusedError,
    OktaWorkflowsError,
    faults_as_errors,
)
from airflow_okta_workflows.hooks.flow_hook import FlowHook
from airflow_okta_workflows.triggers.encrypted_result import seal_outcome

if TYPE_CHECKING:
    from airflow_okta_workflows.client.loop_resources import LoopShare
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.runtime import Surroundings


@dataclass
class SharedFlow:
    """Invoke one flow from a trigger, as often as needed.

    :param share: what the loop shares; the caller holds it for as long as this is used
    :param okta_workflows_conn_id: the connection
    :param surroundings: clock and sleep
    :param flow: the flow, as the user names it
    :param request: the other arguments of :meth:`FlowHook.flow_call`, but for the invocation key
    """

    share: LoopShare
    okta_workflows_conn_id: str
    surroundings: Surroundings
    flow: str
    request: dict[str, Any] = field(repr=False)

    async def invoke(self, invocation_key: str | None = None) -> FlowResponse:
        """Invoke it once, and once more where the connection was of no use and has been changed since.

        :param invocation_key: the idempotency key; a new one if None
        :raises OktaWorkflowsError: if it did not succeed
        """
        hook = await self.share.hook(self.okta_workflows_conn_id, self._open_hook)
        key = invocation_key or str(uuid.uuid4())
        try:
            return await self._invoke(hook, key)
        except (OktaConfigurationError, OktaFlowRefusedError):
            # Not sent, or refused before running, so another attempt is safe.
            changed = await self.share.hook(self.okta_workflows_conn_id, self._open_hook, refused=hook)
            if changed is hook:
                raise
            return await self._invoke(changed, key)

    async def invoke_sealed(self, invocation_key: str) -> str | None:
        """Invoke it and return the outcome, answer or error, as only a worker can open it; None if it is too large.

        :param invocation_key: the idempotency key
        :raises OktaConfigurationError: if the connection cannot be used: then nothing was sent
        """
        outcome: FlowResponse | OktaWorkflowsError
        try:
            outcome = await self.invoke(invocation_key)
        except OktaWorkflowsError as error:
            outcome = error
        hook = await self.share.hook(self.okta_workflows_conn_id, self._open_hook)
        return seal_outcome(outcome, hook.settings, invocation_key)

    async def _invoke(self, hook: FlowHook, invocation_key: str) -> FlowResponse:
        with faults_as_errors():
            call = hook.flow_call(self.flow, invocation_key=invocation_key, idempotent=True, **self.request)
            gate = self.share.gate(call.address.url, self.surroundings)
            return await hook.aclient(self.share).invoke_flow(call, gate=gate)

    def _open_hook(self) -> FlowHook:
        return FlowHook(self.okta_workflows_conn_id, surroundings=self.surroundings)
