"""The file with the pace of a flow: what processes share through it, and what it does not trust."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.retry.pacer import FLOW_RATE, IDLE, MOST_TAKEN, Pacer, PaceState
from airflow_okta_workflows.pace import encoding, host
from airflow_okta_workflows.pace.host import HostTurns, PaceFile
from tests.forked import in_a_forked_child
from tests.virtual_pace import VirtualHostTurns

URL = "https://acme.workflows.okta.com/api/flo/1a2b/invoke"
SECRET = "1a2b"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "a" / "okta"


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    host._warned.clear()

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    yield told
    host._warned.clear()


def only_file(directory: Path) -> Path:
    [path] = directory.iterdir()
    return path


def reserved(turns: HostTurns, now: float = 0.0) -> float:
    seconds = turns.reserve(now)
    assert seconds is not None
    return seconds


def test_two_who_share_a_directory_get_different_turns(directory: Path) -> None:
    one, other = (VirtualHostTurns(directory, URL, FLOW_RATE) for _ in range(2))

    moments = [reserved(turns) for turns in (one, other, other, one, other)]

    assert moments == pytest.approx([n * 0.103 for n in range(5)])


def test_flows_have_turns_of_their_own(directory: Path) -> None:
    flows = [VirtualHostTurns(directory, f"{URL}/{name}", FLOW_RATE) for name in "ab"]

    assert [reserved(turns) for turns in flows] == [0.0, 0.0]
    assert len(list(directory.iterdir())) == 2


def test_a_429_throttles_all(directory: Path) -> None:
    one, other = (VirtualHostTurns(directory, URL, FLOW_RATE) for _ in range(2))
    assert reserved(one) == 0.0
    waiting = reserved(other)

    assert one.throttle(0.05, 30.0) == 0.0

    assert other.take(waiting) == pytest.approx(30.05 - waiting)
    assert reserved(one, 0.2) > 29.8


def test_a_forked_child_shares_the_turns(directory: Path) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    assert reserved(turns) == 0.0

    assert float(in_a_forked_child(lambda: turns.reserve(0.0))) == pytest.approx(0.103)
    assert reserved(turns) == pytest.approx(0.206)


def test_the_file_is_private_of_one_size_and_has_no_secret(directory: Path) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    sizes = set()
    for number in range(50):
        turns.reserve(number / 5)
        sizes.add(only_file(directory).stat().st_size)

    path = only_file(directory)
    assert len(sizes) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert SECRET not in path.name
    assert SECRET.encode() not in path.read_bytes()


def test_another_boot_has_another_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = PaceFile(directory, URL).path
    monkeypatch.setattr(host, "_clock_identity", lambda: "another boot")

    assert PaceFile(directory, URL).path != now


def test_the_identity_of_the_clock_is_that_of_this_boot() -> None:
    host._clock_identity.cache_clear()
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() in host._clock_identity()


def missing(*_: Any) -> Any:
    raise FileNotFoundError


@pytest.fixture
def fresh_identity() -> Iterator[None]:
    host._clock_identity.cache_clear()
    yield
    host._clock_identity.cache_clear()


@pytest.mark.usefixtures("fresh_identity")
def test_without_proc_the_name_of_the_host_identifies_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(Path, "readlink", missing)

    assert host._clock_identity() == os.uname().nodename


@pytest.mark.usefixtures("fresh_identity")
def test_a_kernel_without_time_namespaces_still_has_the_id_of_its_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "readlink", missing)

    assert host._clock_identity() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 200, b"x" * 100_000, os.urandom(205)])
def test_a_damaged_file_is_an_idle_flow(directory: Path, content: bytes) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    turns.throttle(0.0, 1000.0)
    only_file(directory).write_bytes(content)

    assert reserved(turns) == 0.0
    assert reserved(turns) > 0.0


def test_a_file_of_another_clock_is_an_idle_flow(directory: Path) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    turns.throttle(1e6, 1000.0)

    assert reserved(turns, 5.0) == 0.0


def test_a_time_that_was_read_long_ago_is_not_used(directory: Path) -> None:
    """A busy thread pool or Redis server that is not available may come between the caller's time and the file."""
    now = time.monotonic()
    one, other = (HostTurns(directory, URL, FLOW_RATE) for _ in range(2))
    one.throttle(now, 60.0)

    waiting = other.reserve(now - 30.0)

    assert waiting is not None
    assert waiting > 0.0
    assert encoding.decode(only_file(directory).read_bytes()).held_until >= now + 60.0


def test_without_the_file_a_time_that_was_read_long_ago_is_not_used_either() -> None:
    now = time.monotonic()
    turns = HostTurns(None, URL, FLOW_RATE)
    turns.throttle(now, 60.0)

    waiting = turns.reserve(now - 30.0)

    assert waiting is not None
    assert waiting > 0.0


numbers = st.floats(allow_nan=False)


@given(st.builds(PaceState, numbers, numbers, numbers, st.integers(0, 2**32 - 1), numbers, numbers, st.lists(numbers, max_size=MOST_TAKEN).map(tuple)))  # fmt: skip
def test_any_state_is_read_as_it_was_written(state: PaceState) -> None:
    data = encoding.encode(state)

    assert encoding.decode(data) == state
    assert encoding.decode(data[:-1]) == IDLE
    assert encoding.decode(bytes([data[0] ^ 1]) + data[1:]) == IDLE


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 0.5)), max_size=60))
def test_any_order_of_requesters_goes_round(order: list[tuple[int, float]]) -> None:
    """Each is a requester that reserves its next turn once it has taken its last, some later than their moment."""
    state, now = IDLE, 0.0
    waiting: dict[int, float] = {}
    taken: list[float] = []

    def change(method: Callable[[Pacer, float], float]) -> float:
        # Each change in another process: nothing but the state goes from one to the next.
        nonlocal state
        pacer = Pacer(FLOW_RATE, state)
        seconds = method(pacer, now)
        state = pacer.state
        return seconds

    for requester, late in order:
        if requester not in waiting:
            seconds = change(Pacer.reserve)
            assert seconds <= 0.103 * (len(waiting) + 1) + 1.015, "at most one turn for each that is waiting"
            if seconds > 0:
                waiting[requester] = now + seconds
            else:
                taken.append(now)
            continue
        now = max(now, waiting[requester]) + late
        while (seconds := change(Pacer.take)) > 0:
            now += seconds
        taken.append(now)
        del waiting[requester]

    assert taken == sorted(taken)
    for first, eleventh in zip(taken, taken[10:], strict=False):
        assert eleventh - first >= 1.015 - 1e-9


def test_those_who_wake_late_together_do_not_pass_together(directory: Path) -> None:
    """A busy machine wakes twenty requesters, whose moments have come, at once."""
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    for _ in range(20):
        turns.reserve(0.0)

    waits = [turns.take(5.0) for _ in range(20)]
    assert waits[:10] == [0.0] * 10
    assert waits[10:] == pytest.approx([1.015] * 10)


# ---- what it does not wait for, and does not trust


def lock(directory: Path) -> int:
    descriptor = os.open(only_file(directory), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_a_locked_file_is_asked_again(directory: Path, warnings: Any) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    turns.reserve(0.0)
    descriptor = lock(directory)

    assert turns.reserve(0.0) is None
    assert turns.take(1.0) is None
    os.close(descriptor)
    assert reserved(turns) == pytest.approx(0.103)
    assert warnings() == []


class ChangeError(Exception):
    """What a signal handler raises in the middle of a change."""


def test_no_change_leaves_a_descriptor_or_a_lock(directory: Path) -> None:
    def interrupted(pacer: Pacer, moment: float) -> float:
        raise ChangeError

    directory.mkdir(parents=True, mode=0o700)
    file = PaceFile(directory, URL)
    file.change(FLOW_RATE, Pacer.reserve)
    descriptors = {one.name for one in Path("/dev/fd").iterdir()}

    with pytest.raises(ChangeError):
        file.change(FLOW_RATE, interrupted)
    assert file.change(FLOW_RATE, Pacer.reserve) is not None
    holder = lock(directory)
    assert file.change(FLOW_RATE, Pacer.reserve) is None
    os.close(holder)
    only_file(directory).chmod(0o644)
    with pytest.raises(OSError, match="not a file of this user alone"):
        PaceFile(directory, URL).change(FLOW_RATE, Pacer.reserve)
    assert {one.name for one in Path("/dev/fd").iterdir()} == descriptors


def test_a_holder_that_hangs_is_left_alone_and_the_file_used_again_later(directory: Path, warnings: Any) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    turns.reserve(0.0)
    descriptor = lock(directory)
    for moment in (0.0, 0.7, 1.4):
        assert turns.reserve(moment) is None

    assert [turns.reserve(2.0) for _ in range(3)] == pytest.approx([0.0, 0.103, 0.206]), "the process's own pace"
    for moment in (40.0, 40.7, 41.4):
        assert turns.reserve(moment) is None, "tried again"
    turns.reserve(42.0)
    os.close(descriptor)
    assert len(warnings()) == 1
    assert "The pace of flows is not shared between processes: a process that was stopped has locked" in warnings()[0]
    assert "token_cache_dir" not in warnings()[0], "another directory would not help"

    other = VirtualHostTurns(directory, URL, FLOW_RATE)
    assert [turns.reserve(80.0), other.reserve(80.0)] == pytest.approx([0.0, 0.103]), "shared again"


def test_two_short_locks_long_apart_are_not_one_long_lock(directory: Path, warnings: Any) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    turns.reserve(0.0)
    for moment in (1.0, 6.0):
        descriptor = lock(directory)
        assert turns.reserve(moment) is None
        os.close(descriptor)

    assert reserved(turns, 6.0) == 0.0
    assert warnings() == []


def test_who_is_killed_with_the_lock_loses_it(directory: Path) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    turns.reserve(0.0)

    def die() -> None:  # pragma: no cover  # in another process
        lock(directory)
        os.kill(os.getpid(), 9)

    in_a_forked_child(die)
    assert reserved(turns) > 0.0


def spoil_mode(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o777)


def spoil_kind(directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("")


def spoil_file(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    path = PaceFile(directory, URL).path
    path.write_text("")
    path.chmod(0o666)


def spoil_link(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    PaceFile(directory, URL).path.symlink_to(directory / "elsewhere")


def spoil_pipe(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    os.mkfifo(PaceFile(directory, URL).path, 0o600)


@pytest.mark.parametrize("spoil", [spoil_mode, spoil_kind, spoil_file, spoil_link, spoil_pipe])
def test_what_is_not_trusted_gives_one_warning_and_the_own_pace(spoil: Any, directory: Path, warnings: Any) -> None:
    spoil(directory)
    flows = [VirtualHostTurns(directory, URL, FLOW_RATE) for _ in range(2)]

    for turns in flows:
        assert [turns.reserve(n / 1000) for n in range(3)] == pytest.approx([0.0, 0.102, 0.204])
    assert [turns.reserve(100.0) for turns in flows] == [0.0, 0.0]
    assert len(warnings()) == 1
    assert "Set token_cache_dir under [okta_workflows]" in warnings()[0]
    assert not (directory / "elsewhere").exists()


def test_without_a_home_directory_the_process_keeps_its_own_pace(warnings: Any) -> None:
    turns = VirtualHostTurns(None, URL, FLOW_RATE)

    assert [turns.reserve(0.0) for _ in range(2)] == pytest.approx([0.0, 0.103])
    assert "there is no home directory" in warnings()[0]


def test_a_directory_that_was_removed_is_made_again(directory: Path, warnings: Any) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    turns.reserve(0.0)
    only_file(directory).unlink()
    assert reserved(turns, 1.0) == 0.0
    only_file(directory).unlink()
    directory.rmdir()

    assert reserved(turns, 2.0) == 0.0
    assert only_file(directory)
    assert warnings() == []


def test_a_slow_directory_is_used_in_a_thread(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    assert turns.slow, "the first time it is not known"
    turns.reserve(0.0)
    monkeypatch.setattr(host, "_SLOW", 0.0)
    turns.reserve(1.0)
    assert turns.slow
    monkeypatch.setattr(host, "_SLOW", 1000.0)
    turns.reserve(2.0)
    assert not turns.slow


def test_files_of_flows_that_are_no_longer_invoked_are_removed(directory: Path) -> None:
    day = 86_400
    old, foreign, young = (directory / f"{letter * 64}.pace" for letter in "abc")
    directory.mkdir(parents=True, mode=0o700)
    content = encoding.encode(IDLE)
    for path, data, age in (
        (old, content, 2 * day),
        (foreign, b"another program's", 2 * day),
        (young, content, day / 2),
    ):
        path.write_bytes(data)
        path.chmod(0o600)
        os.utime(path, (time.time() - age,) * 2)

    VirtualHostTurns(directory, URL, FLOW_RATE).reserve(0.0)

    assert {path.name for path in directory.iterdir()} == {foreign.name, young.name, PaceFile(directory, URL).path.name}


def test_threads_get_turns_of_their_own(directory: Path) -> None:
    turns = VirtualHostTurns(directory, URL, FLOW_RATE)
    moments: list[float] = []

    def reserve_many() -> None:
        while len(moments) < 200:
            if (seconds := turns.reserve(0.0)) is not None:
                moments.append(seconds)

    threads = [threading.Thread(target=reserve_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(later - earlier > 0.1 for earlier, later in pairwise(sorted(moments)))
