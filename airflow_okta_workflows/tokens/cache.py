"""Access tokens shared between the processes of a host, through files that only who could mint a token can read.

An entry is encrypted under a key derived from the private key, so that the file is of no use to anybody else; its name
is a hash that tells nothing. A cache never stops a task: what is damaged, foreign or out of date is a miss, and a
directory that cannot be trusted is one warning.
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

from airflow_okta_workflows.core.access_token import AccessToken
from airflow_okta_workflows.core.faults import Fault, FaultKind
from airflow_okta_workflows.core.sealing import seal, unseal

if TYPE_CHECKING:
    from filelock import FileLock

log = logging.getLogger(__name__)

_MAGIC = b"okta-workflows-token-1\n"
_LARGEST_ENTRY = 65_536
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_FORGOTTEN_AFTER = 86_400.0
"""Seconds after which an entry that nobody renews, such as a rotated key's, is removed."""

FAILURE_REST = 5.0
"""Seconds for which a failed token request stands for all who would make the same."""


@dataclass(frozen=True)
class Entry:
    """Hold what a file of the cache says: a token, and how asking for one failed.

    :param token: the token, or None
    :param failure: how asking for a newer one failed, or None
    :param written_at: when it was written, in seconds since the epoch
    """

    token: AccessToken | None = field(repr=False)
    failure: Fault | None
    written_at: float


@dataclass(frozen=True)
class TokenCache:
    """Keep the tokens of one connection's identity in a private directory.

    :param directory: the directory; it was checked by :func:`open_token_cache`
    :param identity: the entry's name
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
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
                return None
            return self._decode(os.read(descriptor, _LARGEST_ENTRY + 1))
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def write(self, *, token: AccessToken | None = None, failure: Fault | None = None, now: float) -> None:
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
        except OSError as error:
            log.warning("The access token could not be kept in %s: %s", self.directory, error.strerror)
            with suppress(OSError):
                temporary.unlink()
        self._forget_old(now)

    def lock(self) -> FileLock:
        """Return the lock that whoever asks for a token holds meanwhile; it is not acquired yet."""
        from filelock import FileLock

        return FileLock(self.directory / f"{self.identity}.lock", thread_local=False, mode=0o600)

    @property
    def _path(self) -> Path:
        return self.directory / f"{self.identity}.token"

    def _encode(self, token: AccessToken | None, failure: Fault | None, now: float) -> bytes:
        members: dict[str, Any] = {"written_at": now}
        if token:
            members["token"] = [token.value, token.expires_at, token.lifetime]
        if failure:
            members["failure"] = [failure.kind.value, failure.message, failure.hint, failure.data]
        return _MAGIC + seal(json.dumps(members).encode(), self.key, self._context())

    def _decode(self, data: bytes) -> Entry | None:
        if len(data) > _LARGEST_ENTRY or not data.startswith(_MAGIC):
            return None
        opened = unseal(data[len(_MAGIC) :], self.key, self._context())
        if opened is None:
            return None
        try:
            members = json.loads(opened)
            token, failure = members.get("token"), members.get("failure")
            return Entry(
                token=AccessToken(str(token[0]), float(token[1]), float(token[2])) if token else None,
                failure=Fault(FaultKind(failure[0]), failure[1], failure[2], **failure[3]) if failure else None,
                written_at=float(members["written_at"]),
            )
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return None

    def _context(self) -> bytes:
        # An entry that is renamed to another's name does not decrypt.
        return _MAGIC + self.identity.encode()

    def _forget_old(self, now: float) -> None:
        with suppress(OSError), os.scandir(self.directory) as entries:
            for entry in entries:
                old = entry.name.endswith((".token", ".tmp"))
                if old and now - entry.stat(follow_symlinks=False).st_mtime > _FORGOTTEN_AFTER:
                    with suppress(OSError):
                        os.unlink(entry.path)  # noqa: PTH108  # a path from scandir


def open_token_cache(directory: Path, identity: str, key: bytes) -> TokenCache | None:
    """Return the cache in a directory, which is made if it is not there; None if it cannot be trusted.

    :param directory: the directory
    :param identity: the entry's name
    :param key: 32 bytes to encrypt it with
    """
    reason = _distrust(directory)
    if reason is None:
        return TokenCache(directory, identity, key)
    if directory not in _warned:
        _warned.add(directory)
        log.warning(
            "Access tokens are not shared between processes: %s %s. Each process asks for its own. Set token_cache_dir"
            " under [okta_workflows] to a directory of your own, or token_cache to memory.",
            directory,
            reason,
        )
    return None


_warned: set[Path] = set()


def _distrust(directory: Path) -> str | None:
    """Say why a directory cannot be trusted; None if it can."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat(follow_symlinks=False)
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory of its own"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & _OTHERS_WRITE:
        return "can be written by other users"
    if not os.access(directory, os.W_OK | os.X_OK):
        return "cannot be written"
    return None


def try_lock(lock: FileLock) -> bool | None:
    """Take a lock if it is free: True; False if somebody has it; None if there can be no locks here.

    :param lock: the lock
    """
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except (OSError, NotImplementedError):  # the latter: filelock before 3.24, on a file system that has no locks
        return None
    return True


def default_directory() -> Path:
    """Return the directory for tokens under the user's cache directory (the XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if base.startswith("/") else Path("~/.cache").expanduser()
    return root / "airflow-okta-workflows"
