"""The items of a batch, whose payloads are in a temporary file."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING

from airflow_okta_workflows.checkpoints.spool import Spool
from airflow_okta_workflows.core.batch.items import PROBLEMS_SHOWN, BadItem, BatchItem, bad_items_error
from airflow_okta_workflows.core.flows.idempotency_key import packed_key, unpacked_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_KEY = 16
"""Bytes of a UUID."""


class BatchItems:
    """All items of a batch, in order.

    The source is read once, before anything is sent. So a file, a cursor or an object store need not stay open for
    hours, all payloads are checked first, and later changes of the source have no effect.

    :param parsed: the items
    :param earlier: the keys of the items in the checkpoints of earlier tries
    """

    def __init__(self, parsed: Iterable[BatchItem | BadItem], earlier: Iterable[str] = ()) -> None:
        self.bad: list[BadItem] = []
        """The payloads that cannot be sent."""
        self.missing = set(map(packed_key, earlier))
        """Keys of the items that an earlier try has sent and that are not among the payloads any more."""
        self._spool = Spool()
        self._keys = bytearray()
        self._numbers = array("q")
        for item in parsed:
            if isinstance(item, BadItem):
                self.bad.append(item)
                self._numbers.append(-1)
                self._keys += bytes(_KEY)
                continue
            key = packed_key(item.key)
            self.missing.discard(key)
            self._keys += key
            self._numbers.append(self._spool.add(json.dumps(item.name).encode() + b"\n" + item.body))

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> BatchItem:
        name, _, body = self._spool[self._numbers[index]].partition(b"\n")
        return BatchItem(index, self.key(index), body, json.loads(name))

    def __iter__(self) -> Iterator[BatchItem]:
        """Return the items that can be sent."""
        return (self[index] for index in self.indices())

    def indices(self) -> Iterator[int]:
        """Return the indices of the items that can be sent."""
        return (index for index, number in enumerate(self._numbers) if number >= 0)

    def key(self, index: int) -> str:
        """Return the key of an item's first run.

        :param index: the item's index
        """
        return unpacked_key(self._keys[_KEY * index : _KEY * (index + 1)])

    def require_good(self) -> None:
        """Raise if a payload cannot be sent.

        :raises CoreError: with the first few problems
        """
        if self.bad:
            raise bad_items_error([one.problem for one in self.bad[:PROBLEMS_SHOWN]], len(self.bad), len(self))
