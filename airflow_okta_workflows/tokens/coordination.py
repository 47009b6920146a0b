"""One token request per host: a process uses another's token, waits for one, or requests one on behalf of all.

Theory of operation: the file cache has one entry and one lock per set of credentials. A process that finds no valid
entry tries to take the lock. The process that gets it requests a token from the org and writes the entry, even for a
failure; the others read the entry again until it is there. All file I/O is a step that the driver performs, except the
release of the lock.
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
"""Mean seconds between two reads of the entry while another process requests a token."""
_PATIENCE = 300.0
"""Seconds after which this process stops waiting for another one's request, which may hang."""


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
    :param cache: token cache that the processes share; None to share nothing
    :param stale_token: a stale token of this process, still valid; or None
    :param rejected_token: value of a token that a flow's host rejected, which is never returned; or None
    :param runtime: clock and randomness
    :param patient: whether to wait while another caller requests a token. A synchronous call on an event loop must not:
        the other caller may be a task of that loop, which the wait would block
    :raises CoreError: if the org grants no token and there is no stale one
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
            # Created only now: most processes find a token and need no lock.
            lock = lock or cache.lock()
            if lock.is_locked:
                # The entry, read while holding the lock, has no usable token: request one.
                return (yield from _ask(request_token, cache, stale, rejected_token, runtime))
            # Not in a thread: a thread that outlives this conversation would keep the lock.
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
            # A direct call, because a conversation that is being closed cannot yield a step.
            release(lock)


def _taken_over(token: AccessToken) -> Conversation[AccessToken]:
    yield MaskSecrets((token.value,), until=token.expires_at)
    return token


def _look(
    cache: TokenCache, rejected_token: str | None, runtime: Runtime
) -> Conversation[tuple[AccessToken | None, CoreError | None]]:
    """Return the shared token if it is usable, and the error of the last request if it failed just now."""
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
        yield Log(f"the access token could not be renewed before it expires: {error.one_line}")
        return stale
    if cache:
        found, _ = yield from _look(cache, rejected_token, runtime)
        # Others may have stopped waiting for this process; it must not replace a newer token with its own.
        if found is None or found.expires_at <= token.expires_at:
            yield from call(partial(cache.write, token=token, now=runtime.clock()))
    return token
