"""One token request per host: how a process takes over another's token, waits for it, or asks for one on behalf of all.

Theory of operation: the file cache holds one entry and one lock per set of credentials. A process that finds no valid
entry tries the lock. The one that gets it asks the org and writes the entry, a failure included; the others look at the
entry again until it is there. All file I/O is a step that the driver performs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.oauth.access_token import AccessToken, TokenState
from airflow_okta_workflows.core.protocol import Conversation, Log, MaskSecrets, Wait, call
from airflow_okta_workflows.tokens.file_cache import FAILURE_REST, release, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from filelock import FileLock

    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.tokens.file_cache import TokenCache

_LOOK_AGAIN = 0.05
"""Seconds between two looks while another process asks."""
_PATIENCE = 300.0
"""Seconds after which this process no longer waits for another that asks: it may hang."""


def obtain_shared_token(
    request_token: Callable[[], Conversation[AccessToken]],
    cache: TokenCache | None,
    *,
    stale_token: AccessToken | None,
    rejected_token: str | None,
    runtime: Runtime,
    patient: bool,
) -> Conversation[AccessToken]:
    """Return a token that is valid now: another process's, or a new one.

    :param request_token: begins the conversation with the org
    :param cache: what the processes share; None for nothing
    :param stale_token: a stale token of this process, still valid
    :param rejected_token: the text of a token that a flow's host rejected, which must not come back
    :param runtime: clock and randomness
    :param patient: whether to wait for another that asks. A synchronous call on an event loop must not: the other may
        be a task of that loop, which could then not go on
    :raises CoreError: if the org grants none and there is no stale one
    """
    if cache is None:
        return (yield from _ask(request_token, None, stale_token, rejected_token, runtime))
    lock: FileLock | None = None
    waited = 0.0
    stale = stale_token
    try:
        while True:
            found, failure = yield from _look(cache, rejected_token, runtime)
            stale = found or stale
            if found and found.state(runtime.clock()) is TokenState.FRESH:
                return (yield from _taken_over(found))
            if failure:
                if stale is None:
                    raise failure
                return (yield from _taken_over(stale))
            # Only now: a process that finds a token, as most do, needs no lock.
            lock = lock or cache.lock()
            if lock.is_locked:
                # The process that had the lock before brought no token, as was just seen: this one asks.
                return (yield from _ask(request_token, cache, stale, rejected_token, runtime))
            # Not in a thread: one that outlives this conversation would keep the lock.
            taken = yield from call(partial(try_lock, lock), in_thread=False)
            if taken is False and stale:
                return (yield from _taken_over(stale))
            if taken is None or (not taken and (not patient or waited > _PATIENCE)):
                return (yield from _ask(request_token, cache, stale, rejected_token, runtime))
            if not taken:
                seconds = _LOOK_AGAIN * (0.5 + runtime.random())
                waited += seconds
                yield Wait(seconds, "")
    finally:
        if lock:
            # No step: a conversation that is closed can yield none.
            release(lock)


def _taken_over(token: AccessToken) -> Conversation[AccessToken]:
    yield MaskSecrets((token.value,), until=token.expires_at)
    return token


def _look(
    cache: TokenCache, rejected_token: str | None, runtime: Runtime
) -> Conversation[tuple[AccessToken | None, CoreError | None]]:
    """Return the shared token if it is usable, and how the last request for one failed, if it failed just now."""
    entry = yield from call(cache.read)
    now = runtime.clock()
    if entry is None or entry.written_at > now + FAILURE_REST:
        return None, None
    failure = entry.failure if now - entry.written_at < FAILURE_REST else None
    token = entry.token
    if token is None or token.value == rejected_token or token.state(now) is TokenState.EXPIRED:
        return None, failure
    return token, failure


def _ask(
    request_token: Callable[[], Conversation[AccessToken]],
    cache: TokenCache | None,
    stale: AccessToken | None,
    rejected_token: str | None,
    runtime: Runtime,
) -> Conversation[AccessToken]:
    try:
        token = yield from request_token()
    except CoreError as error:
        if cache:
            yield from call(partial(cache.write, token=stale, failure=error, now=runtime.clock()))
        if stale is None:
            raise
        yield Log(f"the access token could not be renewed before it expires: {error}")
        return stale
    if cache:
        found, _ = yield from _look(cache, rejected_token, runtime)
        # A process that was no longer waited for must not replace a newer token with its own.
        if found is None or found.expires_at <= token.expires_at:
            yield from call(partial(cache.write, token=token, now=runtime.clock()))
    return token
