"""Send requests with requests (and urllib3 below it), for threads and task processes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.models import PreparedRequest
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import DecodeError, HTTPError

from airflow_okta_workflows.core.exchange import Headers, HttpAnswer, HttpRequest, Lost
from airflow_okta_workflows.transport.losses import lost_by, too_large, undecodable
from airflow_okta_workflows.transport.network import BASE_HEADERS, CHUNK, ca_bundle, proxy_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.settings import OktaWorkflowsSettings

_IDLE = 15.0
"""Seconds after which a kept connection is not used again: a host that closes it just then would leave an
invocation with an unknown fate."""


class _Progress(threading.local):
    """Know whether the request that this thread is sending has begun to leave."""

    sent = False


_progress = _Progress()


def _send(self: HTTPConnection, data: Any) -> None:
    """Send as the connection does, and note the moment from which the host may have seen something."""
    if self.sock is None:
        self.connect()  # raises while nothing has been sent
    _progress.sent = True
    HTTPConnection.send(self, data)


class _Connection(HTTPConnection):
    send = _send


class _SecureConnection(HTTPSConnection):
    send = _send


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class OneShotAdapter(HTTPAdapter):
    """Send each request exactly once, and know how far it got."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools, of connections that note their progress."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the pools behind a proxy, of connections that note their progress."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class RequestsTransport:
    """Send the core's requests over kept connections; usable from several threads.

    :param settings: the connection
    :param clock: gives seconds that never go back
    """

    def __init__(self, settings: OktaWorkflowsSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._adapter = OneShotAdapter(pool_maxsize=32)
        self._verify = ca_bundle(settings)
        self._last_used = clock()

    def send(self, request: HttpRequest) -> HttpAnswer | Lost:
        """Send a request once and return its answer, or how far it got; no exception leaves for either.

        :param request: the request
        """
        started = self._clock()
        if started - self._last_used > _IDLE:
            self._adapter.poolmanager.clear()
        prepared = PreparedRequest()
        prepared.prepare(
            method=request.method,
            url=request.url,
            headers={**BASE_HEADERS, **request.headers},
            data=request.body,
        )
        proxy = proxy_for(request.url, self._settings)
        read_timeout = request.read_timeout or self._settings.read_timeout
        _progress.sent = False
        response: requests.Response | None = None
        try:
            response = self._adapter.send(
                prepared,
                stream=True,
                timeout=(self._settings.connect_timeout, read_timeout),
                verify=self._verify,
                proxies={"http": proxy, "https": proxy} if proxy else None,
            )
            body = self._read(response, deadline=started + self._settings.connect_timeout + read_timeout)
        except DecodeError:
            return undecodable()
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            return lost_by(error, sent=_progress.sent)
        finally:
            self._last_used = self._clock()
            if response is not None:
                response.raw.close()
        if body is None:
            return too_large(self._settings.max_response_bytes)
        return HttpAnswer(response.status_code, Headers(response.headers), body, self._last_used - started)

    def close(self) -> None:
        """Close the kept connections."""
        self._adapter.close()

    def _read(self, response: requests.Response, deadline: float) -> bytes | None:
        """Return the body; None if it is too large, and then no more of it is read than that tells."""
        body = bytearray()
        while chunk := response.raw.read1(CHUNK, decode_content=True):
            body += chunk
            if len(body) > self._settings.max_response_bytes:
                return None
            if self._clock() > deadline:
                raise TimeoutError
        response.raw.release_conn()
        return bytes(body)
