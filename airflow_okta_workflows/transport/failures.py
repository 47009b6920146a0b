"""Failures of requests: how far they got, in the words that both transports use."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.http.hints import CLIENT_CERTIFICATE, PROXY_REFUSED
from airflow_okta_workflows.core.http.types import FailureKind, TransportFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_okta_workflows.core.errors import CoreError
    from airflow_okta_workflows.core.http.proxies import Proxy
    from airflow_okta_workflows.core.http.types import HttpResponse

TIMED_OUT = "it took too long"
CUT_OFF = "the response was cut off"
CLOSED = "the connection was closed without a response"
NOT_HTTP = "the response is not HTTP"
HEAD_TOO_LARGE = "the head of the response is too large"

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the name cannot be resolved"),
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was reset"),
    (TimeoutError, TIMED_OUT),
    (ssl.SSLError, "the TLS handshake failed"),
)
_REASONS_BY_NAME = {
    "LineTooLong": HEAD_TOO_LARGE,
    "ClientPayloadError": CUT_OFF,
    "TransferEncodingError": CUT_OFF,
    "ContentLengthError": CUT_OFF,
    "ServerDisconnectedError": CLOSED,
    "ClientResponseError": NOT_HTTP,
}


_CERTIFICATE_REQUIRED = "TLSV13_ALERT_CERTIFICATE_REQUIRED"


class TransportError(Exception):
    """The reason why an exchange ended without a response: one of the phrases above."""


def lost_by(
    error: BaseException, *, sent: bool, proxy: Proxy | None = None, at_proxy: bool = False
) -> TransportFailure:
    """Return how far a failed request got.

    The exception's own message is never quoted, because it may contain the request with its headers.

    :param error: the exception that the client library raised
    :param sent: whether some of the request may have left
    :param proxy: the proxy that it went through
    :param at_proxy: whether this is about the certificate of the proxy itself
    """
    chain = list(_chain(error))
    if any(getattr(one, "reason", None) == _CERTIFICATE_REQUIRED for one in chain):
        # RFC 8446, section 6.2. To the client the handshake of TLS 1.3 is over, and the request has left; the server
        # has broken the handshake off, and cannot have read any of it.
        return TransportFailure(FailureKind.UNTRUSTED, "the host requires a client certificate", CLIENT_CERTIFICATE)
    if sent:
        return TransportFailure(FailureKind.OUTCOME_UNKNOWN, _reason(chain))
    through = f" (through the proxy {proxy.netloc})" if proxy else ""
    if untrusted := [one for one in chain if isinstance(one, ssl.SSLCertVerificationError)]:
        # aiohttp wraps the TLS library's exception in a subclass of its type, and that has no verify_message.
        why = next(filter(None, (getattr(one, "verify_message", "") for one in untrusted)), "it does not match")
        if proxy and at_proxy:
            return TransportFailure(
                FailureKind.UNTRUSTED, f"the certificate of the proxy {proxy.netloc} is not trusted ({why})"
            )
        return TransportFailure(FailureKind.UNTRUSTED, f"the host's certificate is not trusted ({why}){through}")
    return TransportFailure(FailureKind.NOT_SENT, f"no connection: {_reason(chain)}{through}")


def cut_off(failure: TransportFailure, begun: HttpResponse) -> TransportFailure:
    """Return a failure with the beginning of the response that did arrive.

    :param failure: why the rest did not
    :param begun: the head, and what arrived of the body
    """
    return replace(failure, response=replace(begun, unreadable=failure.detail))


def refused_by(proxy: Proxy | None, status: int, response: HttpResponse | None = None) -> TransportFailure:
    """Return the failure of a request that a proxy refused to pass on.

    :param proxy: the proxy
    :param status: the status code that it returned
    :param response: the whole response; None if it responded to CONNECT
    """
    phrase = f" {HTTPStatus(status).phrase}" if status in {*HTTPStatus} else ""
    name = proxy.netloc if proxy else ""
    return TransportFailure(
        FailureKind.NOT_SENT,
        f"no connection: the proxy {name} returned {status}{phrase}{'' if response else ' to CONNECT'}",
        PROXY_REFUSED,
        response,
    )


def unusable(error: CoreError) -> TransportFailure:
    """Return the failure of a request that cannot be sent because of this machine's CA bundle or proxy setting.

    :param error: what is wrong with that
    """
    return TransportFailure(FailureKind.UNTRUSTED, error.message.removesuffix("."), error.hint)


def _reason(chain: list[BaseException]) -> str:
    if isinstance(chain[0], TransportError):
        return str(chain[0])
    for kind, reason in _REASONS:
        if any(isinstance(one, kind) for one in chain):
            return reason
    names = {type(one).__name__ for one in chain}
    for name, reason in _REASONS_BY_NAME.items():
        if name in names:
            return reason
    return f"{type(chain[0]).__name__} in the HTTP client"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            # aiohttp keeps the cause in `os_error` or in the arguments of its exception.
            waiting += [one.__cause__, one.__context__, getattr(one, "os_error", None), *one.args]
