"""A requests session that sends the org's token, and only to allowed hosts."""

from __future__ import annotations

from collections.abc import Callable
from http.client import responses
from io import BytesIO
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import HTTPHeaderDict, HTTPResponse, Timeout

from airflow_okta_workflows.core.addresses import parse_origin, require_allowed
from airflow_okta_workflows.core.flows.hints import RESPONSE_REDIRECTED
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.http.hints import transport_hint
from airflow_okta_workflows.core.http.types import FailureKind, Headers, HttpRequest, TransportFailure
from airflow_okta_workflows.core.secret import public_part
from airflow_okta_workflows.exceptions import OktaFlowResponseError, raise_provider_errors
from airflow_okta_workflows.transport.failures import TIMED_OUT
from airflow_okta_workflows.transport.h11_transport import H11Transport
from airflow_okta_workflows.transport.network import BASE_HEADERS

if TYPE_CHECKING:
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.oauth.flow_auth import FlowAuth


Authorize = Callable[[HttpRequest, "FlowAuth", bool], HttpRequest]
"""Function that returns a request with its authorization; the last argument: whether 401 rejected the previous one."""


class _FlowAuth(AuthBase):
    """Authorization of requests, if their host is allowed."""

    def __init__(self, settings: OktaWorkflowsSettings, new_auth: Callable[[], FlowAuth], authorize: Authorize) -> None:
        self.rejected = False
        """Whether the last request was rejected with 401."""
        self._settings = settings
        self._new_auth = new_auth
        self._authorize = authorize
        self._auth = new_auth()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        require_allowed(parse_origin(request.url or "", "the request's URL"), self._settings.allowed)
        rejected, self.rejected = self.rejected, False
        # Credentials expire, so each request gets a new FlowAuth; after a 401 the last one knows what was rejected.
        self._auth = self._auth if rejected else self._new_auth()
        bare = HttpRequest(request.method or "GET", request.url or "", {})
        authorized = self._authorize(bare, self._auth, rejected)
        request.headers.update(authorized.headers)
        return request


class _Adapter(HTTPAdapter):
    """Adapter that sends a session's requests over :class:`H11Transport`, with its proxy, TLS trust and deadlines.

    :param settings: the connection
    """

    def __init__(self, settings: OktaWorkflowsSettings) -> None:
        super().__init__()
        self._transport = H11Transport(settings)

    def send(self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        """Send a prepared request once, and return its whole response.

        :param request: the request
        :param timeout: seconds to connect and seconds that the response may take, as a pair; a single number for both
        :raises requests.RequestException: if there is no readable response
        """
        if isinstance(timeout, Timeout):
            timeout = (timeout.connect_timeout, timeout.read_timeout)
        connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        response = self._transport.send(
            HttpRequest(request.method or "GET", request.url or "", _headers(request), _body(request), read),
            connect_timeout=connect,
        )
        if isinstance(response, TransportFailure):
            raise _exception_of(response, request)
        if response.unreadable:
            raise requests.exceptions.ContentDecodingError(response.unreadable, request=request)
        # The body is complete and decoded.
        decoded = {n: v for n, v in response.headers.items() if n.lower() not in {*_FRAMING, "content-encoding"}}
        headers = HTTPHeaderDict(decoded)
        reason = responses.get(response.status)
        raw = HTTPResponse(BytesIO(response.body), headers, response.status, reason=reason, preload_content=False)
        return self.build_response(request, raw)

    def close(self) -> None:
        """Close the kept connections."""
        super().close()
        self._transport.close()


_FRAMING = frozenset({"content-length", "transfer-encoding"})


def _headers(request: requests.PreparedRequest) -> dict[str, str]:
    headers: dict[str, Any] = dict(request.headers)
    texts = {n: v.decode("latin-1") if isinstance(v, bytes) else str(v) for n, v in headers.items()}
    return {name: value for name, value in texts.items() if name.lower() not in _FRAMING}


def _body(request: requests.PreparedRequest) -> bytes | None:
    body: Any = request.body
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    # requests would send these in pieces: a file, or an iterable of bytes.
    return bytes(body.read()) if hasattr(body, "read") else b"".join(body)


def _exception_of(failure: TransportFailure, request: requests.PreparedRequest) -> requests.RequestException:
    if failure.kind is FailureKind.UNTRUSTED:
        return requests.exceptions.SSLError(f"{failure.detail}. {transport_hint(failure)}", request=request)
    if TIMED_OUT not in failure.detail:
        return requests.ConnectionError(failure.detail, request=request)
    kind = requests.ConnectTimeout if failure.kind is FailureKind.NOT_SENT else requests.ReadTimeout
    return kind(failure.detail, request=request)


class AuthorizedSession(requests.Session):
    """The session that :meth:`OktaWorkflowsHook.get_conn` returns.

    It obtains the token when a request is prepared, sends each request once, follows no redirect, uses the
    connection's time-outs, TLS trust and proxy, reads no ``.netrc`` and keeps no cookie. A host that is not
    allowed raises :class:`~airflow_okta_workflows.exceptions.OktaConfigurationError`.

    :param settings: the connection
    :param new_auth: returns the authorization of one request
    :param authorize: performs that authorization
    """

    def __init__(self, settings: OktaWorkflowsSettings, new_auth: Callable[[], FlowAuth], authorize: Authorize) -> None:
        super().__init__()
        self.trust_env = False
        self.auth = self._flow_auth = _FlowAuth(settings, new_auth, authorize)
        self.headers.update(BASE_HEADERS)
        adapter = _Adapter(settings)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Return a request with all that is to be sent, its authorization included.

        :param request: the request
        :raises OktaConfigurationError: if its host is not allowed
        :raises OktaTokenError: if no token could be obtained
        """
        # requests goes on with the headers after it has called _FlowAuth, in frames that show them.
        with raise_provider_errors(), NoFrames():
            return super().prepare_request(request)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request, within the connection's time-outs.

        :param request: the request, as :meth:`prepare_request` made it
        :raises OktaFlowResponseError: for a redirect
        """
        kwargs["allow_redirects"] = False
        with raise_provider_errors(), NoFrames():
            response = self._send(request, kwargs)
        self.cookies.clear()
        if response.is_redirect:
            raise OktaFlowResponseError(
                f"{public_part(request.url or '')} returned {response.status_code}, a redirect.",
                hint=RESPONSE_REDIRECTED,
                response=FlowResponse(response.status_code, Headers(response.headers), None, None, 0.0),
            )
        if response.status_code == 401:
            self._flow_auth.rejected = True
        return response

    def _send(self, request: requests.PreparedRequest, options: dict[str, Any]) -> requests.Response:
        try:
            return super().send(request, **options)
        except requests.RequestException as error:
            # The error carries the request, and the request the token.
            error.request = None
            raise
