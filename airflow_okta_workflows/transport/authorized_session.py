"""A requests session that carries the org's token, and only to hosts that may have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from requests.auth import AuthBase

from airflow_okta_workflows.core.addresses import read_origin, require_allowed
from airflow_okta_workflows.core.answers import FlowResponse
from airflow_okta_workflows.core.exchange import Headers
from airflow_okta_workflows.core.refusals import ANSWER_REDIRECTED
from airflow_okta_workflows.core.secret import public_part
from airflow_okta_workflows.exceptions import OktaFlowAnswerError, faults_as_errors
from airflow_okta_workflows.transport.network import BASE_HEADERS, ca_bundle, proxy_for
from airflow_okta_workflows.transport.requests_transport import OneShotAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.settings import OktaWorkflowsSettings


class _BearerAuth(AuthBase):
    """Put the token into a request, if its host may have it."""

    def __init__(self, settings: OktaWorkflowsSettings, get_token: Callable[[], str]) -> None:
        self._settings = settings
        self._get_token = get_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with faults_as_errors():
            require_allowed(read_origin(request.url or "", "the request's URL"), self._settings.allowed)
            request.headers["Authorization"] = f"Bearer {self._get_token()}"
        return request


class AuthorizedSession(requests.Session):
    """Be the session that :meth:`OktaWorkflowsHook.get_conn` gives.

    It asks for the token when a request is prepared, sends each request once, follows no redirect, has the
    connection's time-outs, TLS trust and proxy, reads no ``.netrc`` and keeps no cookie. A host that is not
    allowed is an :class:`~airflow_okta_workflows.exceptions.OktaConfigurationError`.

    :param settings: the connection
    :param get_token: gives the text of an access token that is good now
    :param drop_token: is told the text of a token that a host answered 401 to
    """

    def __init__(
        self,
        settings: OktaWorkflowsSettings,
        get_token: Callable[[], str],
        drop_token: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._settings = settings
        self._drop_token = drop_token
        self.trust_env = False
        self.verify = ca_bundle(settings)
        self.auth = _BearerAuth(settings, get_token)
        self.headers.update(BASE_HEADERS)
        self.mount("https://", OneShotAdapter())
        self.mount("http://", OneShotAdapter())

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request, within the connection's time-outs.

        :param request: the request, as :meth:`prepare_request` made it
        :raises OktaFlowAnswerError: for a redirect
        """
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (self._settings.connect_timeout, self._settings.read_timeout)
        kwargs["verify"] = self.verify
        if proxy := proxy_for(request.url or "", self._settings):
            kwargs["proxies"] = {"http": proxy, "https": proxy}
        kwargs["allow_redirects"] = False
        with faults_as_errors():
            response = self._send(request, kwargs)
        self.cookies.clear()
        if response.is_redirect:
            raise OktaFlowAnswerError(
                f"{public_part(request.url or '')} answered {response.status_code}, a redirect. {ANSWER_REDIRECTED}",
                hint=ANSWER_REDIRECTED,
                response=FlowResponse(response.status_code, Headers(response.headers), None, None, 0.0),
            )
        if response.status_code == 401:
            self._drop_token(str(request.headers.get("Authorization", "")).removeprefix("Bearer "))
        return response

    def _send(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        try:
            return super().send(request, **options)
        except requests.RequestException as error:
            # It carries the request, and that the token.
            error.request = None
            raise
