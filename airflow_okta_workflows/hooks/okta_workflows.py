"""The hook: an Airflow connection as a way to invoke flows."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.connection import get_async_connection, get_async_extra_dejson
from airflow.providers.http.hooks.http import HttpHook

from airflow_okta_workflows.client import AsyncFlowClient, FlowClient
from airflow_okta_workflows.connection import (
    CONN_TYPE,
    DEFAULT_CONN_ID,
    FORM,
    read_connection,
)
from airflow_okta_workflows.connection_verdict import verdict_on
from airflow_okta_workflows.core.answers import error_message
from airflow_okta_workflows.core.flow_call import FlowCall
from airflow_okta_workflows.exceptions import OktaFlowFailedError, faults_as_errors
from airflow_okta_workflows.loop_share import LoopShare, loop_share
from airflow_okta_workflows.masking import amask, mask
from airflow_okta_workflows.surroundings import Surroundings
from airflow_okta_workflows.tokens.source import TokenSource, token_source_for
from airflow_okta_workflows.transport.authorized_session import AuthorizedSession
from airflow_okta_workflows.transport.requests_transport import RequestsTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests
    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.core.access_token import AccessToken
    from airflow_okta_workflows.core.answers import FlowResponse
    from airflow_okta_workflows.core.exchange import Stage
    from airflow_okta_workflows.settings import OktaWorkflowsSettings


class OktaWorkflowsHook(HttpHook):
    """Invoke OAuth 2.0 secured Okta Workflows flows.

    It is an :class:`~airflow.providers.http.hooks.http.HttpHook`, so that ``HttpOperator`` works with a connection
    of this type; no field of the connection becomes a header, no body is logged, no redirect is followed.

    :param okta_workflows_conn_id: the connection, of type Okta Workflows
    :param method: the method for :meth:`run`, as in ``HttpHook``
    :param surroundings: clock, sleep and chance, for tests
    :param http_options: what else ``HttpHook`` takes; ``auth_type`` has no effect
    """

    conn_name_attr = "okta_workflows_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "Okta Workflows"

    def __init__(
        self,
        okta_workflows_conn_id: str = DEFAULT_CONN_ID,
        method: str = "POST",
        *,
        surroundings: Surroundings | None = None,
        **http_options: Any,
    ) -> None:
        super().__init__(method=method, http_conn_id=okta_workflows_conn_id, **http_options)
        self.okta_workflows_conn_id = okta_workflows_conn_id
        self.surroundings = surroundings or Surroundings()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's own fields, for Airflow before 3.2; later ones read provider info."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import BooleanField, IntegerField, PasswordField, StringField

        widgets: dict[str, Any] = {}
        for name, form_field in FORM["conn-fields"].items():
            label, description = lazy_gettext(form_field["label"]), form_field["description"]
            schema = form_field["schema"]
            if schema.get("format") == "password":
                widgets[name] = PasswordField(label, description=description, widget=BS3PasswordFieldWidget())
            elif "boolean" in schema["type"]:
                widgets[name] = BooleanField(label, description=description)
            elif "integer" in schema["type"]:
                widgets[name] = IntegerField(label, description=description, widget=BS3TextFieldWidget())
            else:
                widgets[name] = StringField(label, description=description, widget=BS3TextFieldWidget())
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the form shows Airflow's own fields, for Airflow before 3.2; later ones read provider info."""
        behaviour = FORM["ui-field-behaviour"]
        return {
            "hidden_fields": behaviour["hidden-fields"],
            "relabeling": behaviour["relabeling"],
            "placeholders": behaviour["placeholders"],
        }

    @cached_property
    def settings(self) -> OktaWorkflowsSettings:
        """The checked connection.

        :raises OktaConfigurationError: with every fault found in it
        """
        # A function of its own, whose frame holds the connection and stays inside the boundary.
        with faults_as_errors():
            return self._read_settings()

    def _read_settings(self) -> OktaWorkflowsSettings:
        connection = self.get_connection(self.okta_workflows_conn_id)
        settings = read_connection(connection, connection.extra_dejson)
        mask(settings.secret_forms())
        return settings

    async def asettings(self) -> OktaWorkflowsSettings:
        """Return the checked connection, without blocking the event loop.

        :raises OktaConfigurationError: with every fault found in it
        """
        if "settings" not in self.__dict__:
            with faults_as_errors():
                self.__dict__["settings"] = await self._aread_settings()
        return self.settings

    async def _aread_settings(self) -> OktaWorkflowsSettings:
        connection = await get_async_connection(self.okta_workflows_conn_id, hook=self)
        settings = read_connection(connection, await get_async_extra_dejson(connection))
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
        invocation_key: str | None = None,
        idempotent: bool = False,
        timeout: float | None = None,
        on_stage: Callable[[Stage], None] | None = None,
    ) -> FlowResponse:
        """Invoke a flow and return its answer.

        It is sent again only where it cannot have run: no connection, a 401 (once, with a new token), a 429 (after
        the wait it asks for). An invocation that was sent and got no answer is sent again only with ``idempotent``.

        :param flow: a name in the connection's ``flows``, an alias, or an invoke URL
        :param payload: a JSON value, or JSON text; None for no body
        :param method: ``POST`` or ``GET``; GET carries no payload
        :param query: query parameters
        :param headers: further headers
        :param invocation_key: the ``Idempotency-Key`` header; a new UUID if None
        :param idempotent: whether running the flow twice under one key does no harm
        :param timeout: seconds that the answer may take; the connection's ``read_timeout`` if None
        :param on_stage: is told, before the invocation goes on, that it is about to be sent or has not run: for
            callers that keep a journal
        :raises OktaConfigurationError: if the connection or an argument cannot work; nothing was sent
        :raises OktaTokenError: if the org gives no token; the flow was not invoked
        :raises OktaFlowError: if the invocation did not succeed; the class says how far it got
        """
        with faults_as_errors():
            call = self.flow_call(
                flow,
                payload,
                method=method,
                query=query,
                headers=headers,
                invocation_key=invocation_key,
                idempotent=idempotent,
                timeout=timeout,
            )
            self._log_call(call)
            response = self._client.invoke_flow(call, on_stage)
        self._log_answer(call, response)
        return response

    async def ainvoke(
        self,
        flow: str,
        payload: Any = None,
        *,
        method: str = "POST",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        invocation_key: str | None = None,
        idempotent: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109  # the answer's time, as in invoke
    ) -> FlowResponse:
        """Invoke a flow on an event loop and return its answer; as :meth:`invoke` in everything else."""
        await self.asettings()
        with faults_as_errors():
            call = self.flow_call(
                flow,
                payload,
                method=method,
                query=query,
                headers=headers,
                invocation_key=invocation_key,
                idempotent=idempotent,
                timeout=timeout,
            )
            self._log_call(call)
            async with loop_share() as share:
                response = await self.aclient(share).invoke_flow(call)
        self._log_answer(call, response)
        return response

    def idempotency_key(self, context: Context) -> str:
        """Return the idempotency key that an operator would use in a task, for one that calls the hook itself.

        It is the same over retries of the task, whatever is deployed between them, and new for each clearing that
        Airflow lets a task see. On Airflow 3.3 it is noted in the task state store. Several invocations in one task
        need a key each: append to it what tells them apart.

        :param context: the task's context
        :raises OktaFlowOutcomeUnknownError: if an earlier try noted something that this version cannot read
        """
        from airflow_okta_workflows.checkpoints.invocation import noted_key

        return noted_key(context)

    def get_access_token(self) -> AccessToken:
        """Return an access token that is good now, from this process's cache or from the org.

        :raises OktaConfigurationError: if the connection cannot work
        :raises OktaTokenError: if the org gives none
        """
        with faults_as_errors():
            return self._client.access_token()

    async def aget_access_token(self) -> AccessToken:
        """Return an access token on an event loop; as :meth:`get_access_token` in everything else."""
        await self.asettings()
        with faults_as_errors():
            async with loop_share() as share:
                return await self.aclient(share).access_token()

    def get_conn(
        self,
        headers: dict[Any, Any] | None = None,
        extra_options: dict[str, Any] | None = None,
    ) -> requests.Session:
        """Return a session that carries the org's token, and only to hosts that may have it.

        :param headers: headers for all its requests
        :param extra_options: options of :meth:`run`; time-outs and ``check_response`` are honoured, not what
            would weaken TLS or follow a redirect
        :raises OktaConfigurationError: if the connection cannot work
        """
        settings = self.settings
        self.base_url, self._base_url_initialized = settings.workflows.url, True
        self.merged_extra = dict(extra_options or {})
        session = AuthorizedSession(
            settings,
            get_token=lambda: self.get_access_token().value,
            drop_token=self._tokens.drop,
        )
        session.headers.update(headers or {})
        return session

    def url_from_endpoint(self, endpoint: str | None) -> str:
        """Return the URL of an endpoint of the org's workflows host.

        :param endpoint: a path, such as ``/api/flo/<alias>/invoke``
        """
        return f"{self.settings.workflows.url}/{(endpoint or '').lstrip('/')}"

    def check_response(self, response: requests.Response) -> None:
        """Raise for a 4xx or 5xx; the body is not logged.

        :param response: the answer
        :raises OktaFlowFailedError: with the status, and the flow's own message if there is one
        """
        if response.status_code < 400:
            return
        try:
            said = error_message(response.json())
        except ValueError:
            said = ""
        raise OktaFlowFailedError(
            f"{response.url.partition('?')[0]} answered {response.status_code}" + (f": {said!r}." if said else ".")
        )

    def test_connection(self) -> tuple[bool, str]:
        """Ask the org for a token and for its own name, and invoke nothing: a verdict for the form's Test button.

        :return: whether it worked, and a text of at most 2,000 characters
        """
        with faults_as_errors():
            return verdict_on(lambda: self.settings, self.surroundings)

    def close(self) -> None:
        """Close the connections that :meth:`invoke` keeps open."""
        if "_client" in self.__dict__:
            self.__dict__.pop("_client").close()

    @cached_property
    def _client(self) -> FlowClient:
        settings = self.settings
        return FlowClient(settings, self._tokens, RequestsTransport(settings), self.surroundings)

    @cached_property
    def _tokens(self) -> TokenSource:
        with faults_as_errors():
            return token_source_for(self.settings)

    def flow_call(
        self,
        flow: str,
        payload: Any = None,
        *,
        method: str = "POST",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        invocation_key: str | None = None,
        idempotent: bool = False,
        timeout: float | None = None,
    ) -> FlowCall:
        """Check and encode an invocation, and send nothing; the parameters are those of :meth:`invoke`.

        :raises Fault: if the connection or an argument cannot work
        """
        return FlowCall.of(
            self.settings.find_flow(flow),
            payload,
            method=method,
            query=query,
            headers=headers,
            invocation_key=invocation_key or str(uuid.uuid4()),
            idempotent=idempotent,
            rate_limit_wait=self.settings.rate_limit_wait,
            read_timeout=timeout,
        )

    def aclient(self, share: LoopShare) -> AsyncFlowClient:
        """Return a client for many invocations on an event loop; :meth:`asettings` has been awaited before.

        :param share: what is shared on the loop
        """
        return AsyncFlowClient(self.settings, self._tokens, share.transport(self.settings), self.surroundings)

    def _log_call(self, call: FlowCall) -> None:
        self.log.info(
            "Invoking flow %r at %s, invocation key %s",
            call.address.name,
            call.address.origin.netloc,
            call.invocation_key,
        )

    def _log_answer(self, call: FlowCall, response: FlowResponse) -> None:
        self.log.info(
            "Flow %r answered %d in %.2f s, execution %s",
            call.address.name,
            response.status_code,
            response.elapsed,
            response.execution_id or "not told",
        )
