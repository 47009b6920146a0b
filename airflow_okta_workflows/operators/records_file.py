"""The file that gets the records of a batch, as JSON Lines in the order of the payloads.

The checkpoints, not this file, tell a retry what was sent. So each try writes the file from its beginning, and a kill
at any moment leaves no line that counts twice.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.secret import error_reason, public_part
from airflow_okta_workflows.exceptions import OktaBatchFileError, OktaConfigurationError
from airflow_okta_workflows.operators.batch_arguments import is_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_okta_workflows.operators.batch_records import BatchRecords

_LOCAL = ("", "file", "local")
_APPENDS = (*_LOCAL, "memory", "sftp", "ssh", "smb", "hdfs", "webhdfs")
"""Protocols of file systems that append to a file. An object store, which all others may be, would copy the object."""
_PART = 8 * 1024 * 1024
"""Least bytes of a part, except the last."""
_WRITTEN_AFTER = 1.0
"""Seconds after which records are written."""
_CORRECT_IT = "OKW-1651: Correct records_path, or its permissions. Nothing was sent."
_MAKE_ROOM = (
    "OKW-1652: Make room, and let Airflow retry: the outcomes are in the checkpoints (Airflow 3.3+), and nothing is"
    " sent twice. Before 3.3 a retry sends all items again."
)
_ONE_WRITER = (
    "OKW-1655: Give each task and each run a file of its own, then let Airflow retry: the outcomes are in the"
    " checkpoints (Airflow 3.3+), and nothing is sent twice. Before 3.3 a retry sends all items again."
)
_AT_ONCE = 1024 * 1024
"""Bytes that are copied at a time."""


def open_path(records_path: Any) -> ObjectStoragePath:
    """Return the path of the file that gets the records.

    :param records_path: the operator's argument
    :raises OktaConfigurationError: if Airflow has no file system for it
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(records_path, ObjectStoragePath):
        return records_path
    try:
        return ObjectStoragePath(os.fspath(records_path))
    except Exception as error:
        raise OktaConfigurationError(
            f"records_path is not a path that Airflow can open: {type(error).__name__}.",
            hint="OKW-1648: Give the URL of a file, such as s3://conn_id@bucket/records.jsonl, and install the"
            " provider of its file system. Airflow 3.0 also needs universal-pathlib<0.3.",
        ) from error


def check_own_file(path: Any, payloads: Any, context: Context) -> None:
    """Raise if the file of the records is that of the payloads, or that of other mapped tasks.

    :param path: the file of the records
    :param payloads: the payloads, or the path of their file
    :param context: the task's context
    :raises OktaConfigurationError: if it is
    """
    if _place(path) == _place(payloads):
        raise OktaConfigurationError(
            "records_path is the file of the payloads, which the records would replace.",
            hint="OKW-1656: Give the records a file of their own. Nothing was sent.",
        )
    ti, dag = context["ti"], context.get("dag")
    if ti.map_index is None or ti.map_index < 0 or dag is None:
        return
    shared = getattr(dag.task_dict[ti.task_id], "partial_kwargs", {}).get("records_path")
    if shared is not None and "map_index" not in str(shared):
        raise OktaConfigurationError(
            "records_path is the same file for each mapped task, and each would replace the records of the others.",
            hint="OKW-1657: Put {{ ti.map_index }} into records_path, or expand over it. Nothing was sent.",
        )


def _place(path: Any) -> tuple[str, str] | None:
    if not is_path(path):
        return None
    protocol = getattr(path, "protocol", "")
    return ("", os.path.realpath(getattr(path, "path", path))) if protocol in _LOCAL else (protocol, path.path)


class RecordsFile:
    """File of records, to which lines are appended; where that is impossible, it is joined from numbered parts.

    :param path: an ``ObjectStoragePath``
    """

    def __init__(self, path: Any) -> None:
        self.path = path
        self._appends = path.protocol in _APPENDS
        self.begun = False
        """Whether this try has created the file."""
        self._size = 0
        self._parts = 0
        self._waiting = bytearray()

    def begin(self) -> None:
        """Create the file and its directory, or empty it, unless this has been done.

        :raises OktaBatchFileError: if it cannot be written; nothing was sent
        """
        if self.begun:
            return
        with self._as_file_errors(_CORRECT_IT):
            if self._appends:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            # Opened as append() opens it: Airflow knows fewer file systems than write_bytes().
            with self.path.open("wb"):
                pass
            while self._part(self._parts).exists():
                # Of a try that was cut off.
                self._part(self._parts).unlink()
                self._parts += 1
        self.begun, self._parts = True, 0

    def append(self, lines: bytes) -> None:
        """Append lines.

        :param lines: the lines
        :raises OktaBatchFileError: if they cannot be written
        """
        with self._as_file_errors(_MAKE_ROOM):
            if self._appends:
                self._require_unchanged()
                with self.path.open("ab") as file:
                    file.write(lines)
                self._size += len(lines)
            else:
                self._waiting += lines
                if len(self._waiting) >= _PART:
                    self._part(self._parts).write_bytes(bytes(self._waiting))
                    self._parts += 1
                    self._waiting.clear()

    def finish(self) -> None:
        """Join the parts, if there are any.

        :raises OktaBatchFileError: if they cannot be written, or if another process has changed the file
        """
        with self._as_file_errors(_MAKE_ROOM):
            if self._appends:
                self._require_unchanged()
                return
            with self.path.open("wb") as whole:
                for number in range(self._parts):
                    with self._part(number).open("rb") as part:
                        while piece := part.read(_AT_ONCE):
                            whole.write(piece)
                whole.write(bytes(self._waiting))
            for number in reversed(range(self._parts)):
                self._part(number).unlink()
        self._parts = 0
        self._waiting.clear()

    def _part(self, number: int) -> Any:
        # Not parent / name, for which an older universal_pathlib warns.
        return self.path.with_name(f"{self.path.name}.part-{number:05}")

    def _require_unchanged(self) -> None:
        with suppress(FileNotFoundError):
            if self.path.stat().st_size == self._size:
                return
        raise OktaBatchFileError(
            "The records of the batch cannot be written: another process has changed the file or deleted it.",
            hint=_ONE_WRITER,
            detail=f"File: {self._where}",
            path=self._where,
        )

    @contextmanager
    def _as_file_errors(self, hint: str) -> Iterator[None]:
        try:
            yield
        except OktaBatchFileError:
            raise
        except Exception as error:
            reason, says = error_reason(error)
            raise OktaBatchFileError(
                f"The records of the batch cannot be written: {reason}.",
                hint=hint,
                detail="\n".join(filter(None, (f"File: {self._where}", says))),
                path=self._where,
            ) from error

    @property
    def _where(self) -> str:
        return public_part(str(self.path))


def read_records(path: Any) -> Iterator[dict[str, Any]] | None:
    """Return the records that an earlier process has written; None if there are none.

    :param path: the file
    """
    try:
        file = path.open("rb")
    except OSError:
        return None
    return _read(file)


def _read(file: Any) -> Iterator[dict[str, Any]]:
    with file:
        for line in file:
            yield json.loads(line)


class RecordsWriter:
    """Task of an event loop that writes the records in order, as far as each item has one.

    :param records: the records
    :param file: the file; None for no file
    :param failed: called with the error if the file cannot be written
    """

    def __init__(self, records: BatchRecords, file: RecordsFile | None, failed: Callable[[Exception], None]) -> None:
        self._records = records
        self._file = file
        self._failed = failed
        self._next = 0
        self._later: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._broken = False

    def wake(self) -> None:
        """Write the records that can be written, within about a second."""
        if self._file and self._later is None and not self._broken:
            self._later = asyncio.get_running_loop().call_later(_WRITTEN_AFTER, self._begin)

    def _begin(self) -> None:
        self._later = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(self._write())
        else:
            self.wake()

    async def _write(self) -> None:
        while self._file and self._file.begun and not self._broken and (lines := self._ready()):
            try:
                # In a thread, since it blocks.
                await asyncio.to_thread(self._file.append, lines)
            except OktaBatchFileError as error:
                self._broken = True
                self._failed(error)

    async def open(self) -> None:
        """Create the file, before anything is sent.

        :raises OktaBatchFileError: if it cannot be written
        """
        if self._file:
            await asyncio.to_thread(self._file.begin)

    async def close(self) -> None:
        """Write what is ready, once nothing more is settled."""
        if self._later:
            self._later.cancel()
        if self._writing:
            await self._writing
        await self._write()

    def write_rest(self) -> None:
        """Write all other records, and finish the file. Call this after the event loop has ended."""
        if self._file:
            self._file.begin()
            while lines := self._ready():
                self._file.append(lines)
            self._file.finish()

    def _ready(self) -> bytes:
        lines: list[bytes] = []
        size = 0
        while self._next < len(self._records) and self._next in self._records and size < _AT_ONCE:
            lines.append(self._records.line(self._next))
            size += len(lines[-1])
            self._next += 1
        return b"".join(lines)
