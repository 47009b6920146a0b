"""Storage for data of a batch that is too large for memory: a temporary file without a name.

No other process can open the file, and it is gone when the process ends, killed or not. A few MiB stay in memory.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import finalize

from airflow_okta_workflows.core.flows.idempotency_key import packed_key, unpacked_key
from airflow_okta_workflows.exceptions import OktaBatchFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

V = TypeVar("V")

_IN_MEMORY = 4 * 1024 * 1024
"""Bytes that are kept in memory before the file is created."""


class Spool:
    """Sequence of byte strings in a temporary file, to which more can be added."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # closed with the spool
        finalize(self, _close, self._file)
        self._ends = array("Q", [0])
        self._at_end = True

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, data: bytes) -> int:
        """Add a byte string, and return its number.

        :param data: the byte string
        :raises OktaBatchFileError: if the disk is full
        """
        try:
            if not self._at_end:
                self._file.seek(self._ends[-1])
                self._at_end = True
            self._file.write(data)
        except OSError as error:
            raise spool_error(error) from error
        self._ends.append(self._ends[-1] + len(data))
        return len(self._ends) - 2

    def __getitem__(self, number: int) -> bytes:
        start, end = self._ends[number], self._ends[number + 1]
        self._at_end = False
        try:
            self._file.seek(start)
            return self._file.read(end - start)
        except OSError as error:
            # Reading first writes what is still in a buffer.
            raise spool_error(error) from error


class SpooledMapping(Mapping[str, V], Generic[V]):
    """Mapping of idempotency keys to values that are kept as JSON in a temporary file; the last value of a key counts.

    :param parse: returns a value, given its JSON value
    """

    def __init__(self, parse: Callable[[Any], V]) -> None:
        self._parse = parse
        self._spool = Spool()
        self._numbers: dict[bytes, int] = {}

    def add(self, key: str, value: object) -> None:
        """Add a value.

        :param key: its key, a UUID
        :param value: what ``parse`` gets
        """
        # Half the memory of a string; a batch may have a hundred thousand.
        self._numbers[packed_key(key)] = self._spool.add(json.dumps(value).encode())

    def __getitem__(self, key: str) -> V:
        return self._parse(json.loads(self._spool[self._numbers[packed_key(key)]]))

    def __iter__(self) -> Iterator[str]:
        return map(unpacked_key, self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and packed_key(key) in self._numbers


def _close(file: SpooledTemporaryFile[bytes]) -> None:
    with suppress(OSError):  # of a full disk, which has been reported
        file.close()


def spool_error(error: OSError) -> OktaBatchFileError:
    """Return the error for a temporary file that cannot be used.

    :param error: what the operating system says
    """
    return OktaBatchFileError(
        f"The temporary file of the batch cannot be used: {error.strerror or type(error).__name__}.",
        hint="OKW-1650: Make room in the directory for temporary files, or set TMPDIR to another. A retry is safe.",
    )
