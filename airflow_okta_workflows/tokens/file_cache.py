"""Access tokens shared between the processes of a host, through encrypted files.

An entry is encrypted under a key derived from the private key, so only a process that could request the token itself
can read it; its file name is a hash that reveals nothing. The cache never fails a task: a damaged, foreign or outdated
entry is a miss, and an untrusted directory causes one warning. It removes only files that it has written.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.encryption import decrypt, encrypt
from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.oauth.access_token import AccessToken
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.private_directory import (
    FORGOTTEN_AFTER,
    OS_FAILURES,
    UntrustedDirectoryError,
    is_private_file,
    trusted_directory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filelock import FileLock

log = logging.getLogger(__name__)

_FORMATS = b"okta-workflows-token-"
"""First bytes of an entry of any format version."""
_MAGIC = _FORMATS + b"1\n"
_OWN_NAME = lazy_pattern(r"([0-9a-f]{64})\.(token|lock|[0-9a-f]{16}\.tmp)")
_LARGEST_ENTRY = 65_536
FAILURE_REST = 5.0
"""Seconds for which the failure of a token request is reported instead of sending the same request again."""


@dataclass(frozen=True)
class Entry:
    """The content of a cache file: a token, a failure, or both.

    :param token: the token, or None
    :param failure: the error of the last request for a newer one, or None
    :param written_at: when it was written, in seconds since the epoch
    """

    token: AccessToken | None = field(repr=False)
    failure: CoreError | None
    written_at: float


@dataclass(frozen=True)
class TokenCache:
    """The cache entry and lock of one set of credentials, in a private directory.

    :param directory: the directory; :func:`open_token_cache` has checked it
    :param identity: the entry's name: 64 hexadecimal digits
    :param key: 32 bytes, the entry's encryption key
    """

    directory: Path
    identity: str
    key: bytes = field(repr=False)

    def read(self) -> Entry | None:
        """Return the entry, or None if there is no readable one that this user wrote."""
        try:
            # O_NONBLOCK: opening a named pipe in its place would block.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OS_FAILURES:
            return None
        try:
            status = os.fstat(descriptor)
            if not is_private_file(status):
                return None
            return self._decode(os.read(descriptor, _LARGEST_ENTRY + 1))
        except OS_FAILURES:
            return None
        finally:
            os.close(descriptor)

    def write(self, *, token: AccessToken | None = None, failure: CoreError | None = None, now: float) -> None:
        """Replace the entry atomically; an error is only logged.

        :param token: the token, if there is a valid one
        :param failure: the error of the request for a newer one, if it failed
        :param now: the time, in seconds since the epoch
        """
        temporary = self._path.with_suffix(f".{secrets.token_hex(8)}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._encode(token, failure, now))
            temporary.replace(self._path)
        except OS_FAILURES as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            log.warning("The access token could not be kept in %s: %s", shown(self.directory), reason)
            with suppress(OSError):
                temporary.unlink()
        with suppress(*OS_FAILURES):
            self._forget_old(now)

    def lock(self) -> FileLock:
        """Return the lock that a process holds while it requests a token; it is not acquired yet."""
        return _lock_at(self.directory / f"{self.identity}.lock")

    @property
    def _path(self) -> Path:
        return self.directory / f"{self.identity}.token"

    def _encode(self, token: AccessToken | None, failure: CoreError | None, now: float) -> bytes:
        members: dict[str, Any] = {"written_at": now}
        if token:
            members["token"] = [token.value, token.expires_at, token.lifetime]
        if failure:
            members["failure"] = [failure.kind.value, failure.message, failure.hint, failure.detail, failure.data]
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
                failure=_failure(*failure) if failure else None,
                written_at=float(members["written_at"]),
            )
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return None

    def _context(self) -> bytes:
        # Binds an entry to its name: under another name it does not decrypt.
        return _MAGIC + self.identity.encode()

    def _forget_old(self, now: float) -> None:
        """Remove entries that are no longer renewed, and files that a killed process left behind."""
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
                    if now - status.st_mtime > FORGOTTEN_AFTER and _is_own_file(Path(entry.path), name[2], status):
                        yield Path(entry.path), name[1], name[2]


def _failure(kind: str, message: str, hint: str, detail: str, data: dict[str, Any]) -> CoreError:
    return CoreError(ErrorKind(kind), message, hint, detail=detail, **data)


def open_token_cache(directory: Path | None, identity: str, key: bytes) -> TokenCache | None:
    """Return the cache in a directory, which is created if missing, or None if the directory cannot be trusted.

    :param directory: the directory; None if the user has no home directory for it
    :param identity: the entry's name: 64 hexadecimal digits
    :param key: 32 bytes, the entry's encryption key
    """
    try:
        return TokenCache(trusted_directory(directory), identity, key)
    except UntrustedDirectoryError as error:
        reason = str(error)
    if reason not in _warned:
        _warned.add(reason)
        log.warning(
            "Access tokens are not shared between processes: %s. Each process asks for its own. Set token_cache_dir"
            " under [okta_workflows] to a directory of your own, or token_cache to memory.",
            reason,
        )
    return None


_warned: set[str] = set()


def _is_own_file(path: Path, kind: str, status: os.stat_result) -> bool:
    """Return whether this cache wrote a file: another program's file may have a name of the same form."""
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        return False
    if kind == "lock":
        return status.st_size == 0
    with path.open("rb") as file:
        head = file.read(len(_FORMATS))
    # A process killed while writing leaves a part of it.
    return head == _FORMATS or (kind.endswith("tmp") and _FORMATS.startswith(head))


def _lock_at(path: Path) -> FileLock:
    from filelock import FileLock

    return FileLock(path, thread_local=False, mode=0o600)


def _remove_lock(path: Path) -> None:
    """Remove a lock file unless a process holds the lock: a second process could then lock a new file.

    It is removed while this process holds the lock. A process that has opened it but not locked it yet detects that and
    opens a new one (filelock 3.21 or later; with earlier versions one more token request may be sent).
    """
    lock = _lock_at(path)
    if try_lock(lock):
        try:
            path.unlink()
        finally:
            release(lock)


def try_lock(lock: FileLock) -> bool | None:
    """Acquire a lock if it is free.

    :param lock: the lock
    :return: True if acquired, False if another process holds it, None if locking fails, for example on a
        file system without locks
    """
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OS_FAILURES:
        # On a file system without locks, filelock before 3.24 raises a RuntimeError and not an OSError.
        return None
    return True


def release(lock: FileLock) -> None:
    """Release a lock, ignoring errors: the lock ends with the process at the latest.

    :param lock: the lock
    """
    with suppress(*OS_FAILURES):
        lock.release()
