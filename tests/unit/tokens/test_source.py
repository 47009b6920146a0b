from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.oauth.access_token import AccessToken
from airflow_okta_workflows.core.protocol import Call, End, Join, resume
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.tokens import source as token_source
from airflow_okta_workflows.tokens.file_cache import TokenCache, open_token_cache
from airflow_okta_workflows.tokens.source import TokenSource, token_source_for
from tests.forked import in_a_forked_child


class Org:
    """Give tokens of an hour by a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.asked = 0
        self.down = False

    def token(self) -> AccessToken:
        self.asked += 1
        if self.down:
            raise CoreError(ErrorKind.TOKEN, "down")
        return AccessToken(f"t{self.asked}", self.now + 3600, 3600)

    async def atoken(self) -> AccessToken:
        await asyncio.sleep(0)
        return self.token()


@pytest.fixture
def org() -> Org:
    return Org()


@pytest.fixture
def source(org: Org) -> TokenSource:
    return TokenSource(lambda: org.now)


@pytest.fixture
def cache(tmp_path: Path) -> TokenCache:
    cache = open_token_cache(tmp_path / "tokens", "f" * 64, b"k" * 32)
    assert cache
    return cache


@dataclass
class Awaited:
    """The step of a test's request for a token on an event loop."""

    token: Awaitable[AccessToken]


def obtain(source: TokenSource, ask: Callable[[], AccessToken], *, rejected_token: str | None = None) -> AccessToken:
    """Get a token in this thread, as the client of a task process does."""

    def request() -> Any:
        yield from ()
        return ask()

    with closing(
        source.obtain(request, Runtime(clock=source._clock), rejected_token=rejected_token, blocks=True)
    ) as conversation:
        event: Any = None
        while not isinstance(step := resume(conversation, event), End):
            event = None
            match step:
                case Join(outcome):
                    outcome.exception()
                case Call():
                    event = step.perform()
        return step.result


async def aobtain(
    source: TokenSource, ask: Callable[[], Awaitable[AccessToken]], *, rejected_token: str | None = None
) -> AccessToken:
    """Get a token on this event loop, as a trigger's client does."""

    def request() -> Any:
        outcome = yield Awaited(ask())
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with closing(
        source.obtain(request, Runtime(clock=source._clock), rejected_token=rejected_token, blocks=False)
    ) as conversation:
        event: Any = None
        while not isinstance(step := resume(conversation, event), End):
            event = None
            match step:
                case Awaited(token):
                    (event,) = await asyncio.gather(token, return_exceptions=True)
                case Join(outcome):
                    await asyncio.gather(asyncio.wrap_future(outcome), return_exceptions=True)
                case Call():
                    event = step.perform()
        return step.result


Get = Callable[..., str]


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest, source: TokenSource, org: Org) -> Get:
    if request.param == "sync":
        return lambda **options: obtain(source, org.token, **options).value
    return lambda **options: asyncio.run(aobtain(source, org.atoken, **options)).value


def test_a_fresh_token_is_used_as_it_is(get: Get, org: Org) -> None:
    assert [get(), get()] == ["t1", "t1"]
    org.now += 3000
    assert get() == "t1"
    assert org.asked == 1


def test_a_stale_token_is_renewed_ahead_of_its_end(get: Get, org: Org) -> None:
    get()
    org.now += 3400

    assert get() == "t2"


def test_a_failure_stands_for_a_while(get: Get, org: Org) -> None:
    org.down = True
    for _ in range(5):
        with pytest.raises(CoreError, match="down"):
            get()
    assert org.asked == 1

    org.now += 6
    org.down = False
    assert get() == "t2"


def test_a_stale_token_that_could_not_be_renewed_is_used_and_the_org_left_alone(source: TokenSource, org: Org) -> None:
    stale = obtain(source, org.token)
    org.now += 3400
    org.down = True

    assert [obtain(source, org.token) for _ in range(5)] == [stale] * 5
    assert org.asked == 2
    org.down = False
    org.now += 6
    assert obtain(source, org.token).value == "t3"


def test_a_refused_token_is_dropped_once(get: Get, org: Org) -> None:
    get()

    assert get(rejected_token="t1") == "t2"
    assert get(rejected_token="t1") == "t2", "somebody else has renewed it already"
    assert org.asked == 2


def test_an_expired_token_and_a_clock_set_back_ask_again(get: Get, org: Org) -> None:
    get()
    org.now += 3600
    assert get() == "t2"
    org.now -= 90_000
    assert get() == "t3"


def test_threads_wait_for_the_one_who_asks(source: TokenSource, org: Org) -> None:
    go, asking = threading.Event(), threading.Event()
    got: list[str] = []

    def slow() -> AccessToken:
        asking.set()
        go.wait(10)
        return org.token()

    threads = [threading.Thread(target=lambda: got.append(obtain(source, slow).value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert asking.wait(10)
    go.set()
    for thread in threads:
        thread.join()

    assert got == ["t1"] * 8
    assert org.asked == 1


def test_while_one_renews_a_stale_token_the_others_use_it(source: TokenSource, org: Org) -> None:
    obtain(source, org.token)
    org.now += 3400
    go, asking = threading.Event(), threading.Event()

    def slow() -> AccessToken:
        asking.set()
        go.wait(10)
        return org.token()

    renewing = threading.Thread(target=obtain, args=(source, slow))
    renewing.start()
    assert asking.wait(10)

    assert obtain(source, org.token).value == "t1"
    go.set()
    renewing.join()
    assert obtain(source, org.token).value == "t2"


def test_those_who_wait_learn_of_a_failure(source: TokenSource, org: Org) -> None:
    go, asking = threading.Event(), threading.Event()
    found: list[str] = []

    def failing() -> AccessToken:
        asking.set()
        go.wait(10)
        raise CoreError(ErrorKind.TOKEN, "down")

    def ask() -> None:
        try:
            obtain(source, failing)
        except CoreError as fault:
            found.append(fault.message)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    threads[0].start()
    assert asking.wait(10)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()

    assert found == ["down"] * 3


async def test_a_cancelled_task_does_not_take_the_others_with_it(source: TokenSource, org: Org) -> None:
    started = asyncio.Event()

    async def never() -> AccessToken:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.create_task(aobtain(source, never))
    await started.wait()
    others = [asyncio.create_task(aobtain(source, org.atoken)) for _ in range(3)]
    gone = asyncio.create_task(aobtain(source, org.atoken))
    await asyncio.sleep(0)
    gone.cancel()
    first.cancel()

    assert [(await task).value for task in others] == ["t1"] * 3
    assert org.asked == 1
    for task in (first, gone):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_thread_takes_up_what_a_cancelled_task_left(source: TokenSource, org: Org) -> None:
    started = asyncio.Event()

    async def never() -> AccessToken:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.create_task(aobtain(source, never))
    await started.wait()
    other = asyncio.create_task(asyncio.to_thread(obtain, source, org.token))
    await asyncio.sleep(0)
    first.cancel()

    assert (await other).value == "t1"


async def test_a_synchronous_call_on_the_loop_that_asks_does_not_wait_for_itself(source: TokenSource, org: Org) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AccessToken:
        started.set()
        await go.wait()
        return org.token()

    renewing = asyncio.create_task(aobtain(source, slow))
    await started.wait()

    assert obtain(source, org.token).value == "t1"
    go.set()
    assert (await renewing).value == "t2"


async def test_synchronous_calls_on_the_loop_that_asks_ask_once_among_them(source: TokenSource, org: Org) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AccessToken:
        started.set()
        await go.wait()
        return org.token()

    renewing = asyncio.create_task(aobtain(source, slow))
    await started.wait()

    assert [obtain(source, org.token).value for _ in range(5)] == ["t1"] * 5
    assert org.asked == 1
    go.set()
    await renewing


def steps_while_another_process_asks(source: TokenSource, org: Org, *, blocks: bool) -> list[str]:
    """Return the names of the first steps of a caller, while another process holds the lock of the cache."""

    def request() -> Any:
        yield from ()
        return org.token()

    taken: list[str] = []
    conversation = source.obtain(request, Runtime(clock=source._clock), blocks=blocks)
    with closing(conversation):
        event: Any = None
        while len(taken) < 8 and not isinstance(step := resume(conversation, event), End):
            taken.append(type(step).__name__)
            event = step.perform() if isinstance(step, Call) else None
    return taken


@pytest.mark.parametrize("blocks", [True, False])
async def test_only_a_call_that_blocks_the_loop_waits_for_no_other_process(
    cache: TokenCache, org: Org, blocks: bool
) -> None:
    lock = cache.lock()
    with lock:
        steps = steps_while_another_process_asks(TokenSource(lambda: org.now, cache), org, blocks=blocks)

    assert ("Wait" in steps) is not blocks
    assert org.asked == int(blocks)


def test_a_thread_waits_for_another_process(cache: TokenCache, org: Org) -> None:
    lock = cache.lock()
    with lock:
        steps = steps_while_another_process_asks(TokenSource(lambda: org.now, cache), org, blocks=True)

    assert "Wait" in steps
    assert org.asked == 0


def test_an_expired_token_is_handed_out_to_nobody_while_one_renews_it(source: TokenSource, org: Org) -> None:
    obtain(source, org.token)
    org.now += 3600
    go, asking = threading.Event(), threading.Event()
    got: list[str] = []

    def slow() -> AccessToken:
        asking.set()
        go.wait(10)
        return org.token()

    threads = [threading.Thread(target=lambda: got.append(obtain(source, slow).value)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert asking.wait(10)
    assert got == []
    go.set()
    for thread in threads:
        thread.join()

    assert got == ["t2"] * 4
    assert org.asked == 2


async def test_an_expired_token_is_handed_out_to_no_task_either(source: TokenSource, org: Org) -> None:
    await aobtain(source, org.atoken)
    org.now += 3600

    tokens = await asyncio.gather(*(aobtain(source, org.atoken) for _ in range(4)))

    assert [token.value for token in tokens] == ["t2"] * 4
    assert org.asked == 2


class Settings:
    def __init__(self, identity: str) -> None:
        self.token_cache_id = identity

    def cache_encryption_key(self) -> bytes:
        return b"k" * 32


def source_for(identity: str) -> TokenSource:
    return token_source_for(Settings(identity))  # type: ignore[arg-type]  # the part of it that counts


def test_sources_are_shared_by_identity() -> None:
    source = source_for("a")

    assert source_for("a") is source
    assert source_for("b") is not source


def test_a_forked_child_waits_for_no_thread_of_its_parent(source: TokenSource, org: Org) -> None:
    go, asking = threading.Event(), threading.Event()

    def slow() -> AccessToken:
        asking.set()
        go.wait(10)
        return org.token()

    renewing = threading.Thread(target=obtain, args=(source, slow))
    renewing.start()
    assert asking.wait(10)

    assert in_a_forked_child(lambda: obtain(source, org.token).value) == "t1"
    go.set()
    renewing.join()
    assert in_a_forked_child(lambda: obtain(source, org.token).value) == "t2", "no log of the child masks the first one"
    assert obtain(source, org.token).value == "t1"


def test_a_forked_child_asks_while_its_parent_holds_each_lock(source: TokenSource, org: Org) -> None:
    with source._lock, token_source._sources_lock:
        assert in_a_forked_child(lambda: obtain(source_for("c"), org.token).value) == "t1"
        assert in_a_forked_child(lambda: obtain(source, org.token).value) == "t1"


class InterruptedTestError(BaseException):
    """What a signal handler raises, such as that of a task's time-out."""


@contextmanager
def interrupted_at(event: int) -> Iterator[None]:
    """Raise an error as the nth call made by the token source, or to it, returns."""
    left = event

    def count(frame: FrameType, kind: str, _: Any) -> None:
        nonlocal left
        if kind in ("return", "c_return") and frame.f_code.co_filename == token_source.__file__:
            left -= 1
            if left == 0:
                raise InterruptedTestError

    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_whoever_is_interrupted_at_any_moment_leaves_nobody_waiting(source: TokenSource, org: Org) -> None:
    for event in itertools.count(1):
        try:
            with interrupted_at(event):
                obtain(source, org.token, rejected_token=f"t{org.asked}")
        except InterruptedTestError:
            other = threading.Thread(target=obtain, args=(source, org.token), daemon=True)
            other.start()
            other.join(10)
            assert not other.is_alive(), f"interrupted at event {event}"
        else:
            break
    assert event > 10


def test_a_fault_of_any_other_kind_is_not_hidden_by_a_stale_token(source: TokenSource, org: Org) -> None:
    obtain(source, org.token)
    org.now += 3400

    def broken() -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        obtain(source, broken)


def shared_by(cache: TokenCache, org: Org, value: str) -> TokenSource:
    """Return a source whose host has a token by this text already."""
    cache.write(token=AccessToken(value, org.now + 3600, 3600), now=org.now)
    return TokenSource(lambda: org.now, cache)


def test_a_rejected_token_does_not_come_back_from_another_process(cache: TokenCache, org: Org) -> None:
    source = shared_by(cache, org, "from-elsewhere")
    source.drop("from-elsewhere")

    assert obtain(source, org.token).value == "t1"
    source.drop("from-elsewhere")
    assert obtain(source, org.token).value == "t1", "it was not this one that was rejected"


async def test_a_task_that_renews_takes_no_rejected_token_of_another_process(cache: TokenCache, org: Org) -> None:
    source = shared_by(cache, org, "from-elsewhere")
    assert (await aobtain(source, org.atoken)).value == "from-elsewhere"

    assert (await aobtain(source, org.atoken, rejected_token="from-elsewhere")).value == "t1"


@pytest.mark.parametrize(
    ("mode", "shared", "on_disk"), [("disk", True, True), (" Memory ", True, False), ("off", False, False)]
)
def test_the_configuration_says_who_shares(
    monkeypatch: pytest.MonkeyPatch, mode: str, shared: bool, on_disk: bool
) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", mode)

    source = source_for(f"mode {mode}")

    assert (source_for(f"mode {mode}") is source) is shared
    assert (source.cache is not None) is on_disk


def test_the_configuration_says_where_tokens_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR", f" {tmp_path / 'there'} ")
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "disk")

    cache = source_for("where").cache

    assert cache is not None
    assert cache.directory == tmp_path / "there"
    token = AccessToken("t", 2_000.0)
    cache.write(token=token, now=1.0)
    other = open_token_cache(tmp_path / "there", "where", b"k" * 32)
    assert other is not None
    entry = other.read()
    assert entry is not None
    assert entry.token == token, "by the connection's identity and key"


@pytest.mark.parametrize(
    ("mode", "told"), [("redis", "'redis'"), ("r" * 20, f"'{'r' * 20}'"), ("r" * 21, "a value of 21 characters")]
)
def test_a_mode_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch, mode: str, told: str) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", mode)

    with pytest.raises(OktaConfigurationError, match="disk, memory or off") as caught:
        source_for("x")

    assert caught.value.message == f"[okta_workflows] token_cache is {told}."
    assert caught.value.hint == "Set it to disk, memory or off."


def test_a_stale_token_that_was_refused_meanwhile_is_not_kept(source: TokenSource, org: Org) -> None:
    obtain(source, org.token)
    org.now += 3400

    def down() -> AccessToken:
        source.drop("t1")
        raise CoreError(ErrorKind.TOKEN, "down")

    assert obtain(source, down).value == "t1"
    assert obtain(source, org.token).value == "t2"


async def test_tasks_that_wait_learn_of_a_failure_each_from_an_error_of_its_own(source: TokenSource, org: Org) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def failing() -> AccessToken:
        started.set()
        await go.wait()
        raise CoreError(ErrorKind.TOKEN, "down")

    first = asyncio.create_task(aobtain(source, failing))
    await started.wait()
    others = [asyncio.create_task(aobtain(source, org.atoken)) for _ in range(2)]
    await asyncio.sleep(0)
    go.set()
    faults = await asyncio.gather(first, *others, return_exceptions=True)

    assert [str(fault) for fault in faults] == ["down"] * 3
    assert len({id(fault) for fault in faults}) == 3
    assert org.asked == 0


@pytest.mark.parametrize("error", [CoreError(ErrorKind.TOKEN, "down"), ZeroDivisionError("down")])
def test_a_thread_that_waits_learns_of_a_failure_of_any_kind(org: Org, error: Exception) -> None:
    asking, waiting = threading.Event(), threading.Event()
    found: list[Exception] = []

    def clock() -> float:
        if asking.is_set():
            waiting.set()
        return org.now

    def failing() -> AccessToken:
        asking.set()
        waiting.wait(10)
        raise error

    source_by_clock = TokenSource(clock)

    def ask(renew: Any) -> None:
        try:
            obtain(source_by_clock, renew)
        except Exception as one:
            found.append(one)

    threads = [threading.Thread(target=ask, args=(renew,)) for renew in (failing, org.token)]
    threads[0].start()
    assert asking.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join()

    assert [str(one) for one in found] == ["down"] * 2
    assert (found[0] is found[1]) is not isinstance(error, CoreError), "a fault gathers no frames of others"
    assert org.asked == 0


async def test_tasks_that_wait_learn_of_a_failure_that_is_no_fault(source: TokenSource, org: Org) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def broken() -> AccessToken:
        started.set()
        await go.wait()
        raise ZeroDivisionError

    first = asyncio.create_task(aobtain(source, broken))
    await started.wait()
    other = asyncio.create_task(aobtain(source, org.atoken))
    await asyncio.sleep(0)
    go.set()

    for task in (first, other):
        with pytest.raises(ZeroDivisionError):
            await task
    assert org.asked == 0


def test_each_who_meets_a_failure_that_stands_gets_an_error_of_its_own(get: Get, org: Org) -> None:
    org.down = True
    faults = []
    for _ in range(3):
        with pytest.raises(CoreError, match="down") as caught:
            get()
        faults.append(caught.value)

    assert len({id(fault) for fault in faults}) == 3


def test_a_failure_stands_for_five_seconds_and_not_after_the_clock_was_set_back(get: Get, org: Org) -> None:
    org.down = True
    with pytest.raises(CoreError):
        get()
    org.now += 4.9
    with pytest.raises(CoreError):
        get()
    assert org.asked == 1
    org.now += 0.1
    with pytest.raises(CoreError):
        get()
    assert org.asked == 2
    org.now -= 90_000
    with pytest.raises(CoreError):
        get()
    assert org.asked == 3


def test_a_failure_is_forgotten_once_there_is_a_token(get: Get, org: Org) -> None:
    org.down = True
    with pytest.raises(CoreError):
        get()
    org.down = False
    org.now += 5

    assert get() == "t2"
    assert get(rejected_token="t2") == "t3"


def test_a_token_may_be_refused_before_there_is_one(source: TokenSource, org: Org) -> None:
    source.drop("one")
    source.drop("other")
    obtain(source, org.token)
    source.drop("other")

    assert obtain(source, org.token).value == "t1", "it was neither of these that was refused"
    source.drop("t1")
    assert obtain(source, org.token).value == "t2"


async def test_a_token_that_was_refused_meanwhile_is_not_kept_by_a_call_on_the_loop_either(
    source: TokenSource, org: Org
) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AccessToken:
        started.set()
        await go.wait()
        return org.token()

    def refused_meanwhile() -> AccessToken:
        token = org.token()
        source.drop(token.value)
        return token

    renewing = asyncio.create_task(aobtain(source, slow))
    await started.wait()

    assert obtain(source, refused_meanwhile).value == "t1"
    assert obtain(source, org.token).value == "t2"
    go.set()
    await renewing


async def test_a_synchronous_call_on_the_loop_that_asks_takes_no_rejected_token(cache: TokenCache, org: Org) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AccessToken:
        started.set()
        await go.wait()
        return org.token()

    source = shared_by(cache, org, "stale")
    assert obtain(source, org.token).value == "stale"
    org.now += 3400
    renewing = asyncio.create_task(aobtain(source, slow))
    await started.wait()

    assert obtain(source, org.token, rejected_token="stale").value == "t1"
    go.set()
    await renewing


def test_a_fresh_token_that_turns_stale_soon_is_renewed_then(source: TokenSource, org: Org) -> None:
    obtain(source, lambda: AccessToken("short", org.now + 421, 3600))
    assert obtain(source, org.token).value == "short"
    org.now += 2

    assert obtain(source, org.token).value == "t1"
