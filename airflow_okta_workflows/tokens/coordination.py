"""One token request per host: how a process finds another's token, waits for it, or asks for it on behalf of all.

It is a conversation like those of the core, driven in the same way, around the one with the org.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.oauth.access_token import AccessToken, TokenState
from airflow_okta_workflows.core.protocol import Conversation, Log, MaskSecrets, Wait
from airflow_okta_workflows.tokens.file_cache import FAILURE_REST, release, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from filelock import FileLock

    from airflow_okta_workflows.tokens.file_cache import TokenCache

_LOOK_AGAIN = 0.05
"""Seconds between two looks while another process asks."""
_PATIENCE = 300.0
"""Seconds after which another process that asks is not waited for any longer: it may hang."""


def obtain_token(
    ask: Callable[[], Conversation[AccessToken]],
    cache: TokenCache | None,
    *,
    stale_token: AccessToken | None,
    rejected_token: str | None,
    clock: Callable[[], float],
    random: Callable[[], float],
    patient: bool,
) -> Conversation[AccessToken]:
    """Return a token that is good now: another process's, or a new one.

    :param ask: begins the conversation with the org
    :param cache: what the processes share; None for nothing
    :param stale_token: a stale token of this process, good for now
    :param rejected_token: the text of a token that a flow's host refused, which must not come back
    :param clock: gives seconds since the epoch
    :param random: gives numbers from 0 to 1
    :param patient: whether another that asks may be waited for. A synchronous call on an event loop may not: the other
        may be a task of that loop, which could then not go on
    :raises CoreError: if the org gives none and there is no stale one
    """
    if cache is None:
        return (yield from _ask(ask, None, stale_token, rejected_token, clock))
    lock: FileLock | None = None
    waited = 0.0
    stale = stale_token
    try:
        while True:
            found, failure = _look(cache, rejected_token, clock())
            stale = found or stale
            if found and found.state(clock()) is TokenState.FRESH:
                return (yield from _taken_over(found))
            if failure:
                if stale is None:
                    raise failure
                return (yield from _taken_over(stale))
            # Only now: who finds a token, as most do, needs no lock.
            lock = lock or cache.lock()
            if lock.is_locked:
                # Whoever had the lock before brought no token, as was just seen: this process asks.
                return (yield from _ask(ask, cache, stale, rejected_token, clock))
            taken = try_lock(lock)
            if taken is False and stale:
                return (yield from _taken_over(stale))
            if taken is None or (not taken and (not patient or waited > _PATIENCE)):
                return (yield from _ask(ask, cache, stale, rejected_token, clock))
            if not taken:
                seconds = _LOOK_AGAIN * (0.5 + random())
                waited += seconds
                yield Wait(seconds, "")
    finally:
        if lock:
            release(lock)


def _taken_over(token: AccessToken) -> Conversation[AccessToken]:
    yield MaskSecrets((token.value,), until=token.expires_at)
    return token


def _look(cache: TokenCache, rejected_token: str | None, now: float) -> tuple[AccessToken | None, CoreError | None]:
    """Return the shared token if it may be used, and what asking for one has come to just now, if it failed."""
    entry = cache.read()
    if entry is None or entry.written_at > now + FAILURE_REST:
        return None, None
    failure = entry.failure if now - entry.written_at < FAILURE_REST else None
    token = entry.token
    if token is None or token.value == rejected_token or token.state(now) is TokenState.EXPIRED:
        return None, failure
    return token, failure


def _ask(
    ask: Callable[[], Conversation[AccessToken]],
    cache: TokenCache | None,
    stale: AccessToken | None,
    rejected_token: str | None,
    clock: Callable[[], float],
) -> Conversation[AccessToken]:
    try:
        token = yield from ask()
    except CoreError as error:
        if cache:
            cache.write(token=stale, failure=error, now=clock())
        if stale is None:
            raise
        yield Log(f"the access token could not be renewed ahead of its end: {error}")
        return stale
    if cache:
        found, _ = _look(cache, rejected_token, clock())
        # Who was waited for in vain, and comes at last, does not put its token in place of a newer one.
        if found is None or found.expires_at <= token.expires_at:
            cache.write(token=token, now=clock())
    return token
