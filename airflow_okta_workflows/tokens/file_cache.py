"""Access tokens shared between the processes of a host, through files that only who could mint a token can read.

An entry is encrypted under a key derived from the private key, so that the file is of no use to anybody else; its name
is a hash that tells nothing. A cache never stops a task: what is damaged, foreign or out of date is a miss, and a
directory that cannot be trusted is one warning. It removes nothing that it has not written.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.encryption import decrypt, encrypt
from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.oauth.access_token import AccessToken
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import FileLock

log = logging.getLogger(__name__)

_FORMATS = b"okta-workflows-token-"
"""How each version's entries begin."""
_MAGIC = _FORMATS + b"1\n"
_OWN_NAME = re.compile(r"([0-9a-f]{64})\.(token|lock|[0-9a-f]{16}\.tmp)")
_LARGEST_ENTRY = 65_536
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_FORGOTTEN_AFTER = 86_400.0
"""Seconds after which an entry that nobody renews, such as a rotated key's, is removed."""
_FAILURES = (OSError, RuntimeError, ValueError, TypeError, KeyError)
"""What a file system, its locks and user names can fail with."""
FAILURE_REST = 5.0
"""Seconds for which a failed token request stands for all who would make the same."""


@dataclass(frozen=True)
class Entry:
    """What a file of the cache says: a token, and how asking for one failed.

    :param token: the token, or None
    :param failure: how asking for a newer one failed, or None
    :param written_at: when it was written, in seconds since the epoch
    """

    token: AccessToken | None = field(repr=False)
    failure: CoreError | None
    written_at: float


@dataclass(frozen=True)
class TokenCache:
    """Keep the tokens of one connection's identity in a private directory.

    :param directory: the directory; it was checked by :func:`open_token_cache`
    :param identity: the entry's name: 64 hexadecimal digits
    :param key: 32 bytes to encrypt it with
    """

    directory: Path
    identity: str
    key: bytes = field(repr=False)

    def read(self) -> Entry | None:
        """Return the entry; None if there is none that can be read and was written by us."""
        try:
            # Not blocking: somebody may have put a pipe there.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except _FAILURES:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
                return None
            return self._decode(os.read(descriptor, _LARGEST_ENTRY + 1))
        except _FAILURES:
            return None
        finally:
            os.close(descriptor)

    def write(self, *, token: AccessToken | None = None, failure: CoreError | None = None, now: float) -> None:
        """Replace the entry, at once for all who read it; whatever goes wrong is only logged.

        :param token: the token, if there is one that may be used
        :param failure: how asking for a newer one failed, if it did
        :param now: the time, in seconds since the epoch
        """
        temporary = self._path.with_suffix(f".{secrets.token_hex(8)}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._encode(token, failure, now))
            temporary.replace(self._path)
        except _FAILURES as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            log.warning("The access token could not be kept in %s: %s", shown(self.directory), reason)
            with suppress(OSError):
                temporary.unlink()
        with suppress(*_FAILURES):
            self._forget_old(now)

    def lock(self) -> FileLock:
        """Return the lock that is held while a token is asked for; it is not acquired yet."""
        return _lock_at(self.directory / f"{self.identity}.lock")

    @property
    def _path(self) -> Path:
        return self.directory / f"{self.identity}.token"

    def _encode(self, token: AccessToken | None, failure: CoreError | None, now: float) -> bytes:
        members: dict[str, Any] = {"written_at": now}
        if token:
            members["token"] = [token.value, token.expires_at, token.lifetime]
        if failure:
            members["failure"] = [failure.kind.value, failure.message, failure.hint, failure.data]
        return _MAGIC + encrypt(json.dumps(members).encode(), self.key, self._context())

    def _decode(self, data: bytes) -> Entry | None:
        if len(data) > _LARGEST_ENTRY or not data.startswith(_MAGIC):
            return None
        opened = decrypt(data[len(_MAGIC) :], self.key, self._context())
        if opened is None:
            return None
        try:
            members = json.loads(opened)
            token, failure = members.get("token"), members.get("failure")
            return Entry(
                token=AccessToken(str(token[0]), float(token[1]), float(token[2])) if token else None,
                failure=CoreError(ErrorKind(failure[0]), failure[1], failure[2], **failure[3]) if failure else None,
                written_at=float(members["written_at"]),
            )
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return None

    def _context(self) -> bytes:
        # An entry that is renamed to another's name does not decrypt.
        return _MAGIC + self.identity.encode()

    def _forget_old(self, now: float) -> None:
        """Remove entries that nobody renews, and what a killed process has left."""
        for path, identity, kind in self._old_files(now):
            with suppress(OSError):
                if kind != "lock":
                    path.unlink()
                elif not path.with_name(f"{identity}.token").exists():
                    _remove_lock(path)

    def _old_files(self, now: float) -> Iterator[tuple[Path, str, str]]:
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if (name := _OWN_NAME.fullmatch(entry.name)) is None:
                    continue
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if now - status.st_mtime > _FORGOTTEN_AFTER and _is_own_file(Path(entry.path), name[2], status):
                        yield Path(entry.path), name[1], name[2]


def open_token_cache(directory: Path | None, identity: str, key: bytes) -> TokenCache | None:
    """Return the cache in a directory, which is made if it is not there; None if it cannot be trusted.

    :param directory: the directory; None if there is no place for one
    :param identity: the entry's name: 64 hexadecimal digits
    :param key: 32 bytes to encrypt it with
    """
    reason: str | None
    if directory is None:
        reason = "there is no home directory to keep them in"
    else:
        try:
            reason = _distrust(directory)
        except _FAILURES as error:
            reason = f"cannot be used ({getattr(error, 'strerror', None) or type(error).__name__})"
        if reason is None:
            return TokenCache(directory, identity, key)
        reason = f"{shown(directory)} {reason}"
    if reason not in _warned:
        _warned.add(reason)
        log.warning(
            "Access tokens are not shared between processes: %s. Each process asks for its own. Set token_cache_dir"
            " under [okta_workflows] to a directory of your own, or token_cache to memory.",
            reason,
        )
    return None


_warned: set[str] = set()


def _distrust(directory: Path) -> str | None:
    """Return why a directory cannot be trusted; None if it can."""
    _make(directory)
    status = directory.stat(follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory of its own"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & _OTHERS_WRITE:
        return "can be written by other users"
    if not os.access(directory, os.W_OK | os.X_OK):
        return "cannot be written"
    return None


def _make(directory: Path) -> None:
    """Make a directory and those above it that are not there, all of them for this user alone.

    What is there stays as it is. ``mkdir`` with ``parents`` would give those above to anybody under a umask of 0.
    """
    missing = []
    while not directory.exists() and directory != directory.parent:
        missing.append(directory)
        directory = directory.parent
    for one in reversed(missing):
        # Another process may be faster.
        with suppress(FileExistsError):
            one.mkdir(mode=0o700)


def _is_own_file(path: Path, kind: str, status: os.stat_result) -> bool:
    """Return whether a file with a name of ours was written here: somebody else's may have it, too."""
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        return False
    if kind == "lock":
        return status.st_size == 0
    with path.open("rb") as file:
        head = file.read(len(_FORMATS))
    # A process that is killed while it writes leaves less.
    return head == _FORMATS or (kind.endswith("tmp") and _FORMATS.startswith(head))


def _lock_at(path: Path) -> FileLock:
    from filelock import FileLock

    return FileLock(path, thread_local=False, mode=0o600)


def _remove_lock(path: Path) -> None:
    """Remove a lock file if nobody holds the lock: a holder would otherwise soon not be the only one.

    It is removed while it is locked here. A process that has opened it and not locked it yet finds that out and opens
    a new one (filelock since 3.21; before, one token request more may be made).
    """
    lock = _lock_at(path)
    if try_lock(lock):
        try:
            path.unlink()
        finally:
            release(lock)


def try_lock(lock: FileLock) -> bool | None:
    """Take a lock if it is free: True; False if somebody has it; None if there can be no locks here.

    :param lock: the lock
    """
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except _FAILURES:  # NotImplementedError of filelock before 3.24, where a file system has no locks, is one of them
        return None
    return True


def release(lock: FileLock) -> None:
    """Release a lock; what goes wrong is nobody's concern, since the process holds it no longer than it lives.

    :param lock: the lock
    """
    with suppress(*_FAILURES):
        lock.release()


def cache_directory(configured: str) -> Path | None:
    """Return the directory for tokens; None where that is in the home directory of a user who has none.

    :param configured: the directory that the configuration names; empty for the user's cache directory (the XDG base
        directory specification)
    """
    if not configured:
        base = os.environ.get("XDG_CACHE_HOME") or ""
        configured = f"{base if base.startswith('/') else '~/.cache'}/airflow-okta-workflows"
    with suppress(*_FAILURES):
        # Not pathlib's, which raises for a user without a home.
        configured = os.path.expanduser(configured)  # noqa: PTH111  # as above
    return None if configured.startswith("~") else Path(configured)
