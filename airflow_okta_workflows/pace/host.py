"""Turns of one host: the processes of a user share the pace of each flow through a file.

Theory of operation: the file of a flow has the state of its pacer, in a fixed number of bytes. To reserve a turn, a
process opens the file, locks it without waiting, lets the pacer change the state, and closes the file: some 30
microseconds. Then it waits for its turn without a lock. So a process that is killed while it waits costs the others one
turn, and one that is killed while it holds the lock loses it, because the system removes the locks of a process. Each
requester reserves its next turn after it has taken the last, so turns go round: batches of any size get equal rates,
and a single task waits for one round.

Times are those of the host's monotonic clock, read while the file is locked: its state would be in the future of an
earlier time, and count as that of another clock. The file's name contains the id of the host's current boot, so no
state outlives a restart, and hosts that share a directory share no state. There is no secret in it.

The pace never fails a task: a file that cannot be used causes one warning, and the process keeps its own pace until the
file can be used.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from contextlib import suppress
from functools import cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.retry.pacer import Pacer
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.pace.encoding import ENCODED_SIZE, MAGIC, decode, encode
from airflow_okta_workflows.pace.turns import ProcessTurns, Turns
from airflow_okta_workflows.private_directory import (
    FORGOTTEN_AFTER,
    OS_FAILURES,
    UntrustedDirectoryError,
    is_private_file,
    trusted_directory,
)

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_OWN_NAME = lazy_pattern(r"[0-9a-f]{64}\.pace")
_PATIENCE = 2.0
"""Seconds for which a file may stay locked. A process holds the lock for microseconds, so a longer one has been stopped
in the middle."""
_SAME_LOCK = 1.0
"""Seconds between two attempts, above which the file may have been free in between. An attempt that finds the file
locked is repeated after a millisecond, or not at all if its caller was stopped."""
_AWAY = 30.0
"""Seconds after which a file that could not be used is tried again."""
_SLOW = 0.005
"""Seconds of a change, for example on a network volume, above which an event loop makes the next one in a thread."""

_OPENED_FOR_CHANGES = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK, because opening a named pipe in the file's place would block."""

_UNUSABLE = (
    "The pace of flows is not shared between processes: %s. Each process keeps its own pace. Set token_cache_dir under"
    " [okta_workflows] to a directory of your own, or pace to process."
)
_LOCKED = (
    "The pace of flows is not shared between processes: a process that was stopped has locked a file *.pace in %s. Each"
    " process keeps its own pace. Continue or end that process, which has the file open."
)


class PaceFile:
    """The file with the pace of one flow.

    :param directory: a private directory
    :param url: the flow's invoke URL
    :param clock: returns seconds of the host's monotonic clock
    """

    def __init__(self, directory: Path, url: str, clock: Callable[[], float] = Runtime.monotonic) -> None:
        self._clock = clock
        name = hashlib.sha256(f"{_clock_identity()}\n{url}".encode()).hexdigest()
        self.path = directory / f"{name}.pace"
        self._path = str(self.path)
        self._is_trusted = False

    def change(self, rate: float, change: Callable[[Pacer, float], float]) -> float | None:
        """Change the pace and return the result; None if another process is changing it.

        :param rate: invocations per second
        :param change: changes a pacer, given the time
        :raises OSError: if the file cannot be used
        """
        # Not a FileIO, which makes further system calls: each invocation waits for them. A signal handler that raises
        # before the block is entered leaves a descriptor open, but no lock.
        descriptor = os.open(self._path, _OPENED_FOR_CHANGES, 0o600)
        try:
            # Once is enough, as for the directory, in which only this user can put another file.
            if not self._is_trusted:
                _require_private(descriptor)
                self._is_trusted = True
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            try:
                before = os.pread(descriptor, ENCODED_SIZE, 0)
                pacer = Pacer(rate, decode(before))
                result = change(pacer, self._clock())
                os.pwrite(descriptor, encode(pacer.state), 0)
            finally:
                # Closing would not suffice if the process has been forked meanwhile.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)
        if not before:
            with suppress(*OS_FAILURES):
                self._forget_old()
        return result

    def _forget_old(self) -> None:
        """Remove the files of flows that are no longer invoked."""
        with os.scandir(self.path.parent) as entries:
            for entry in entries:
                if not _OWN_NAME.fullmatch(entry.name):
                    continue
                status = entry.stat(follow_symlinks=False)
                old = Runtime.clock() - status.st_mtime > FORGOTTEN_AFTER
                if old and is_private_file(status) and Path(entry.path).read_bytes().startswith(MAGIC):
                    Path(entry.path).unlink()


def _require_private(descriptor: int) -> None:
    if not is_private_file(os.fstat(descriptor)):
        raise OSError(None, "it is not a file of this user alone")


@cache
def _clock_identity() -> str:
    """Return what distinguishes this host's monotonic clock from those of other hosts and of earlier boots."""
    # Not Linux: the host's name tells hosts apart, and the pacer ignores times of an earlier boot, in the future.
    boot, namespace = os.uname().nodename, ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # Linux has time namespaces since 5.6.
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/time").readlink())
    return boot + namespace


class HostTurns(Turns):
    """Turns that the processes of a user on this host share.

    :param directory: the private directory; None if the user has no home directory for it
    :param url: the flow's invoke URL
    :param rate: invocations per second
    :param clock: returns seconds of the host's monotonic clock
    """

    def __init__(
        self, directory: Path | None, url: str, rate: float, clock: Callable[[], float] = Runtime.monotonic
    ) -> None:
        # The first change is unknown, and checks the directory as well.
        self.slow = True
        self._directory = directory
        self._url = url
        self._rate = rate
        self._clock = clock
        self._file: PaceFile | None = None
        self._own = ProcessTurns(rate)
        self._locked_since = self._locked_at = -inf
        self._away_until = -inf

    def change(self, now: float, change: Callable[[Pacer, float], float]) -> float | None:  # noqa: ARG002  # see below
        """Change the pace, and return the result; None if another process is changing it."""
        # Not the caller's time: this may be a busy thread pool or an unavailable Redis server later.
        if self._clock() >= self._away_until:
            began = Runtime.monotonic()
            try:
                result = self._changed(change)
            except OS_FAILURES as error:
                reason = getattr(error, "strerror", None) or type(error).__name__
                self._leave(_UNUSABLE, f"{shown(self._directory)} cannot be used ({reason})")
            except UntrustedDirectoryError as error:
                self._leave(_UNUSABLE, str(error))
            else:
                self.slow = Runtime.monotonic() - began > _SLOW
                if result is not None or not self._is_stuck():
                    return result
                self._leave(_LOCKED, shown(self._directory))
        return self._own.change(self._clock(), change)

    def _is_stuck(self) -> bool:
        """Return whether the file, which is locked now, has been locked for too long."""
        now = self._clock()
        if now - self._locked_at > _SAME_LOCK:
            self._locked_since = now
        self._locked_at = now
        return now - self._locked_since >= _PATIENCE

    def _changed(self, change: Callable[[Pacer, float], float]) -> float | None:
        try:
            return self._opened().change(self._rate, change)
        except FileNotFoundError:
            # The directory was removed: create it again.
            self._file = None
            return self._opened().change(self._rate, change)

    def _opened(self) -> PaceFile:
        if self._file is None:
            self._file = PaceFile(trusted_directory(self._directory), self._url, self._clock)
        return self._file

    def _leave(self, warning: str, reason: str) -> None:
        self._file = None
        self._away_until = self._clock() + _AWAY
        if reason not in _warned:
            _warned.add(reason)
            log.warning(warning, reason)


_warned: set[str] = set()
