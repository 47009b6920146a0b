"""From an exception of a client library to how far the request got, in words."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.exchange import Lost, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the host's name cannot be resolved"),
    (ConnectionRefusedError, "the connection was refused"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was reset"),
    (TimeoutError, "it took too long"),
    (ssl.SSLError, "the TLS handshake failed"),
)
_REASONS_BY_NAME = {
    "ReadTimeoutError": "it took too long",
    "ConnectTimeoutError": "it took too long",
    "IncompleteRead": "the answer was cut off",
    "ClientPayloadError": "the answer was cut off",
    "TransferEncodingError": "the answer was cut off",
    "ContentLengthError": "the answer was cut off",
    "RemoteDisconnected": "the connection was closed without an answer",
    "ServerDisconnectedError": "the connection was closed without an answer",
    "ProxyError": "the proxy refused",
    "ClientHttpProxyError": "the proxy refused",
}


def lost_by(error: BaseException, *, sent: bool) -> Lost:
    """Tell how far a failed request got.

    What is said is chosen here, never taken from the exception: that may carry the request, headers and all.

    :param error: what the client library raised
    :param sent: whether a connection was there, so that the host may have seen the request
    """
    chain = list(_chain(error))
    if sent:
        return Lost(Phase.FATE_UNKNOWN, _reason(chain))
    if any(isinstance(one, (ssl.SSLCertVerificationError, ssl.CertificateError)) for one in chain):
        verification = next(one for one in chain if isinstance(one, ssl.SSLCertVerificationError))
        why = getattr(verification, "verify_message", "") or "it does not match"
        return Lost(Phase.UNTRUSTED, f"the host's certificate is not trusted ({why})")
    return Lost(Phase.NOT_SENT, f"no connection: {_reason(chain)}")


def too_large(limit: int) -> Lost:
    """Tell that an answer is larger than the connection allows.

    :param limit: bytes
    """
    return Lost(Phase.UNREADABLE, f"the answer is larger than max_response_bytes ({limit})")


def undecodable() -> Lost:
    """Tell that an answer's compression is broken."""
    return Lost(Phase.UNREADABLE, "the answer's compression is broken")


def _reason(chain: list[BaseException]) -> str:
    for kind, reason in _REASONS:
        if any(isinstance(one, kind) for one in chain):
            return reason
    for one in chain:
        if reason := _REASONS_BY_NAME.get(type(one).__name__, ""):
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
            # urllib3 keeps the cause in `reason` or in its arguments, aiohttp in `os_error`.
            waiting += [
                one.__cause__,
                one.__context__,
                getattr(one, "reason", None),
                getattr(one, "os_error", None),
            ]
            waiting += one.args
