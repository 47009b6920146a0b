"""Public hook, which invokes flows and is an ``HttpHook``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.http.hooks.http import HttpHook

from airflow_okta_workflows.connection.fields import CONN_TYPE, FORM
from airflow_okta_workflows.connection.reader import DEFAULT_CONN_ID
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.http.messages import error_message
from airflow_okta_workflows.core.secret import public_part
from airflow_okta_workflows.exceptions import OktaFlowFailedError, raise_provider_errors
from airflow_okta_workflows.hooks.flow_hook import FlowHook

if TYPE_CHECKING:
    import requests

    from airflow_okta_workflows.core.runtime import Runtime


class OktaWorkflowsHook(FlowHook, HttpHook):
    """Hook that invokes OAuth 2.0 secured Okta Workflows flows.

    It is an :class:`~airflow.providers.http.hooks.http.HttpHook`, so that ``HttpOperator`` works with a connection
    of this type. No field of the connection becomes a header, no body is logged, and no redirect is followed.

    :param okta_workflows_conn_id: the connection, of type Okta Workflows
    :param method: the method for :meth:`run`, as in ``HttpHook``
    :param runtime: clock, sleep, randomness and ids, for tests
    :param http_options: other arguments of ``HttpHook``; ``auth_type`` has no effect
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
        runtime: Runtime | None = None,
        **http_options: Any,
    ) -> None:
        super().__init__(
            okta_workflows_conn_id,
            runtime=runtime,
            method=method,
            http_conn_id=okta_workflows_conn_id,
            **http_options,
        )

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the custom fields of the connection form, for Airflow before 3.2; newer ones read provider info."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import BooleanField, IntegerField, PasswordField, StringField
        from wtforms.validators import Optional

        widgets: dict[str, Any] = {}
        for name, form_field in FORM["conn-fields"].items():
            label, description = lazy_gettext(form_field["label"]), form_field["description"]
            schema = form_field["schema"]
            if schema.get("format") == "password":
                widgets[name] = PasswordField(label, description=description, widget=BS3PasswordFieldWidget())
            elif "boolean" in schema["type"]:
                widgets[name] = BooleanField(label, description=description, default=schema["default"])
            elif "integer" in schema["type"]:
                # Without the validator, Airflow 2.11 does not save a form in which the field is empty.
                options = {"validators": [Optional()], "widget": BS3TextFieldWidget()}
                widgets[name] = IntegerField(label, description=description, **options)
            else:
                widgets[name] = StringField(label, description=description, widget=BS3TextFieldWidget())
        return widgets

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the form shows Airflow's own fields, for Airflow before 3.2; newer ones read provider info."""
        behaviour = FORM["ui-field-behaviour"]
        return {
            "hidden_fields": behaviour["hidden-fields"],
            "relabeling": behaviour["relabeling"],
            "placeholders": behaviour["placeholders"],
        }

    def get_conn(
        self,
        headers: dict[Any, Any] | None = None,
        extra_options: dict[str, Any] | None = None,
    ) -> requests.Session:
        """Return a session that sends the org's access token, and only to hosts that may receive it.

        :param headers: headers for all its requests
        :param extra_options: options of :meth:`run`; timeouts and ``check_response`` take effect, options that would
            weaken TLS or follow a redirect do not
        :raises OktaConfigurationError: if the connection cannot work
        """
        from airflow_okta_workflows.transport.authorized_session import AuthorizedSession

        settings = self.settings
        self.base_url, self._base_url_initialized = settings.workflows.url, True
        self.merged_extra = dict(extra_options or {})
        session = AuthorizedSession(settings, self._client.flow_auth, self._client.authorize)
        session.headers.update(headers or {})
        return session

    def url_from_endpoint(self, endpoint: str | None) -> str:
        """Return the URL of an endpoint of the org's workflows host.

        :param endpoint: a path, such as ``/api/flo/<alias>/invoke``
        """
        return f"{self.settings.workflows.url}/{(endpoint or '').lstrip('/')}"

    def check_response(self, response: requests.Response) -> None:
        """Raise for a 4xx or 5xx response, without logging its body.

        :param response: the response
        :raises OktaFlowFailedError: with the status, and the flow's own message if there is one
        """
        if response.status_code < 400:
            return
        try:
            said = error_message(response.json())
        except ValueError:
            said = ""
        raise OktaFlowFailedError(
            f"{public_part(response.url)} returned {response.status_code}" + (f": {said!r}." if said else ".")
        )

    def test_connection(self) -> tuple[bool, str]:
        """Check the connection for the form's Test button: get a token and the org's own name, but invoke no flow.

        :return: whether it worked, and a summary of at most 2,000 characters
        """
        from airflow_okta_workflows.diagnostics import check_connection, summary

        steps = check_connection(lambda: self.settings, self.runtime)
        with raise_provider_errors(), NoFrames(), closing(steps):
            return summary(steps)
