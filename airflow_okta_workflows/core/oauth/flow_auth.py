"""Authorization of requests to a flow.

Flows are secured with OAuth 2.0. To authorize requests in another way, implement :class:`FlowAuth` and return it from
``OktaWorkflowsSettings.flow_auth``; the retry rules, the clients and the hook stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airflow_okta_workflows.core.http.types import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.oauth.access_token import AccessToken
    from airflow_okta_workflows.core.protocol import Conversation


class FlowAuth(Protocol):
    """The authorization of one invocation, over all its attempts."""

    def authorize(self, request: HttpRequest, *, rejected: bool = False) -> Conversation[HttpRequest]:
        """Return a request with credentials.

        :param request: the request from :attr:`~Invocation.http_request` or from an earlier call
        :param rejected: whether the flow's host refused the previous request with 401, so new credentials are needed
        :raises CoreError: if no credentials can be obtained
        """

    @property
    def secrets(self) -> tuple[str, ...]:
        """Credentials to redact wherever a response echoes them."""


class BearerAuth:
    """Authorization by an access token (RFC 6750, section 2.1).

    :param obtain_token: returns the conversation that obtains a token; its argument is the value of a token that the
        flow's host rejected, which must not be returned again, or None
    """

    def __init__(self, obtain_token: Callable[[str | None], Conversation[AccessToken]]) -> None:
        self._obtain_token = obtain_token
        self._token: str | None = None

    def authorize(self, request: HttpRequest, *, rejected: bool = False) -> Conversation[HttpRequest]:
        """Return a request with the token in its ``Authorization`` header; see :class:`FlowAuth`."""
        if self._token is None or rejected:
            token = yield from self._obtain_token(self._token)
            self._token = token.value
        return authorized(request, self._token)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The token, once there is one."""
        return (self._token,) if self._token else ()


def authorized(request: HttpRequest, token: str) -> HttpRequest:
    """Return a request with an access token.

    :param request: the request
    :param token: the token
    """
    headers = {**request.headers, "Authorization": f"Bearer {token}"}
    return HttpRequest(request.method, request.url, headers, request.body, request.read_timeout)
