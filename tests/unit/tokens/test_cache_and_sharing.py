from __future__ import annotations

import itertools
import logging
import os
import pwd
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.oauth.access_token import AccessToken
from airflow_okta_workflows.core.protocol import Call, Conversation, Log, MaskSecrets, Wait
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.private_directory import private_directory
from airflow_okta_workflows.tokens import file_cache as token_cache
from airflow_okta_workflows.tokens.coordination import obtain_shared_token
from airflow_okta_workflows.tokens.file_cache import TokenCache, open_token_cache, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_000_000.0
KEY = secrets.token_bytes(32)
IDENTITY, OTHER = "ab" * 32, "cd" * 32
TOKEN = AccessToken("t0ken-on-disk", NOW + 3600, 3600)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "a" / "tokens"


@pytest.fixture
def cache(directory: Path) -> TokenCache:
    opened = open_token_cache(directory, IDENTITY, KEY)
    assert opened
    return opened


def only_file(cache: TokenCache) -> Path:
    (path,) = cache.directory.glob("*.token")
    return path


def test_a_token_is_kept_where_only_its_owner_reads_it(cache: TokenCache) -> None:
    assert cache.read() is None
    cache.write(token=TOKEN, now=NOW)

    entry = cache.read()
    assert entry
    assert (entry.token, entry.failure, entry.written_at) == (TOKEN, None, NOW)
    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(cache).stat().st_mode) == 0o600
    assert b"t0ken" not in only_file(cache).read_bytes()
    assert [path.suffix for path in cache.directory.iterdir()] == [".token"], "nothing half-written stays"
    assert "t0ken" not in repr(entry)
    assert str(KEY) not in repr(cache)


def test_a_failure_is_kept_too(cache: TokenCache) -> None:
    cache.write(
        failure=CoreError(ErrorKind.TOKEN_REFUSED, "What.", "Change this.", detail="More.", status_code=401, error="e"),
        now=NOW,
    )

    entry = cache.read()
    assert entry
    assert entry.token is None
    assert entry.failure is not None
    assert (entry.failure.kind, str(entry.failure)) == (
        ErrorKind.TOKEN_REFUSED,
        "What.\nWhat to change: Change this.\nMore.",
    )
    assert entry.failure.data == {"status_code": 401, "error": "e"}


def spoil(change: Callable[[bytes], bytes]) -> Callable[[TokenCache], None]:
    def do(cache: TokenCache) -> None:
        only_file(cache).write_bytes(change(only_file(cache).read_bytes()))

    return do


def replace_by(cache: TokenCache, make: Callable[[Path], Any]) -> None:
    path = only_file(cache)
    path.rename(path.with_name("elsewhere"))
    make(path)


SPOILED: dict[str, Callable[[TokenCache], Any]] = {
    "empty": spoil(lambda data: b""),
    "cut": spoil(lambda data: data[:-1]),
    "a bit flipped": spoil(lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    "another format": spoil(lambda data: b"x" + data[1:]),
    "huge": spoil(lambda data: data + b"\0" * 100_000),
    "readable by others": lambda cache: only_file(cache).chmod(0o644),
    "a link": lambda cache: replace_by(cache, lambda path: path.symlink_to(path.with_name("elsewhere"))),
    "a directory": lambda cache: replace_by(cache, Path.mkdir),
    "a pipe": lambda cache: replace_by(cache, os.mkfifo),
}


@pytest.mark.parametrize("name", SPOILED)
def test_an_entry_that_cannot_be_trusted_is_a_miss(cache: TokenCache, name: str) -> None:
    cache.write(token=TOKEN, now=NOW)
    SPOILED[name](cache)

    assert cache.read() is None


def test_an_entry_of_another_key_or_another_name_is_a_miss(cache: TokenCache) -> None:
    cache.write(token=TOKEN, now=NOW)

    assert TokenCache(cache.directory, IDENTITY, b"x" * 32).read() is None
    only_file(cache).rename(cache.directory / f"{OTHER}.token")
    assert TokenCache(cache.directory, OTHER, KEY).read() is None


@given(st.binary())
def test_any_file_is_an_entry_or_a_miss(data: bytes) -> None:
    cache = TokenCache(Path("/nowhere"), IDENTITY, KEY)

    assert cache._decode(data) is None
    assert cache._decode(token_cache._MAGIC + data) is None


def test_what_was_sealed_with_another_content_is_a_miss(cache: TokenCache) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    for content in (
        b"[]",
        b"{}",
        b'{"written_at": "x"}',
        b'{"written_at": 1, "token": [1]}',
        b'{"written_at": 1, "failure": ["x"]}',
    ):
        sealed = AESGCM(KEY).encrypt(b"n" * 12, content, cache._context())
        assert cache._decode(token_cache._MAGIC + b"n" * 12 + sealed) is None


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda path: path.chmod(0o777), "can be written by other users"),
        (lambda path: path.chmod(0o770), "can be written by other users"),
        (lambda path: (path.rmdir(), path.write_text("")), "is not a directory"),
        (
            lambda path: (path.rename(path.with_name("real")), path.symlink_to(path.with_name("real"))),
            "not a directory of its own",
        ),
    ],
)
def test_a_directory_that_cannot_be_trusted_is_one_warning(
    directory: Path, prepare: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir(parents=True)
    prepare(directory)

    with caplog.at_level(logging.WARNING):
        assert open_token_cache(directory, IDENTITY, KEY) is None
        assert open_token_cache(directory, IDENTITY, KEY) is None

    assert [reason in record.getMessage() for record in caplog.records] == [True]


def test_another_user_s_directory_is_not_used(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    assert open_token_cache(directory, IDENTITY, KEY) is None


def test_a_directory_that_cannot_be_written_is_not_used(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    assert open_token_cache(directory, IDENTITY, KEY) is None


def test_a_cache_that_cannot_write_does_not_stop_a_task(cache: TokenCache, caplog: pytest.LogCaptureFixture) -> None:
    gone = TokenCache(cache.directory / "gone", IDENTITY, KEY)

    with caplog.at_level(logging.WARNING):
        gone.write(token=TOKEN, now=NOW)

    assert "could not be kept" in caplog.text
    assert gone.read() is None
    assert try_lock(TokenCache(Path("/proc/none"), "i", KEY).lock()) is None


DAY = 86_400


def put(path: Path, data: bytes = b"", *, age: float = DAY + 60, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_nobody_renews_is_removed(cache: TokenCache) -> None:
    entry = token_cache._MAGIC + b"x" * 100
    old = [
        put(cache.directory / f"{OTHER}.token", entry),
        put(cache.directory / f"{OTHER}.lock"),
        put(cache.directory / f"{OTHER}.{'0' * 16}.tmp", entry),
        put(cache.directory / f"{OTHER}.{'1' * 16}.tmp", entry[:5]),
        put(cache.directory / f"{OTHER}.{'2' * 16}.tmp"),
        put(cache.directory / f"{'ef' * 32}.token", b"okta-workflows-token-9\n of a later version"),
    ]
    young = [
        put(cache.directory / f"{'12' * 32}.token", entry, age=60),
        put(cache.directory / f"{'12' * 32}.lock"),
        put(cache.directory / f"{'34' * 32}.lock", age=60),
        put(cache.directory / f"{'34' * 32}.{'0' * 16}.tmp", age=60),
    ]

    for _ in range(2):
        cache.write(token=TOKEN, now=time.time())

    assert [path.name for path in old if path.exists()] == [], "a lock goes with its token, or one write later"
    assert all(path.exists() for path in young)
    assert cache.read() is not None


FOREIGN: dict[str, bytes] = {
    "github.token": b"",
    "vault.token": b"s.secret",
    "report.tmp": b"",
    "notes.txt": b"",
    ".token": b"",
    "poetry.lock": b"",
    f"{OTHER}.token": b"a token of somebody else's",
    f"{'ef' * 32}.token": b"",
    f"{OTHER.upper()}.token": token_cache._MAGIC,
    f"{OTHER[:-1]}.token": token_cache._MAGIC,
    f"{OTHER}a.token": token_cache._MAGIC,
    f"x{OTHER}.token": token_cache._MAGIC,
    f"{OTHER}.token.bak": token_cache._MAGIC,
    f"{OTHER}.tmp": b"",
    f"{OTHER}.{'0' * 15}.tmp": b"",
    f"{OTHER}.{'0' * 16}.tmp": b"something else",
    f"{OTHER}.lock": b"not empty",
    f"{OTHER}.token\n": token_cache._MAGIC,
}


def test_what_the_cache_has_not_written_is_never_removed(cache: TokenCache) -> None:
    for name, data in FOREIGN.items():
        put(cache.directory / name, data)
    elsewhere = put(cache.directory / "elsewhere", token_cache._MAGIC)
    (cache.directory / f"{'12' * 32}.token").symlink_to(elsewhere)
    (cache.directory / f"{'34' * 32}.token").mkdir()
    os.mkfifo(cache.directory / f"{'56' * 32}.token")
    before = sorted(path.name for path in cache.directory.iterdir())

    for _ in range(2):
        cache.write(token=TOKEN, now=time.time() + 100 * DAY)
        cache.write(failure=CoreError(ErrorKind.TOKEN, "down"), now=time.time() + 100 * DAY)

    assert sorted({path.name for path in cache.directory.iterdir()} - {f"{IDENTITY}.token"}) == before


def test_files_of_another_user_stay(cache: TokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(cache.directory / f"{OTHER}.token", token_cache._MAGIC)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    cache.write(token=TOKEN, now=time.time())

    assert path.exists()


def test_a_lock_that_somebody_holds_is_not_removed(cache: TokenCache) -> None:
    held = TokenCache(cache.directory, OTHER, KEY).lock()
    assert try_lock(held)
    os.utime(held.lock_file, (time.time() - 2 * DAY,) * 2)

    cache.write(token=TOKEN, now=time.time())
    assert Path(held.lock_file).exists()
    assert try_lock(TokenCache(cache.directory, OTHER, KEY).lock()) is False, "it excludes others as before"
    # The attempt has emptied the file once more, in earlier releases of filelock.
    os.utime(held.lock_file, (time.time() - 2 * DAY,) * 2)
    held.release()
    cache.write(token=TOKEN, now=time.time())
    assert not Path(held.lock_file).exists()
    assert try_lock(held)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_each_directory_that_is_made_is_private_and_none_that_is_there_changes(tmp_path: Path, umask: int) -> None:
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    directory = there / "a" / "b" / "tokens"
    before = os.umask(umask)
    try:
        assert open_token_cache(directory, IDENTITY, KEY)
        assert open_token_cache(directory, IDENTITY, KEY)
    finally:
        os.umask(before)

    assert [stat.S_IMODE(path.stat().st_mode) for path in (there / "a", there / "a" / "b", directory)] == [0o700] * 3
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tokens").symlink_to(tmp_path / "nowhere" / "tokens")

    assert open_token_cache(tmp_path / "tokens", IDENTITY, KEY) is None
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), RuntimeError("x"), KeyError("x"), ValueError("x")])
@pytest.mark.parametrize("name", ["open", "fstat", "scandir", "geteuid", "access", "mkdir"])
def test_nothing_that_a_file_system_does_stops_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, name: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    existing = open_token_cache(tmp_path / "existing", IDENTITY, KEY)
    assert existing
    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        assert existing.read() is None
        existing.write(token=TOKEN, now=NOW)
        try_lock(existing.lock())
        opened = open_token_cache(tmp_path / "new", IDENTITY, KEY)
        assert opened is None or Host(opened).token() == "new-1"


@pytest.mark.parametrize(
    "error",
    [
        OSError(37, "no locks"),
        NotImplementedError("no locks"),  # what filelock before 3.24 raises where a file system has no locks
        RuntimeError("x"),
        KeyError("x"),
    ],
)
def test_a_lock_that_cannot_be_is_done_without(cache: TokenCache, error: Exception) -> None:
    class NoLock:
        def acquire(self, **options: Any) -> None:
            raise error

        def release(self) -> None:
            raise error

    lock: Any = NoLock()

    assert try_lock(lock) is None
    token_cache.release(lock)


def test_the_default_directory_is_the_user_s_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    for base, root in (("", "/home/ada/.cache"), ("relative", "/home/ada/.cache"), ("/var/c", "/var/c")):
        monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert private_directory("") == Path(root) / "airflow-okta-workflows"
    assert private_directory("~/tokens") == Path("/home/ada/tokens")
    assert private_directory("/var/tokens") == Path("/var/tokens")


def test_without_a_home_directory_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> Any:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)

    assert [private_directory(name) for name in ("", "~", "~/x", "~no-such-user/x")] == [None] * 4
    assert private_directory("/var/tokens") == Path("/var/tokens")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/c")
    assert private_directory("") == Path("/var/c/airflow-okta-workflows")


def test_no_directory_is_one_warning_that_says_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    token_cache._warned.clear()
    with caplog.at_level(logging.WARNING):
        assert [open_token_cache(None, identity, KEY) for identity in (IDENTITY, OTHER)] == [None, None]

    (record,) = caplog.records
    assert "no home directory" in record.getMessage()
    assert "Set token_cache_dir" in record.getMessage()


class Host:
    """Play one process of a host that wants a token."""

    def __init__(self, cache: TokenCache | None, now: float = NOW) -> None:
        self.cache = cache
        self.now = now
        self.asked = 0
        self.fault: CoreError | None = None
        self.patient = True
        self.random = 0.5
        self.masked: list[str] = []
        self.masked_until: list[float] = []
        self.waited: list[float] = []
        self.logged: list[str] = []
        self.while_waiting: Callable[[], Any] = lambda: None

    def _ask(self) -> Conversation[AccessToken]:
        self.asked += 1
        if self.fault:
            raise self.fault
        yield Wait(0.0, "")
        return AccessToken(f"new-{self.asked}", self.now + 3600, 3600)

    def conversation(
        self, stale_token: AccessToken | None = None, rejected_token: str | None = None
    ) -> Conversation[AccessToken]:
        return obtain_shared_token(
            self._ask,
            self.cache,
            stale_token=stale_token,
            rejected_token=rejected_token,
            runtime=Runtime(clock=lambda: self.now, random=lambda: self.random),
            patient=self.patient,
        )

    def token(self, stale_token: AccessToken | None = None, rejected_token: str | None = None) -> str:
        conversation = self.conversation(stale_token, rejected_token)
        event: Any = None
        try:
            while True:
                step = conversation.send(event)
                event = None
                match step:
                    case Call():
                        event = step.perform()
                    case MaskSecrets(texts, until):
                        self.masked += texts
                        self.masked_until.append(until)
                    case Log(text):
                        self.logged.append(text)
                    case Wait(seconds, reason):
                        assert reason == "", "it is not worth a line in the log"
                        self.waited.append(seconds)
                        if seconds and not reason:
                            self.while_waiting()
        except StopIteration as end:
            return str(end.value.value)


def locked(cache: TokenCache) -> Any:
    lock = cache.lock()
    assert try_lock(lock)
    return lock


def test_a_token_of_another_process_is_taken_over(cache: TokenCache) -> None:
    cache.write(token=TOKEN, now=NOW)
    host = Host(cache)

    assert host.token() == "t0ken-on-disk"
    assert host.asked == 0
    assert host.masked == ["t0ken-on-disk"]
    assert host.masked_until == [TOKEN.expires_at]


def test_the_first_asks_for_all(cache: TokenCache) -> None:
    assert Host(cache).token() == "new-1"
    other = Host(cache)
    assert other.token() == "new-1"
    assert other.asked == 0
    assert try_lock(cache.lock()), "it is free again"


def test_a_task_that_is_cancelled_at_any_step_leaves_the_lock_free(cache: TokenCache) -> None:
    for last in itertools.count(1):
        conversation = Host(cache).conversation()
        step: Any = None
        try:
            for _ in range(last):
                step = conversation.send(step.perform() if isinstance(step, Call) else None)
        except StopIteration:
            break
        conversation.close()
        if isinstance(step, Call) and step.in_thread:
            # The thread in which an event loop calls the function goes on after the task is cancelled.
            step.perform()

        lock = cache.lock()
        assert try_lock(lock), f"cancelled at step {last}"
        lock.release()

    assert last > 5


def test_who_comes_while_one_asks_waits_for_the_token(cache: TokenCache) -> None:
    lock = locked(cache)
    host = Host(cache)
    host.random = 0.25

    def bring_the_token_at_last() -> None:
        if len(host.waited) == 3:
            cache.write(token=TOKEN, now=NOW)

    host.while_waiting = bring_the_token_at_last

    assert host.token() == "t0ken-on-disk"
    assert host.waited == [0.05 * 0.75] * 3
    assert host.asked == 0
    lock.release()


def test_who_comes_while_one_asks_and_is_killed_asks_next(cache: TokenCache) -> None:
    lock = locked(cache)
    host = Host(cache)
    host.while_waiting = lock.release

    assert host.token() == "new-1"


def test_a_process_that_hangs_is_not_waited_for_for_ever(cache: TokenCache) -> None:
    lock = locked(cache)
    host = Host(cache)

    assert host.token() == "new-1"
    assert 299.99 < sum(host.waited) < 300.1
    lock.release()


def test_who_may_not_wait_asks_at_once(cache: TokenCache) -> None:
    lock = locked(cache)
    host = Host(cache)
    host.patient = False

    assert host.token() == "new-1"
    assert sum(host.waited) == 0
    other = Host(cache)
    assert (other.token(), other.asked) == ("new-1", 0), "it is there for the others"
    lock.release()
    free = Host(None, NOW)
    free.patient = False
    assert free.token() == "new-1"


def test_a_stale_token_is_used_while_another_process_renews_it(cache: TokenCache) -> None:
    cache.write(token=TOKEN, now=NOW)
    lock = locked(cache)
    host = Host(cache, NOW + 3400)

    assert host.token() == "t0ken-on-disk"
    assert host.waited == []
    lock.release()
    assert host.token() == "new-1"
    assert Host(cache, NOW + 3400).token() == "new-1"


def test_a_stale_token_serves_while_it_cannot_be_renewed(cache: TokenCache) -> None:
    cache.write(token=TOKEN, now=NOW)
    host = Host(cache, NOW + 3400)
    host.fault = CoreError(ErrorKind.TOKEN, "down")

    assert host.token() == "t0ken-on-disk"
    assert "could not be renewed" in host.logged[0]
    other = Host(cache, NOW + 3402)
    assert other.token() == "t0ken-on-disk"
    assert other.asked == 0, "the failure is everybody's for a while"
    assert Host(cache, NOW + 3410).token() == "new-1"
    assert Host(None, NOW + 3400).token(stale_token=TOKEN) == "new-1"


def test_a_slow_process_does_not_overwrite_a_newer_token(cache: TokenCache) -> None:
    newer = AccessToken("newer", NOW + 3700, 3700)

    class Slow(Host):
        def _ask(self) -> Conversation[AccessToken]:
            # Another process gave up waiting for this one, and was faster.
            cache.write(token=newer, now=NOW)
            return (yield from super()._ask())

    assert Slow(cache).token() == "new-1"
    entry = cache.read()
    assert entry
    assert entry.token == newer


def test_a_failure_does_not_take_the_stale_token_from_the_others(cache: TokenCache) -> None:
    cache.write(token=TOKEN, now=NOW)
    host = Host(cache, NOW + 3400)
    host.fault = CoreError(ErrorKind.TOKEN, "down")
    host.token()

    entry = cache.read()
    assert entry
    assert (entry.token, entry.written_at) == (TOKEN, NOW + 3400)
    assert str(entry.failure) == "down"


def test_without_a_cache_a_known_stale_token_serves_where_the_org_gives_none() -> None:
    host = Host(None, NOW + 3400)
    host.fault = CoreError(ErrorKind.TOKEN, "down")

    assert host.token(stale_token=TOKEN) == "t0ken-on-disk"
    with pytest.raises(CoreError, match="down"):
        host.token()


def test_a_known_stale_token_serves_while_another_asks_or_has_failed(cache: TokenCache) -> None:
    lock = locked(cache)
    assert Host(cache, NOW + 3400).token(stale_token=TOKEN) == "t0ken-on-disk"
    lock.release()

    cache.write(failure=CoreError(ErrorKind.TOKEN, "down"), now=NOW + 3400)
    host = Host(cache, NOW + 3401)
    assert host.token(stale_token=TOKEN) == "t0ken-on-disk"
    assert host.masked == ["t0ken-on-disk"]
    assert host.asked == 0


def test_without_locks_a_stale_token_serves_while_the_org_gives_none(
    cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: Any, **__: Any) -> None:
        raise OSError(37, "no locks")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    host = Host(cache, NOW + 3400)
    host.fault = CoreError(ErrorKind.TOKEN, "down")

    assert host.token(stale_token=TOKEN) == "t0ken-on-disk"
    assert Host(cache, NOW + 3400).token(stale_token=TOKEN) == "t0ken-on-disk", "the failure is everybody's for a while"


def test_a_token_as_good_as_the_shared_one_takes_its_place(cache: TokenCache) -> None:
    class Slow(Host):
        def _ask(self) -> Conversation[AccessToken]:
            cache.write(token=TOKEN, now=NOW)
            return (yield from super()._ask())

    assert Slow(cache).token() == "new-1"
    entry = cache.read()
    assert entry
    assert entry.token
    assert entry.token.value == "new-1"


def test_a_refused_token_of_another_process_s_failure_is_not_used(cache: TokenCache) -> None:
    cache.write(token=TOKEN, failure=CoreError(ErrorKind.TOKEN, "down"), now=NOW)

    with pytest.raises(CoreError, match="down"):
        Host(cache, NOW + 4.9).token(rejected_token="t0ken-on-disk")
    assert Host(cache, NOW + 5).token(rejected_token="t0ken-on-disk") == "new-1"


@pytest.mark.parametrize(("ahead", "token"), [(5, "t0ken-on-disk"), (5.1, "new-1")])
def test_an_entry_may_be_a_little_ahead_of_the_clock(cache: TokenCache, ahead: float, token: str) -> None:
    cache.write(token=TOKEN, now=NOW + ahead)

    assert Host(cache).token() == token


def test_a_failure_is_everybody_s_for_a_while(cache: TokenCache) -> None:
    host, other = Host(cache), Host(cache, NOW + 3)
    host.fault = CoreError(ErrorKind.TOKEN, "down")
    for one in (host, other):
        with pytest.raises(CoreError, match="down"):
            one.token()
    assert (host.asked, other.asked) == (1, 0)
    assert Host(cache, NOW + 6).token() == "new-1"


def test_a_refused_token_is_replaced_once(cache: TokenCache) -> None:
    cache.write(token=TOKEN, now=NOW)
    first, second = Host(cache), Host(cache)

    assert first.token(rejected_token="t0ken-on-disk") == "new-1"
    assert second.token(rejected_token="t0ken-on-disk") == "new-1"
    assert (first.asked, second.asked) == (1, 0)


@pytest.mark.parametrize(
    "useless", [AccessToken("refused", NOW + 3700, 3700), AccessToken("of another time", NOW + 90_000, 3600)]
)
@pytest.mark.parametrize("patient", [True, False])
def test_a_token_that_cannot_be_used_does_not_count_as_newer(
    cache: TokenCache, useless: AccessToken, patient: bool
) -> None:
    cache.write(token=useless, now=NOW)
    lock = cache.lock()
    assert patient or try_lock(lock)
    host = Host(cache)
    host.patient = patient

    assert host.token(rejected_token="refused") == "new-1"
    other = Host(cache)
    assert (other.token(), other.asked) == ("new-1", 0), "it is what the others find"
    lock.release()


@pytest.mark.parametrize(
    ("token", "written_at"),
    [
        (AccessToken("t", NOW - 1, 3600), NOW),
        (AccessToken("t", NOW + 90_000, 3600), NOW),
        (TOKEN, NOW + 60),
    ],
)
def test_an_entry_out_of_its_time_is_a_miss(cache: TokenCache, token: AccessToken, written_at: float) -> None:
    cache.write(token=token, now=written_at)

    assert Host(cache).token() == "new-1"


def test_without_locks_and_without_a_cache_each_asks(cache: TokenCache) -> None:
    assert Host(TokenCache(Path("/proc/none"), "i", KEY)).token() == "new-1"
    assert Host(None).token() == "new-1"
