"""One access token for all who may share it, asked for once however many want it at the same time."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.faults import Fault
from airflow_okta_workflows.core.tokens import AccessToken, TokenState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class _AbandonedError(Exception):
    """Tell those who wait for a renewal that it was broken off, so that one of them takes it up."""


@dataclass(frozen=True)
class _Renewal:
    """Hold one request for a token that is under way.

    :param outcome: where those who wait for it find what came of it
    :param loop: the event loop that makes it, or None if a thread does
    :param fallback: the stale token that is good for now, or None
    """

    outcome: Future[AccessToken]
    loop: asyncio.AbstractEventLoop | None
    fallback: AccessToken | None


class TokenSource:
    """Give an access token to threads and to tasks on any event loop of this process.

    FRESH is given as it is. STALE is given as it is, while one caller renews it. Without a token, or with an
    EXPIRED one, one caller asks and all others wait for what comes of it.

    :param clock: gives seconds since the epoch
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._renewal: _Renewal | None = None

    def get(self, renew: Callable[[], AccessToken], *, refused: str | None = None) -> AccessToken:
        """Return a token that is good now.

        :param renew: asks the org for one
        :param refused: the text of a token that a flow's host refused, which is dropped
        :raises Fault: if the org gives none
        """
        loop = _running_loop()
        while True:
            claim, mine = self._claim(refused, loop)
            if isinstance(claim, AccessToken):
                return claim
            if mine:
                try:
                    token = renew()
                except BaseException as error:  # whoever waits must learn of it, whatever it is
                    return self._failed(claim, error)
                return self._renewed(claim, token)
            if loop is not None and claim.loop is loop:
                # Waiting would stop the very loop that is to bring the token.
                return renew()
            try:
                return claim.outcome.result()
            except _AbandonedError:
                continue

    async def aget(self, renew: Callable[[], Awaitable[AccessToken]], *, refused: str | None = None) -> AccessToken:
        """Return a token that is good now, without blocking the event loop; else as :meth:`get`.

        :param renew: asks the org for one
        :param refused: the text of a token that a flow's host refused, which is dropped
        :raises Fault: if the org gives none
        """
        loop = asyncio.get_running_loop()
        while True:
            claim, mine = self._claim(refused, loop)
            if isinstance(claim, AccessToken):
                return claim
            if mine:
                try:
                    token = await renew()
                except BaseException as error:  # whoever waits must learn of it, whatever it is
                    return self._failed(claim, error)
                return self._renewed(claim, token)
            try:
                return await asyncio.wrap_future(claim.outcome)
            except _AbandonedError:
                continue

    def drop(self, refused: str) -> None:
        """Forget a token that a flow's host refused, if it is still the current one.

        :param refused: its text
        """
        with self._lock:
            if self._token is not None and self._token.value == refused:
                self._token = None

    def _claim(
        self, refused: str | None, loop: asyncio.AbstractEventLoop | None
    ) -> tuple[AccessToken | _Renewal, bool]:
        """Return a token, or the renewal to wait for, and whether the caller is the one to make it."""
        if refused is not None:
            self.drop(refused)
        with self._lock:
            token = self._token
            state = token.state(self._clock()) if token else TokenState.EXPIRED
            usable = token if state is not TokenState.EXPIRED else None
            if usable and (state is TokenState.FRESH or self._renewal):
                return usable, False
            if self._renewal:
                return self._renewal, False
            outcome: Future[AccessToken] = Future()
            # From now on it cannot be cancelled: a task that waits for it and is cancelled leaves alone.
            outcome.set_running_or_notify_cancel()
            self._renewal = _Renewal(outcome, loop, usable)
            return self._renewal, True

    def _renewed(self, renewal: _Renewal, token: AccessToken) -> AccessToken:
        with self._lock:
            self._token = token
            self._renewal = None
        renewal.outcome.set_result(token)
        return token

    def _failed(self, renewal: _Renewal, error: BaseException) -> AccessToken:
        with self._lock:
            self._renewal = None
        if renewal.fallback is not None and isinstance(error, Fault):
            log.warning("The access token could not be renewed ahead of its end: %s", error)
            renewal.outcome.set_result(renewal.fallback)
            return renewal.fallback
        # A cancelled task or a task time-out concerns the one who asked, not those who wait.
        renewal.outcome.set_exception(error if isinstance(error, Exception) else _AbandonedError())
        raise error


_sources: dict[str, TokenSource] = {}
_sources_lock = threading.Lock()


def shared_token_source(identity: str) -> TokenSource:
    """Return this process's token source for a connection's identity.

    :param identity: tells who may share a token
    """
    with _sources_lock:
        return _sources.setdefault(identity, TokenSource())


def _forget_sources() -> None:
    """Begin anew in a forked child: a lock or a renewal that its parent held would stay so for ever."""
    global _sources_lock  # noqa: PLW0603  # the child's copy may be held by a thread that it does not have
    _sources_lock = threading.Lock()
    _sources.clear()


os.register_at_fork(after_in_child=_forget_sources)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
