"""Turns of a deployment: all its hosts share the pace of each flow through a Redis server.

Theory of operation: the key of a flow has the state of its pacer, in the bytes that a host's file has. To change it, a
process reads the server's time and the state in one round trip, lets the pacer change the state, and writes it in a
second one if the key still has the bytes that were read. If it has not, another process was faster, and the caller
asks again a millisecond later; one of them always gets through. Nobody holds anything while waiting for a turn, so a
process that is killed costs the others one turn.

Times are those of the server (``TIME``), because each host has another monotonic clock. After a failover, another
server may have an older state, none, or a clock that is behind. The pacer takes a state from the future for that of an
idle flow. So the worst outcome is that a few turns are given twice, and the flow's 429s correct that.

The pace never fails a task: without the server, each host keeps its own pace, and the server is tried again by one
caller every ten seconds. Connecting takes at most half a second, and so does each round trip.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import deque
from contextlib import suppress
from functools import cache
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_okta_workflows.core.retry.pacer import Pacer
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.secret import redact, shown
from airflow_okta_workflows.pace.encoding import decode, encode
from airflow_okta_workflows.pace.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.connection import AbstractConnection

    from airflow_okta_workflows.core.secret import Secret
    from airflow_okta_workflows.pace.redis_address import RedisAddress

log = logging.getLogger(__name__)

_PREFIX = "okta-workflows:pace:"
_FORGOTTEN_AFTER = 86_400
"""Seconds after which the server removes the key of a flow that is no longer invoked."""
_TIMEOUT = 0.5
"""Seconds that connecting may take, and each round trip."""
_AWAY = 10.0
"""Seconds after which a server that could not be used is tried again."""
_KEPT = 60.0
"""Seconds for which an unused connection is kept. Firewalls and load balancers drop older ones, and say nothing."""

# Not WATCH and EXEC: with a script, a connection that is abandoned half-way has no state at the server.
_COMPARE_AND_SET = """\
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


class RedisUnavailableError(Exception):
    """Error of a server that cannot be used now; its text is the reason, without secrets, if it is a new one."""


class _Idle(NamedTuple):
    """An open connection that nobody uses.

    :param connection: the connection
    :param pid: id of the process that opened it
    :param since: when it was last used
    """

    connection: AbstractConnection
    pid: int
    since: float


class RedisServer:
    """A Redis server, with the connections of this process to it and whether it can be used.

    :param address: its address
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        # A deque and no lock: on_kill runs in a signal handler and may invoke a flow while this thread is in here.
        self._idle: deque[_Idle] = deque()
        self._away = False
        self._away_until = -inf

    def change(self, key: str, rate: float, now: float, change: Callable[[Pacer, float], float]) -> float | None:
        """Change the pace of a flow, and return the result; None if another process was faster.

        :param key: the flow's key
        :param rate: invocations per second
        :param now: the time, in seconds of the monotonic clock
        :param change: changes a pacer, given the server's time
        :raises RedisUnavailableError: if the server cannot be used, or could not a short time ago
        """
        if now < self._away_until:
            raise RedisUnavailableError
        if self._away:
            # Until this caller knows more, the others do not try the server as well.
            self._away_until = now + _AWAY
        try:
            result, seconds = self._change(key, rate, change)
        except RedisUnavailableError as error:
            self._leave(now, str(error))
            raise
        if seconds > _TIMEOUT:
            self._leave(now, f"a change took {seconds:.1f} s")
        elif self._away:
            self._away, self._away_until = False, -inf
            log.info("Hosts share the pace of flows again: Redis at %s can be used.", self._address)
        return result

    def _leave(self, now: float, reason: str) -> None:
        self._away_until = now + _AWAY
        if not self._away:
            self._away = True
            log.warning(
                "The pace of flows is not shared between hosts: Redis at %s cannot be used (%s). Until it can, each"
                " host keeps its own pace. Check the server, and redis_url under [okta_workflows].",
                self._address,
                reason,
            )

    def _change(self, key: str, rate: float, change: Callable[[Pacer, float], float]) -> tuple[float | None, float]:
        """Change the pace; return the result, and the seconds that it took with an open connection."""
        from redis.exceptions import RedisError

        try:
            connection, (time, before), seconds = self._ask_on_any(("TIME",), ("GET", key))
            pacer = Pacer(rate, decode(before or b""))
            result = change(pacer, int(time[0]) + int(time[1]) / 1e6)
            began = Runtime.monotonic()
            compare_and_set = (_COMPARE_AND_SET, "1", key, before or b"", encode(pacer.state), str(_FORGOTTEN_AFTER))
            (written,) = self._ask(connection, ("EVAL", *compare_and_set))
            ended = Runtime.monotonic()
        except (RedisError, OSError) as error:
            raise RedisUnavailableError(self._reason(error)) from None
        self._idle.append(_Idle(connection, os.getpid(), ended))
        return (result if written else None), seconds + ended - began

    def _ask_on_any(self, *commands: tuple[Any, ...]) -> tuple[AbstractConnection, list[Any], float]:
        """Send commands that change nothing; return the connection, their responses, and the seconds they took."""
        from redis.exceptions import ConnectionError as ClosedError

        while True:
            connection = self._kept()
            kept = connection is not None
            connection = connection or self._connected()
            began = Runtime.monotonic()
            try:
                responses = self._ask(connection, *commands)
            except ClosedError:
                # The server may have closed it since it was last used.
                if not kept:
                    raise
            else:
                return connection, responses, Runtime.monotonic() - began

    def _kept(self) -> AbstractConnection | None:
        """Return an open connection of this process; None if there is none."""
        with suppress(IndexError):
            while True:
                idle = self._idle.pop()
                # A forked child closes its copy of a connection, which leaves that of its parent open.
                if idle.pid == os.getpid() and Runtime.monotonic() - idle.since < _KEPT:
                    return idle.connection
                idle.connection.disconnect()
        return None

    @staticmethod
    def _ask(connection: AbstractConnection, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands in one round trip, and return their responses."""
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            return [connection.read_response() for _ in commands]
        except BaseException:
            # A later response must not be taken for that to another command.
            connection.disconnect()
            raise

    def _connected(self) -> AbstractConnection:
        """Return a new connection.

        :raises RedisUnavailableError: if there is none in time
        """
        connection = self._new_connection()
        failures: list[str] = []

        def connect() -> None:
            try:
                connection.connect()
            except Exception as error:
                failures.append(self._reason(error))

        # In a thread, because the look-up of the host's name has no time-out. A signal handler cannot raise in a
        # thread either, where the password is in the locals of frames.
        thread = threading.Thread(target=connect, name="okta-workflows-redis", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The interpreter is ending, or the process may not have more threads.
            raise RedisUnavailableError(type(error).__name__) from None
        thread.join(_TIMEOUT)
        if thread.is_alive():
            raise RedisUnavailableError(_NO_RESPONSE)
        if failures:
            raise RedisUnavailableError(failures[0])
        return connection

    def _new_connection(self) -> AbstractConnection:
        from redis.connection import Connection, SSLConnection

        address = self._address
        options: dict[str, Any] = {
            "host": address.host,
            "port": address.port,
            "db": address.db,
            "socket_timeout": _TIMEOUT,
            "socket_connect_timeout": _TIMEOUT,
            "socket_keepalive": True,
            # Known to every version of Redis, and without the notifications of version 3.
            "protocol": 2,
        }
        if address.credentials:
            options["credential_provider"] = _Credentials(address.credentials)
        if address.tls:
            options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **dict(address.files)}
            return SSLConnection(**options)
        return Connection(**options)

    def _reason(self, error: Exception) -> str:
        """Return why the server cannot be used, without secrets and without what a server may echo of them."""
        from redis import exceptions

        if isinstance(error, exceptions.AuthenticationError):
            return "it does not accept the user or the password"
        if isinstance(error, exceptions.NoPermissionError):
            return "the user may not run TIME, GET, SET and EVAL on keys that begin with okta-workflows:pace:"
        if isinstance(error, exceptions.TimeoutError | TimeoutError):
            return _NO_RESPONSE
        if isinstance(error, exceptions.ResponseError):
            secrets = tuple(secret.reveal() for secret in self._address.credentials)
            return f"its error: {shown(redact(str(error), secrets))}"
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        return getattr(cause, "strerror", None) or type(cause or error).__name__


_NO_RESPONSE = "no response in time"


class _Credentials:
    """The user and the password of a server, which are revealed only to be sent.

    :param secrets: what goes into AUTH
    """

    def __init__(self, secrets: tuple[Secret, ...]) -> None:
        self._secrets = secrets

    def get_credentials(self) -> tuple[str, ...]:
        """Return them, as redis-py asks for them."""
        return tuple(secret.reveal() for secret in self._secrets)


@cache
def redis_server(address: RedisAddress) -> RedisServer:
    """Return a server, the same object for all flows.

    :param address: its address
    """
    return RedisServer(address)


class RedisTurns(Turns):
    """Turns that all hosts share through a Redis server.

    :param server: the server
    :param url: the flow's invoke URL
    :param rate: invocations per second
    :param host: the turns of this host, for as long as the server cannot be used
    """

    slow = True

    def __init__(self, server: RedisServer, url: str, rate: float, host: Turns) -> None:
        self._server = server
        self._key = key_of(url)
        self._rate = rate
        self._host = host

    def change(self, now: float, change: Callable[[Pacer, float], float]) -> float | None:
        """Change the pace, and return the result; None if another process was faster."""
        try:
            return self._server.change(self._key, self._rate, now, change)
        except RedisUnavailableError:
            return self._host.change(now, change)


def key_of(url: str) -> str:
    """Return the key of a flow; it does not contain the flow's URL.

    :param url: the flow's invoke URL
    """
    return _PREFIX + hashlib.sha256(url.encode()).hexdigest()
