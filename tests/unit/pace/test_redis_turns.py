"""The pace that hosts share through a real Redis server: what they see of one another, and what they do without it."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from traceback import walk_stack, walk_tb
from typing import Any

import pytest
import trustme
from redis.connection import Connection

from airflow_okta_workflows.core.retry.pacer import Pacer, PaceState
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.pace import redis_turns
from airflow_okta_workflows.pace.encoding import decode, encode
from airflow_okta_workflows.pace.redis_address import RedisAddress, parse_redis_url
from airflow_okta_workflows.pace.redis_turns import RedisServer, RedisTurns, key_of
from tests.airflow_rest import free_port
from tests.forked import in_a_forked_child
from tests.redis_server import LocalRedis, tls_front
from tests.virtual_pace import VirtualHostTurns

URL = "https://acme.workflows.okta.com/api/flo/1a2b/invoke"
ALIAS = "1a2b"
KEY = key_of(URL)
RATE = 0.01
"""Invocations per second: the clock of the server is a real one, and a busy machine must not reach the next turn."""
DISTANCE = 103.0
"""Seconds between two turns at this rate."""


@pytest.fixture(scope="module")
def server() -> Iterator[LocalRedis]:
    with LocalRedis() as server:
        yield server


@pytest.fixture
def redis(server: LocalRedis) -> LocalRedis:
    """Return a running server without keys."""
    server.ask("FLUSHALL")
    return server


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs that no busy machine reaches. Tests of a slow server set shorter ones."""
    monkeypatch.setattr(redis_turns, "_TIMEOUT", 20.0)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO)

    def messages() -> list[str]:
        return [f"{one.levelname} {one.getMessage()}" for one in caplog.records if "Redis" in one.getMessage()]

    return messages


def address_of(url: str) -> RedisAddress:
    address = parse_redis_url(Secret(url))
    assert address is not None
    return address


class Hosts:
    """Hosts with directories of their own.

    :param directory: the parent of the directories
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0

    def another(self, url: str, flow: str = URL) -> RedisTurns:
        """Return the turns of a flow on another host."""
        self._number += 1
        host = VirtualHostTurns(self._directory / str(self._number), flow, RATE)
        return RedisTurns(RedisServer(address_of(url)), flow, RATE, host)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def reserved(turns: RedisTurns, now: float = 0.0) -> float:
    while (seconds := turns.reserve(now)) is None:
        pass
    return seconds


def moment_reserved(pacer: Pacer, now: float) -> float:
    """Reserve a turn, and return its moment by the clock of the server."""
    return now + pacer.reserve(now)


def state_at(redis: LocalRedis, db: int = 0) -> PaceState:
    return decode(redis.ask("GET", KEY, db=db) or b"")


# ---- what hosts share


def test_hosts_get_different_turns_by_the_clock_of_the_server(redis: LocalRedis, hosts: Hosts) -> None:
    one, other = (hosts.another(redis.url()) for _ in range(2))
    began = time.time()

    # Each host has another monotonic clock, which must not matter.
    asked = ((one, 5.0), (other, 1e9), (other, 0.0), (one, 6.0))
    moments = [turns.change(now, moment_reserved) or 0.0 for turns, now in asked]

    assert all(later - earlier >= DISTANCE - 0.001 for earlier, later in pairwise(moments))
    assert began - 1 <= moments[0] <= moments[-1] <= time.time() + 1 + 3 * DISTANCE
    assert began - 1 <= state_at(redis).at <= time.time() + 1


def test_flows_have_turns_of_their_own(redis: LocalRedis, hosts: Hosts) -> None:
    flows = [hosts.another(redis.url(), f"{URL}/{name}") for name in "ab"]

    assert [reserved(turns) for turns in flows] == [0.0, 0.0]


def test_a_429_throttles_all_hosts(redis: LocalRedis, hosts: Hosts) -> None:
    one, other = (hosts.another(redis.url()) for _ in range(2))
    reserved(one)
    assert reserved(other) > 0.0

    assert one.throttle(0.0, 60.0) == 0.0

    waiting = other.take(0.0)
    assert waiting is not None
    assert 1.5 * DISTANCE < waiting < 2.1 * DISTANCE, "the hold has voided the turn"


def test_a_key_expires_and_has_no_secret(redis: LocalRedis, hosts: Hosts) -> None:
    reserved(hosts.another(redis.url(db=3)))

    assert redis.ask("KEYS", "*", db=3) == [KEY.encode()]
    assert KEY.startswith("okta-workflows:pace:")
    assert ALIAS not in KEY
    assert 86_000 < redis.ask("TTL", KEY, db=3) <= 86_400
    assert ALIAS.encode() not in redis.ask("GET", KEY, db=3)


@pytest.mark.parametrize("damage", [b"", b"x", os.urandom(205), encode(PaceState(at=4e9, held_until=5e9))])
def test_a_state_that_is_damaged_or_from_the_future_is_an_idle_flow(
    damage: bytes, redis: LocalRedis, hosts: Hosts
) -> None:
    turns = hosts.another(redis.url())
    redis.ask("SET", KEY, damage)

    assert turns.take(0.0) == 0.0
    redis.ask("SET", KEY, damage)
    assert reserved(turns) == 0.0
    assert reserved(turns) > 0.0


def test_who_was_faster_wins_and_the_other_asks_again(redis: LocalRedis, hosts: Hosts) -> None:
    one, other = (hosts.another(redis.url()) for _ in range(2))

    def overtaken(pacer: Pacer, now: float) -> float:
        assert other.reserve(0.0) is not None
        return pacer.reserve(now)

    assert one.change(0.0, overtaken) is None
    assert len(state_at(redis).taken) == 1
    assert state_at(redis).next_moment == pytest.approx(state_at(redis).taken[0] + DISTANCE, abs=0.001)
    assert reserved(one) > 0.0, "the turn that nobody wrote is no turn"


def test_threads_of_two_hosts_get_turns_of_their_own(redis: LocalRedis, hosts: Hosts) -> None:
    moments: list[float] = []

    def reserve_many(turns: RedisTurns) -> None:
        for _ in range(20):
            while (moment := turns.change(0.0, moment_reserved)) is None:
                pass
            moments.append(moment)

    shared = [hosts.another(redis.url()) for _ in range(2)]
    threads = [threading.Thread(target=reserve_many, args=(turns,)) for turns in shared * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(moments) == 80
    assert all(later - earlier > DISTANCE - 0.001 for earlier, later in pairwise(sorted(moments)))


def test_a_forked_child_opens_a_connection_of_its_own(redis: LocalRedis, hosts: Hosts) -> None:
    turns = hosts.another(redis.url())
    reserved(turns)
    clients = redis.ask("INFO", "clients")

    def opened() -> int:
        return int(redis.ask("INFO", "stats").partition(b"total_connections_received:")[2].split()[0])

    before = opened()
    assert float(in_a_forked_child(lambda: [reserved(turns), reserved(turns)][1])) > 0.0
    assert opened() - before == 2, "one of the child, one of this look"
    before = opened()
    assert reserved(turns) > 2 * DISTANCE
    assert opened() - before == 1, "the parent's is still open"
    assert clients


def test_a_connection_that_the_server_closed_is_opened_again(
    redis: LocalRedis, hosts: Hosts, told: Callable[[], list[str]]
) -> None:
    turns = hosts.another(redis.url())
    reserved(turns)
    redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    assert reserved(turns) > 0.0
    assert told() == []


def test_a_connection_that_was_idle_for_long_is_not_trusted(
    redis: LocalRedis, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = hosts.another(redis.url())
    reserved(turns)
    [idle] = turns._server._idle
    monkeypatch.setattr(redis_turns, "_KEPT", 0.0)

    assert reserved(turns) > 0.0
    assert turns._server._idle[0].connection is not idle.connection
    assert idle.connection._sock is None


def test_rediss_is_encrypted_and_trusts_only_the_named_authority(
    redis: LocalRedis, hosts: Hosts, tmp_path: Path, told: Callable[[], list[str]]
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def reserved_at(name: str, query: str = "") -> float:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        with tls_front(redis.port, context) as port:
            turns = hosts.another(f"rediss://:{redis.password}@127.0.0.1:{port}{query}")
            seconds = reserved(turns)
            turns._server._idle.clear()
            return seconds

    trusted = f"?ssl_ca_certs={tmp_path}/ca.pem"
    assert reserved_at("127.0.0.1", trusted) == 0.0
    assert told() == []
    assert len(state_at(redis).taken) == 1

    assert reserved_at("127.0.0.1") == reserved_at("127.0.0.2", trusted) == 0.0
    assert ["certificate verify failed" in line for line in told()] == [True, True], told()


# ---- what they do without it


def test_without_a_server_each_host_keeps_its_pace_until_it_is_there(
    hosts: Hosts, told: Callable[[], list[str]]
) -> None:
    redis = LocalRedis()
    one, other = (hosts.another(redis.url()) for _ in range(2))

    for turns in (one, other):
        assert [turns.reserve(n) for n in range(3)] == pytest.approx([0.0, DISTANCE - 1, 2 * DISTANCE - 2])
    assert len(told()) == 2, "one for each host"
    assert "WARNING The pace of flows is not shared between hosts: Redis at" in told()[0]
    assert f"'127.0.0.1:{redis.port}' cannot be used (Connection refused)" in told()[0]
    assert "redis_url under [okta_workflows]" in told()[0]
    with redis:
        assert one.reserve(5.0) == pytest.approx(3 * DISTANCE - 5)
        assert redis.ask("KEYS", "*") == [], "not tried yet"
        assert one.reserve(20.0) == 0.0
        assert other.reserve(20.0) is not None
        assert state_at(redis).next_moment - state_at(redis).taken[0] >= 2 * DISTANCE - 0.001, "both have a turn of it"
    assert [line.partition(" ")[0] for line in told()] == ["WARNING"] * 2 + ["INFO"] * 2
    assert "Hosts share the pace of flows again: Redis at" in told()[2]


def test_a_server_that_goes_and_comes_back_is_used_again(hosts: Hosts, told: Callable[[], list[str]]) -> None:
    with LocalRedis() as redis:
        turns = hosts.another(redis.url())
        reserved(turns)
        waiting = reserved(turns)
        redis.stop()

        assert waiting > 0.0
        assert turns.take(1.0) == 0.0, "the host has its own turns"
        assert turns.throttle(1.0, 1.0) == 0.0
        turns.reserve(12.0)
        assert [line.partition(" ")[0] for line in told()] == ["WARNING"], "one for all that time"

        redis.start()
        turns.reserve(30.0)
        assert len(state_at(redis).taken) == 1
        assert [line.partition(" ")[0] for line in told()] == ["WARNING", "INFO"]
        redis.stop()
        turns.reserve(31.0)
        assert len(told()) == 3, "of the next time it is told again"


def test_a_server_that_hangs_delays_one_caller_once(
    redis: LocalRedis, hosts: Hosts, told: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = hosts.another(redis.url())
    reserved(turns)
    monkeypatch.setattr(redis_turns, "_TIMEOUT", 0.2)
    turns._server._idle.clear()
    redis.hang()
    try:
        began = time.monotonic()
        assert [turns.reserve(1.0) for _ in range(3)] == pytest.approx([0.0, DISTANCE, 2 * DISTANCE])
        took = time.monotonic() - began
    finally:
        redis.go_on()
    assert 0.19 <= took < 5.0
    assert "cannot be used (no response in time)" in told()[0]
    assert len(told()) == 1


def test_a_name_that_is_looked_up_for_long_delays_no_longer_than_a_server_that_hangs(
    redis: LocalRedis, hosts: Hosts, told: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()
    monkeypatch.setattr(Connection, "connect", lambda self: found.wait(20))
    monkeypatch.setattr(redis_turns, "_TIMEOUT", 0.1)

    began = time.monotonic()
    assert hosts.another(redis.url()).reserve(0.0) == 0.0
    assert time.monotonic() - began < 5.0
    found.set()
    assert "cannot be used (no response in time)" in told()[0]


def test_an_interpreter_that_ends_and_has_no_more_threads_keeps_the_hosts_pace(
    redis: LocalRedis, hosts: Hosts, told: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert hosts.another(redis.url()).reserve(0.0) == 0.0
    assert len(told()) == 1


def test_what_takes_a_connection_and_closes_it_is_no_server(hosts: Hosts, told: Callable[[], list[str]]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def close_at_once() -> None:
            with closing(listener.accept()[0]) as client:
                # The client tells its name first, and ignores an error.
                while b"TIME" not in (data := client.recv(1000)):
                    client.sendall(b"-ERR unknown\r\n" * data.count(b"SETINFO"))

        thread = threading.Thread(target=close_at_once)
        thread.start()
        assert hosts.another(f"redis://127.0.0.1:{listener.getsockname()[1]}").reserve(0.0) == 0.0
        thread.join()
    assert "ConnectionError" in told()[0] or "reset" in told()[0]


def test_while_one_caller_tries_the_server_the_others_do_not(redis: LocalRedis, hosts: Hosts) -> None:
    turns = hosts.another(redis.url())
    turns._server._leave(0.0, "test")
    meanwhile: list[float | None] = []

    def slowly(pacer: Pacer, now: float) -> float:
        meanwhile.extend(turns.reserve(20.0) for _ in range(2))
        return pacer.reserve(now)

    assert turns.change(20.0, slowly) == 0.0
    assert meanwhile == pytest.approx([0.0, DISTANCE])
    assert reserved(turns, 20.0) > 0.0


def test_a_slow_server_is_left(redis: LocalRedis, hosts: Hosts, told: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    turns = hosts.another(redis.url())
    reserved(turns)
    ticks = iter(n * 0.9 for n in range(100))
    monkeypatch.setattr(redis_turns, "_TIMEOUT", 1.0)
    monkeypatch.setattr(Runtime, "monotonic", lambda: next(ticks))

    assert reserved(turns, 1.0) > 0.0, "what it said counts"
    assert turns.reserve(1.0) == 0.0
    assert "a change took 1.8 s" in told()[0]


def everything(told: list[str], *values: object) -> str:
    return "\n".join([*told, *map(repr, values)])


@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [
        ("", "wr0ng-pa55word", "it does not accept the user or the password"),
        ("nobody", "wr0ng-pa55word", "it does not accept the user or the password"),
        ("", "", "it does not accept the user or the password"),
    ],
)
def test_a_wrong_password_is_said_and_not_shown(
    user: str, password: str, reason: str, redis: LocalRedis, hosts: Hosts, told: Callable[[], list[str]]
) -> None:
    login = f"{user}:{password}@" if password else ""
    turns = hosts.another(f"redis://{login}127.0.0.1:{redis.port}")

    assert turns.reserve(0.0) == 0.0
    assert reason in told()[0]
    assert "wr0ng" not in everything(told(), turns._server._address, vars(turns), vars(turns._server))


def test_a_user_who_may_too_little_is_told(redis: LocalRedis, hosts: Hosts, told: Callable[[], list[str]]) -> None:
    redis.ask("ACL", "SETUSER", "ada", "on", ">pa55word", "~okta-workflows:pace:*", "+time", "+get")
    turns = hosts.another(f"redis://ada:pa55word@127.0.0.1:{redis.port}")
    assert turns.reserve(0.0) == 0.0
    assert "the user may not run TIME, GET, SET and EVAL" in told()[0]

    redis.ask("ACL", "SETUSER", "ada", "+set", "+eval")
    assert reserved(turns, 20.0) == 0.0
    assert reserved(turns, 20.0) > 0.0
    assert len(state_at(redis).taken) == 1
    redis.ask("ACL", "DELUSER", "ada")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda redis: redis.url(db=99), "DB index is out of range"),
        (lambda redis: f"redis://127.0.0.1:{free_port()}", "Connection refused"),
        (lambda redis: f"redis://does-not-exist.invalid:{redis.port}", ""),
    ],
)
def test_the_reason_is_told(
    change: Callable[[LocalRedis], str], reason: str, redis: LocalRedis, hosts: Hosts, told: Callable[[], list[str]]
) -> None:
    assert hosts.another(change(redis)).reserve(0.0) == 0.0
    [line] = told()
    assert reason in line
    assert redis.password not in line


def test_what_a_server_echoes_is_not_shown(hosts: Hosts, told: Callable[[], list[str]]) -> None:
    """Old servers quote the arguments of a command that they do not know."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def echo() -> None:
            with suppress(OSError), closing(listener.accept()[0]) as client:
                client.sendall(b"-ERR unknown command, with args: " + client.recv(1000).split()[-1] + b"\r\n")
                client.recv(1000)

        threading.Thread(target=echo, daemon=True).start()
        turns = hosts.another(f"redis://:pa55word-of-mine@127.0.0.1:{listener.getsockname()[1]}")
        assert turns.reserve(0.0) == 0.0
    assert "unknown command, with args: ***" in told()[0]
    assert "pa55word" not in everything(told())


def shown_locals(frame: Any) -> str:
    shown = []
    for value in frame.f_locals.values():
        # An object of which __init__ has not ended has no repr.
        with suppress(AttributeError):
            shown.append(repr(value))
    return "\n".join(shown)


def test_no_secret_is_in_the_locals_of_a_stopped_task(redis: LocalRedis, hosts: Hosts) -> None:
    """As an error tracker takes them, if the signal of a time-out raises at any call below the change."""
    turns = hosts.another(redis.url())
    places = 0

    class Stopped(BaseException):
        pass

    def raises_at(number: int) -> Callable[..., Any]:
        left = number

        def trace(frame: Any, event: str, arg: Any) -> Any:
            nonlocal left
            module = frame.f_globals.get("__name__", "")
            ours = module.startswith(("redis.", "airflow_okta_workflows.pace.redis"))
            # What a destructor raises goes nowhere.
            if event == "call" and ours and not any(one.f_code.co_name == "__del__" for one, _ in walk_stack(frame)):
                left -= 1
                if left == 0:
                    raise Stopped
            return None

        return trace

    for number in range(1, 200):
        turns._server._idle.clear()
        before = sys.gettrace()
        sys.settrace(raises_at(number))
        try:
            turns.reserve(0.0)
        except Stopped as stop:
            sys.settrace(before)
            frames = [frame for frame, _ in walk_tb(stop.__traceback__)][1:]
            assert redis.password not in "".join(shown_locals(frame) for frame in frames)
            places += 1
        else:
            break
        finally:
            sys.settrace(before)
    assert places > 5
    assert reserved(turns) > 0.0, "a stop in the middle leaves nothing behind"
