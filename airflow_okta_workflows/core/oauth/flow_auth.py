"""The seam for authorization: how a request to a flow shows that its caller may invoke it.

A flow is secured with OAuth 2.0 here. Another way is another class with these methods, chosen by
``OktaWorkflowsSettings.flow_auth``; the rules for retries, the clients and the hook stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.http.types import HttpRequest
    from airflow_okta_workflows.core.oauth.access_token import AccessToken
    from airflow_okta_workflows.core.protocol import Conversation


class FlowAuth(Protocol):
    """The authorization of one invocation, over all its attempts."""

    def authorize(self, request: HttpRequest, *, rejected: bool = False) -> Conversation[HttpRequest]:
        """Return a request with what authorizes it.

        :param request: the request, as :attr:`~Invocation.http_request` or an earlier call gave it
        :param rejected: whether the flow's host refused the last one with 401, so that other credentials are needed
        :raises CoreError: if there are none
        """

    @property
    def secrets(self) -> tuple[str, ...]:
        """What a response must not echo."""


class BearerAuth:
    """Authorization by an access token (RFC 6750, section 2.1).

    :param obtain_token: begins the conversation that brings a token, given the text of a token that a flow's host
        rejected, which must not come back
    """

    def __init__(self, obtain_token: Callable[[str | None], Conversation[AccessToken]]) -> None:
        self._obtain_token = obtain_token
        self._token: str | None = None

    def authorize(self, request: HttpRequest, *, rejected: bool = False) -> Conversation[HttpRequest]:
        """Return a request with the token in its ``Authorization`` header; see :class:`FlowAuth`."""
        if self._token is None or rejected:
            token = yield from self._obtain_token(self._token)
            self._token = token.value
        return replace(request, headers={**request.headers, "Authorization": f"Bearer {self._token}"})

    @property
    def secrets(self) -> tuple[str, ...]:
        """The token."""
        return (self._token,) if self._token else ()
