"""Base hook, without Airflow's ``HttpHook``.

The operators and the sensor use this hook. :class:`~airflow_okta_workflows.hooks.okta_workflows.OktaWorkflowsHook` is
also an ``HttpHook``, whose import takes a task process longer than an invocation.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from airflow.providers.common.compat.sdk import BaseHook

from airflow_okta_workflows.client.log_masking import amask, mask
from airflow_okta_workflows.connection.reader import DEFAULT_CONN_ID, explain_lookup, parse_connection
from airflow_okta_workflows.core.flows.invocation import InvocationOptions
from airflow_okta_workflows.core.forking import cached_property
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.exceptions import raise_provider_errors
from airflow_okta_workflows.tokens.source import TokenSource, token_source_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.client.loop_resources import LoopResources
    from airflow_okta_workflows.client.sync_client import FlowClient
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.flows.invocation import Invocation
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.oauth.access_token import AccessToken
    from airflow_okta_workflows.core.protocol import InvocationState


class FlowHook(BaseHook):
    """Hook that invokes OAuth 2.0 secured Okta Workflows flows.

    :param okta_workflows_conn_id: the connection, of type Okta Workflows
    :param runtime: clock, sleep, randomness and ids, for tests
    """

    def __init__(
        self,
        okta_workflows_conn_id: str = DEFAULT_CONN_ID,
        *,
        runtime: Runtime | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.okta_workflows_conn_id = okta_workflows_conn_id
        self.runtime = runtime or Runtime()

    @cached_property
    def settings(self) -> OktaWorkflowsSettings:
        """The validated connection.

        :raises OktaConfigurationError: with every problem found in it
        """
        # In a separate function: raise_provider_errors() removes its frame, which refers to the connection's secrets.
        with raise_provider_errors(), NoFrames():
            return self._read_settings()

    def _read_settings(self) -> OktaWorkflowsSettings:
        with explain_lookup(self.okta_workflows_conn_id):
            connection = self.get_connection(self.okta_workflows_conn_id)
        settings = parse_connection(connection, connection.extra_dejson)
        mask(settings.secret_forms())
        return settings

    async def asettings(self) -> OktaWorkflowsSettings:
        """Return the validated connection, without blocking the event loop.

        :raises OktaConfigurationError: with every problem found in it
        """
        if "settings" not in self.__dict__:
            with raise_provider_errors(), NoFrames():
                self.__dict__["settings"] = await self._aread_settings()
        return self.settings

    async def _aread_settings(self) -> OktaWorkflowsSettings:
        from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson

        with explain_lookup(self.okta_workflows_conn_id):
            connection = await get_async_connection(self.okta_workflows_conn_id, hook=self)
        extra = await get_async_extra_dejson(connection)
        # In a thread, because it may read a key file, and parses the key to explain an error.
        settings = await asyncio.to_thread(parse_connection, connection, extra)
        await amask(settings.secret_forms())
        return settings

    def invoke(
        self,
        flow: str,
        payload: Any = None,
        *,
        method: str = "POST",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        idempotent: bool = False,
        timeout: float | timedelta | None = None,
        on_state: Callable[[InvocationState], None] | None = None,
    ) -> FlowResponse:
        """Invoke a flow and return its response.

        The invocation is sent again only if the flow cannot have run: no connection, a 401 (once, with a new token), or
        a 429 (after the wait that it requests). With ``idempotent`` it is also sent again if there was no response.

        :param flow: a name in the connection's ``flows``, an alias, or an invoke URL
        :param payload: a JSON value, or a string of JSON; None for no body
        :param method: ``POST`` or ``GET``; GET takes no payload
        :param query: query parameters
        :param headers: further headers
        :param idempotency_key: the ``Idempotency-Key`` header; a new UUID if None
        :param idempotent: whether running the flow twice under one idempotency key is harmless
        :param timeout: time limit for the response, in seconds or as a ``timedelta``; the connection's
            ``read_timeout`` if None
        :param on_state: called with the state each time the invocation is about to be sent or has not run, before it
            continues, so that the caller can write a checkpoint
        :raises OktaConfigurationError: if the connection or an argument cannot work; nothing was sent
        :raises OktaTokenError: if the org grants no token; the flow was not invoked
        :raises OktaFlowError: if the invocation did not succeed; the class says how far it got
        """
        options = InvocationOptions(method=method, query=query, headers=headers, idempotent=idempotent, timeout=timeout)
        with raise_provider_errors(), NoFrames():
            call = self._build(flow, payload, idempotency_key, options)
            response = self._client.invoke_flow(call, on_state)
        self._log_response(call, response)
        return response

    async def ainvoke(
        self,
        flow: str,
        payload: Any = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[InvocationOptions],
    ) -> FlowResponse:
        """Invoke a flow on an event loop and return its response; parameters and errors are those of :meth:`invoke`."""
        from airflow_okta_workflows.client.loop_resources import loop_resources

        await self.asettings()
        with raise_provider_errors(), NoFrames(), self.runtime.stop.heeding_sigterm():
            call = self._build(flow, payload, idempotency_key, options)
            async with loop_resources() as resources:
                limiter = resources.limiter(call.address.url, self.runtime)
                response = await self._aclient(resources).invoke_flow(call, limiter=limiter)
        self._log_response(call, response)
        return response

    def idempotency_key(self, context: Context) -> str:
        """Return the idempotency key that an operator would use, for a task that calls the hook itself.

        The key is the same for all retries of the task, whatever is deployed between them, and new each time the task
        is cleared, where Airflow lets a task detect that. On Airflow 3.3 it is stored in the task state store. Several
        invocations in one task need different keys: append to this key what distinguishes them.

        :param context: the task's context
        :raises OktaFlowOutcomeUnknownError: if an earlier try left a checkpoint that this version cannot read
        """
        from airflow_okta_workflows.checkpoints.invocation import checkpointed_key

        return checkpointed_key(context)

    def get_access_token(self) -> AccessToken:
        """Return an access token that is valid now, from a cache or from the org.

        :raises OktaConfigurationError: if the connection cannot work
        :raises OktaTokenError: if the org grants no token
        """
        with raise_provider_errors(), NoFrames():
            return self._client.access_token()

    async def aget_access_token(self) -> AccessToken:
        """Return an access token on an event loop; otherwise the same as :meth:`get_access_token`."""
        from airflow_okta_workflows.client.loop_resources import loop_resources

        await self.asettings()
        with raise_provider_errors(), NoFrames(), self.runtime.stop.heeding_sigterm():
            async with loop_resources() as resources:
                return await self._aclient(resources).access_token()

    def without_stop(self) -> FlowHook:
        """Return a hook of the same connection that sends even though the task was stopped."""
        hook = FlowHook(self.okta_workflows_conn_id)
        hook.__dict__["settings"] = self.settings
        return hook

    def limit_times(self, **most: float) -> OktaWorkflowsSettings:
        """Lower time limits of the connection for this hook, and return its settings, which must have been read.

        :param most: the highest values, in seconds, by the names of the settings
        """
        limits: dict[str, Any] = {name: min(getattr(self.settings, name), value) for name, value in most.items()}
        settings = self.__dict__["settings"] = replace(self.settings, **limits)
        return settings

    def close(self) -> None:
        """Close the connections that :meth:`invoke` keeps open."""
        if "_client" in self.__dict__:
            self.__dict__.pop("_client").close()

    @cached_property
    def _client(self) -> FlowClient:
        from airflow_okta_workflows.client.sync_client import FlowClient
        from airflow_okta_workflows.transport.h11_transport import H11Transport

        settings = self.settings
        return FlowClient(settings, self._tokens, H11Transport(settings), self.runtime)

    @cached_property
    def _tokens(self) -> TokenSource:
        with raise_provider_errors(), NoFrames():
            return token_source_for(self.settings)

    def _aclient(self, resources: LoopResources) -> AsyncFlowClient:
        return resources.client(self.settings, self._tokens, self.runtime)

    def _build(self, flow: str, payload: Any, idempotency_key: str | None, options: InvocationOptions) -> Invocation:
        key = idempotency_key or self.runtime.new_id()
        call = self.settings.build_invocation(flow, payload, idempotency_key=key, **options)
        self.log.info("Invoking flow %r at %s, idempotency key %s", call.address.name, call.address.origin.netloc, key)
        return call

    def _log_response(self, call: Invocation, response: FlowResponse) -> None:
        self.log.info("Flow %r %s", call.address.name, response.summary)
