"""One access token for all who may share it, asked for once however many want it at the same time."""

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
from airflow_okta_workflows.tokens.coordination import obtain_shared_token
from airflow_okta_workflows.tokens.file_cache import FAILURE_REST, TokenCache, cache_directory, open_token_cache

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings


class _AbandonedError(Exception):
    """A renewal was broken off; one of those who wait for it takes it up."""


class _Renewal:
    """One request for a token that is under way, or could be.

    :param loop: the event loop that makes it, or None if a thread does
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self.outcome: Future[AccessToken] = Future()
        """Where those who wait for it find what came of it."""
        # From now on it cannot be cancelled: a task that waits for it and is cancelled leaves alone.
        self.outcome.set_running_or_notify_cancel()
        self.stale_token: AccessToken | None = None
        """The stale token that is good for now, or None."""
        self.rejected_token: str | None = None
        """The text of the last token that a flow's host refused, or None."""


class TokenSource:
    """Give an access token to threads and to tasks on any event loop of this process.

    FRESH is given as it is. STALE is given as it is, while one caller renews it. Without a token, or with an
    EXPIRED one, one caller asks and all others wait for what comes of it. A failure stands for a while, so that no
    number of callers hammers the org.

    :param clock: gives seconds since the epoch
    :param cache: what this process shares with others, or None
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
        # A renewal that a thread of the parent makes never ends here, and no log of this process masks its token.
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
        :param rejected_token: the text of a token that a flow's host rejected, which is dropped
        :param blocks: whether the driver's waits block the thread, and with it an event loop that runs there
        :raises CoreError: if the org grants none
        """
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
                # Waiting would stop the very loop that is to bring the token. The stale token with which that renewal
                # began has expired since, or was rejected.
                return self._kept((yield from share(stale_token=None, rejected_token=self._rejected_token)))
            yield Join(claim.outcome)
            failure = claim.outcome.exception()
            if failure is None:
                return claim.outcome.result()
            if not isinstance(failure, _AbandonedError):
                raise _for_another(failure)

    def drop(self, rejected_token: str) -> None:
        """Forget a token that a flow's host refused.

        :param rejected_token: its text
        """
        with self._lock:
            self._begin_if_forked()
            if self._token is None or self._token.value == rejected_token:
                self._token = None
                self._rejected_token = rejected_token

    def _claim(self, mine: _Renewal, rejected_token: str | None) -> AccessToken | _Renewal:
        """Return a token, or the renewal to wait for: the caller's own, if the caller is to make it."""
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
            # A stale token that came back for want of a better one may have been refused meanwhile.
            self._token = None if token.value == self._rejected_token else token
            self._renewal = self._failure = None
            # A stale token in place of a new one: the org could not be asked.
            self._rest_until = now if token.state(now) is TokenState.FRESH else now + FAILURE_REST
        renewal.outcome.set_result(token)
        return token

    def _kept(self, token: AccessToken) -> AccessToken:
        """Return a token that came past the renewal which is under way, for those who come before that has ended."""
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
            # A cancelled task or a task time-out concerns the one who asked, not those who wait.
            renewal.outcome.set_exception(error if isinstance(error, Exception) else _AbandonedError())


_sources: dict[str, TokenSource] = {}
_sources_lock = threading.Lock()
renew_in_child(sys.modules[__name__], "_sources_lock")


def token_source_for(settings: OktaWorkflowsSettings) -> TokenSource:
    """Return where a connection's tokens come from, as ``[okta_workflows] token_cache`` has it.

    :param settings: the connection
    :raises OktaConfigurationError: for a value of ``token_cache`` that is not known
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
    directory = cache_directory(conf.get("okta_workflows", "token_cache_dir", fallback="").strip())
    return open_token_cache(directory, settings.token_cache_id, settings.cache_encryption_key())


def _for_another(failure: BaseException) -> BaseException:
    # One object would gather the frames of all who raise it, and each of them would report those of the others.
    return failure.copy() if isinstance(failure, CoreError) else failure


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
