"""The private directory of this package's files: shared by all processes of one user on a host, and by nobody else."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from airflow.providers.common.compat.sdk import conf

from airflow_okta_workflows.core.secret import shown

OS_FAILURES = (OSError, RuntimeError, ValueError, TypeError, KeyError)
"""Errors that file systems, their locks and the look-up of users can raise."""
FORGOTTEN_AFTER = 86_400.0
"""Seconds after which a file that is no longer written, such as that of a rotated key, is removed."""

_OTHERS = 0o077
_OTHERS_WRITE = 0o022


def configured_directory() -> Path | None:
    """Return the directory that ``[okta_workflows] token_cache_dir`` names; None for a user without a home directory.

    If it names none, the directory is in the user's cache directory (XDG Base Directory Specification).
    """
    return private_directory(conf.get("okta_workflows", "token_cache_dir", fallback="").strip())


def private_directory(configured: str) -> Path | None:
    """Return the directory, or None if it would be in the home directory of a user who has none.

    :param configured: the configured directory; empty for the user's cache directory
    """
    if not configured:
        base = os.environ.get("XDG_CACHE_HOME") or ""
        configured = f"{base if base.startswith('/') else '~/.cache'}/airflow-okta-workflows"
    with suppress(*OS_FAILURES):
        # Path.expanduser raises for a user without a home directory.
        configured = os.path.expanduser(configured)  # noqa: PTH111  # see above
    return None if configured.startswith("~") else Path(configured)


class UntrustedDirectoryError(Exception):
    """Error of a directory that cannot be trusted or used; its text is the reason."""


def trusted_directory(directory: Path | None) -> Path:
    """Return a directory that can be trusted and used. It is created if it is missing.

    :param directory: the directory; None if the user has no home directory for it
    :raises UntrustedDirectoryError: if it cannot
    """
    if directory is None:
        raise UntrustedDirectoryError("there is no home directory to keep them in")
    try:
        reason = _distrust(directory)
    except OS_FAILURES as error:
        reason = f"cannot be used ({getattr(error, 'strerror', None) or type(error).__name__})"
    if reason:
        raise UntrustedDirectoryError(f"{shown(directory)} {reason}")
    return directory


def _distrust(directory: Path) -> str | None:
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
    """Create a directory and its missing parents, all of them for this user alone.

    Existing directories are not changed. With ``parents``, ``mkdir`` would let anybody write to the parents under a
    umask of 0.
    """
    missing = []
    while not directory.exists() and directory != directory.parent:
        missing.append(directory)
        directory = directory.parent
    for one in reversed(missing):
        # Another process may create it first.
        with suppress(FileExistsError):
            one.mkdir(mode=0o700)


def is_private_file(status: os.stat_result) -> bool:
    """Return whether a file is a regular one that belongs to this user, and that nobody else can read or write.

    :param status: its status
    """
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & _OTHERS
