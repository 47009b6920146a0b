"""One access token for all callers in a process that may share it.

Theory of operation: each set of credentials has one :class:`TokenSource`. The first caller that needs a new token
becomes the owner of a renewal; the others join it and get its result. The owner obtains the token by way of
:mod:`~airflow_okta_workflows.tokens.coordination`, which shares it with the other processes on the host.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import conf

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.forking import renew_in_child
from airflow_okta_workflows.core.oauth.access_token import AccessToken, TokenState
from airflow_okta_workflows.core.protocol import Conversation, Join
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.private_directory import configured_directory
from airflow_okta_workflows.tokens.coordination import obtain_shared_token
from airflow_okta_workflows.tokens.file_cache import FAILURE_REST, TokenCache, open_token_cache

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings


class _AbandonedError(Exception):
    """Error of a renewal whose owner was interrupted; one of the waiting callers starts another."""


class _Renewal:
    """One token renewal, under way or about to start.

    :param loop: the event loop that runs it, or None if a thread does
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self.outcome: Future[AccessToken] = Future()
        """Result of the renewal, for the callers that wait for it."""
        # A running future cannot be cancelled, so a waiting task that is cancelled does not cancel the renewal.
        self.outcome.set_running_or_notify_cancel()
        self.stale_token: AccessToken | None = None
        """Stale token that is still valid, or None."""
        self.rejected_token: str | None = None
        """Value of the last token that a flow's host rejected, or None."""


class TokenSource:
    """Source of access tokens for the threads and the tasks on any event loop of this process.

    A FRESH token is returned as it is. A STALE one is returned as it is while one caller renews it. Without a token, or
    with an EXPIRED one, one caller requests a token and all others wait for the result. After a failure no caller
    requests a token for ``FAILURE_REST`` seconds, so that many callers cannot overload the org.

    :param clock: returns seconds since the epoch
    :param cache: token cache shared with other processes, or None
    """

    def __init__(self, clock: Callable[[], float] = Runtime.clock, cache: TokenCache | None = None) -> None:
        self.cache = cache
        self._clock = clock
        self._lock = threading.Lock()
        renew_in_child(self, "_lock")
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._token: AccessToken | None = None
        self._rejected_token: str | None = None
        self._renewal: _Renewal | None = None
        self._failure: Exception | None = None
        self._rest_until = float("-inf")

    def _begin_if_forked(self) -> None:
        # In a forked child, a renewal that the parent began never ends, and no log masks the parent's token.
        if self._process != os.getpid():
            self._begin()

    def obtain(
        self,
        request_token: Callable[[], Conversation[AccessToken]],
        runtime: Runtime,
        *,
        rejected_token: str | None = None,
        blocks: bool,
    ) -> Conversation[AccessToken]:
        """Return a token that is valid now.

        :param request_token: begins the conversation with the org
        :param runtime: clock and randomness
        :param rejected_token: value of a token that a flow's host rejected, which is dropped
        :param blocks: whether the driver's waits block the thread, and with it an event loop that runs there
        :raises CoreError: if the org grants no token
        """
        if rejected_token is None and (token := self._fresh_token()):
            return token
        loop = _running_loop()
        share = partial(
            obtain_shared_token, request_token, self.cache, runtime=runtime, patient=not (blocks and loop is not None)
        )
        while True:
            mine = _Renewal(loop)
            try:
                claim = self._claim(mine, rejected_token)
                if isinstance(claim, AccessToken):
                    return claim
                if claim is mine:
                    shared = share(stale_token=mine.stale_token, rejected_token=mine.rejected_token)
                    return self._renewed(mine, (yield from shared))
            except BaseException as error:
                self._failed(mine, error)
                raise
            if blocks and loop is not None and claim.loop is loop:
                # Waiting would block the loop that runs the renewal. There is no stale token to fall back on: the one
                # with which that renewal began has since expired or been rejected.
                return self._kept((yield from share(stale_token=None, rejected_token=self._rejected_token)))
            yield Join(claim.outcome)
            failure = claim.outcome.exception()
            if failure is None:
                return claim.outcome.result()
            if not isinstance(failure, _AbandonedError):
                raise _for_another(failure)

    def _fresh_token(self) -> AccessToken | None:
        """Return the token if it is FRESH, as for nearly all callers; this needs neither the lock nor a renewal."""
        token = self._token
        is_fresh = token and self._process == os.getpid() and token.state(self._clock()) is TokenState.FRESH
        return token if is_fresh else None

    def drop(self, rejected_token: str) -> None:
        """Drop a token that a flow's host rejected.

        :param rejected_token: its value
        """
        with self._lock:
            self._begin_if_forked()
            if self._token is None or self._token.value == rejected_token:
                self._token = None
                self._rejected_token = rejected_token

    def _claim(self, mine: _Renewal, rejected_token: str | None) -> AccessToken | _Renewal:
        """Return a token, or the renewal to wait for; if that is ``mine``, the caller has to run it."""
        if rejected_token is not None:
            self.drop(rejected_token)
        with self._lock:
            self._begin_if_forked()
            now = self._clock()
            state = self._token.state(now) if self._token else TokenState.EXPIRED
            usable = self._token if state is not TokenState.EXPIRED else None
            resting = now < self._rest_until <= now + FAILURE_REST
            if usable and (state is TokenState.FRESH or self._renewal or resting):
                return usable
            if self._renewal:
                return self._renewal
            if resting and self._failure:
                raise _for_another(self._failure)
            mine.stale_token, mine.rejected_token = usable, self._rejected_token
            self._renewal = mine
            return mine

    def _renewed(self, renewal: _Renewal, token: AccessToken) -> AccessToken:
        with self._lock:
            now = self._clock()
            # The result may be the stale token, and a flow's host may have rejected that meanwhile.
            self._token = None if token.value == self._rejected_token else token
            self._renewal = self._failure = None
            # A stale token instead of a new one means that the renewal failed.
            self._rest_until = now if token.state(now) is TokenState.FRESH else now + FAILURE_REST
        renewal.outcome.set_result(token)
        return token

    def _kept(self, token: AccessToken) -> AccessToken:
        """Store and return a token obtained outside the renewal under way, for callers that arrive before that ends."""
        with self._lock:
            if token.value != self._rejected_token:
                self._token = token
        return token

    def _failed(self, renewal: _Renewal, error: BaseException) -> None:
        with self._lock:
            if self._renewal is renewal:
                self._renewal = None
                if isinstance(error, CoreError):
                    self._failure = error
                    self._rest_until = self._clock() + FAILURE_REST
        if not renewal.outcome.done():
            # A cancellation or a task timeout concerns only the caller that ran the renewal, not the waiting ones.
            renewal.outcome.set_exception(error if isinstance(error, Exception) else _AbandonedError())


_sources: dict[str, TokenSource] = {}
_sources_lock = threading.Lock()
renew_in_child(sys.modules[__name__], "_sources_lock")


def token_source_for(settings: OktaWorkflowsSettings) -> TokenSource:
    """Return the token source of a connection, as the config's ``[okta_workflows] token_cache`` specifies.

    :param settings: the connection
    :raises OktaConfigurationError: for an unknown value of ``token_cache``
    """
    mode = conf.get("okta_workflows", "token_cache", fallback="disk").strip().lower()
    if mode not in ("disk", "memory", "off"):
        raise OktaConfigurationError(
            f"[okta_workflows] token_cache is {shown(mode, 20)}.", hint="OKW-1801: Set it to disk, memory or off."
        )
    if mode == "off":
        return TokenSource()
    identity = settings.token_cache_id
    with _sources_lock:
        if identity not in _sources:
            _sources[identity] = TokenSource(cache=_open_cache(settings) if mode == "disk" else None)
        return _sources[identity]


def _open_cache(settings: OktaWorkflowsSettings) -> TokenCache | None:
    return open_token_cache(configured_directory(), settings.token_cache_id, settings.cache_encryption_key())


def _for_another(failure: BaseException) -> BaseException:
    # A copy per caller: one exception object raised by several would collect the traceback frames of all of them.
    return failure.copy() if isinstance(failure, CoreError) else failure


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
