"""The records of a batch, in a temporary file until the task returns them or has written them to ``records_path``."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.spool import Spool
from airflow_okta_workflows.core.batch.records import ERRORS_TOLD, BatchRecord, error_line
from airflow_okta_workflows.core.flows.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_CODES = {outcome: code for code, outcome in enumerate(Outcome)}
_NOT_SETTLED = 255


class BatchRecords:
    """Records by index, with their counts.

    :param count: the number of items; more records can be appended
    """

    def __init__(self, count: int = 0) -> None:
        self.counts: Counter[Outcome] = Counter()
        """Number of records with each outcome."""
        self._spool = Spool()
        self._numbers = array("q", [-1]) * count
        self._outcomes = bytearray([_NOT_SETTLED]) * count

    @classmethod
    def of(cls, told: Iterable[Mapping[str, Any]]) -> BatchRecords:
        """Return records that another process has made.

        :param told: the records as JSON objects, in order
        """
        records = cls()
        for one in told:
            records._append(one, BatchRecord.from_checkpoint(one).outcome)
        return records

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and self._outcomes[index] != _NOT_SETTLED

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.line(index))
        return record

    def line(self, index: int) -> bytes:
        """Return a record as a line of JSON.

        :param index: its index
        """
        return self._spool[self._numbers[index]]

    def put(self, index: int, name: str | int | None, key: str | None, record: BatchRecord) -> None:
        """Set the record of an item.

        :param index: the item's index
        :param name: the value of ``item_key``, or None
        :param key: the idempotency key of the last run that was wanted; None if the payload cannot be sent
        :param record: the record
        """
        self._set(index, _told(index, name, key, record), record.outcome)

    def append(self, index: int | None, name: str | int | None, key: str, record: BatchRecord) -> None:
        """Append a record; see :meth:`put`."""
        self._append(_told(index, name, key, record), record.outcome)

    def _append(self, told: Mapping[str, Any], outcome: Outcome) -> None:
        self._numbers.append(-1)
        self._outcomes.append(_NOT_SETTLED)
        self._set(len(self) - 1, told, outcome)

    def _set(self, index: int, told: Mapping[str, Any], outcome: Outcome) -> None:
        if index in self:
            self.counts[tuple(Outcome)[self._outcomes[index]]] -= 1
        self._numbers[index] = self._spool.add(json.dumps(told).encode() + b"\n")
        self._outcomes[index] = _CODES[outcome]
        self.counts[outcome] += 1

    def with_outcome(self, *outcomes: Outcome) -> Iterator[dict[str, Any]]:
        """Return the records with one of some outcomes, in order.

        :param outcomes: the outcomes
        """
        codes = {_CODES[outcome] for outcome in outcomes}
        return (self[index] for index, code in enumerate(self._outcomes) if code in codes)

    def unknown_keys(self) -> dict[int, str]:
        """Return the idempotency key of each record of this try's items whose outcome is unknown, by its index."""
        return {
            record["index"]: record["key"]
            for record in self.with_outcome(Outcome.UNKNOWN)
            if record["index"] is not None
        }

    def first_errors(self) -> list[str]:
        """Return the first few errors, each on one line, such as ``Item 3: Flow 'onboard' returned 500``."""
        failed = self.with_outcome(*(outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED))
        return [error_line(record) for record in islice(failed, ERRORS_TOLD)]


def _told(index: int | None, name: str | int | None, key: str | None, record: BatchRecord) -> dict[str, Any]:
    return {"index": index, "item": name, "key": key, **record.to_json()}
