"""The notes of a batch in Airflow's task state store (Airflow 3.3+), which outlive a killed task.

They are written by pages of items. Before an item is sent, a page says so; once it is settled, the page says what came
of it. What a page names without an outcome may have run.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.batch_records import BatchRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

_NAME = "okta_workflows_batch_{}"
_ITEMS_ON_A_PAGE = 40
_OUTCOMES_WRITTEN_AFTER = 1.0
"""Seconds after which an outcome is written, if nothing else is before."""


@dataclass
class _Page:
    number: int
    items: dict[str, BatchRecord | None] = field(default_factory=dict)

    def to_json(self, batch_key: str) -> dict[str, Any]:
        return {
            "batch": batch_key,
            "items": {key: record.to_note() if record else None for key, record in self.items.items()},
        }


class BatchJournal:
    """Keep the notes of one task instance's batch.

    Without a store, as on Airflow before 3.3, nothing is noted and nothing is found.

    :param store: the task state store, or None
    :param batch_key: the invocation key of the task: a clearing by hand has another, and begins anew
    """

    def __init__(self, store: Any, batch_key: str) -> None:
        self._store = store
        self._batch_key = batch_key
        self._pages: list[_Page] = []
        self._page_of: dict[str, _Page] = {}
        self._dirty: set[int] = set()
        self._writing = asyncio.Lock()
        self._later: asyncio.TimerHandle | None = None
        self._background: asyncio.Task[None] | None = None

    def read(self) -> dict[str, BatchRecord | None]:
        """Return what earlier tries have noted: a record by key, None for what may have been sent.

        Called before there is an event loop, from the task's own thread.
        """
        while self._store is not None:
            value = self._store.get(_NAME.format(len(self._pages)))
            if not isinstance(value, dict) or value.get("batch") != self._batch_key:
                break
            page = _Page(len(self._pages))
            for key, note in value["items"].items():
                page.items[key] = BatchRecord.from_note(note) if note else None
                self._page_of[key] = page
            self._pages.append(page)
        return {key: page.items[key] for key, page in self._page_of.items()}

    async def announce(self, keys: Iterable[str]) -> None:
        """Note that items are about to be sent; returns when that is stored.

        :param keys: their keys
        :raises Exception: whatever the store raises: what cannot be noted is not sent
        """
        if self._store is None:
            return
        for key in keys:
            page = self._page_of.get(key) or self._page_with_room()
            page.items[key] = None
            self._page_of[key] = page
            self._dirty.add(page.number)
        await self._write()

    def settle(self, key: str, record: BatchRecord | None) -> None:
        """Note what came of an item, soon.

        :param key: its key
        :param record: what came of it; None if it has not run, so that it may be sent again
        """
        page = self._page_of.get(key)
        if page is None:
            return
        if record is None:
            del page.items[key], self._page_of[key]
        else:
            page.items[key] = record
        self._dirty.add(page.number)
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(_OUTCOMES_WRITTEN_AFTER, self._write_in_background)

    async def close(self) -> None:
        """Write what is not written yet; the outcomes are known, so a failure to do so is only logged."""
        if self._later is not None:
            self._later.cancel()
        if self._background is not None:
            await self._background
        await self._write_outcomes()

    def _page_with_room(self) -> _Page:
        if not self._pages or len(self._pages[-1].items) >= _ITEMS_ON_A_PAGE:
            self._pages.append(_Page(len(self._pages)))
        return self._pages[-1]

    def _write_in_background(self) -> None:
        self._later = None
        self._background = asyncio.ensure_future(self._write_outcomes())

    async def _write_outcomes(self) -> None:
        try:
            await self._write()
        except Exception:
            log.warning("What came of some invocations could not be noted", exc_info=True)

    async def _write(self) -> None:
        async with self._writing:
            dirty, self._dirty = self._dirty, set()
            pages = {_NAME.format(number): self._pages[number].to_json(self._batch_key) for number in sorted(dirty)}
            try:
                # In a thread: it asks the supervisor, and that the API server.
                await asyncio.to_thread(self._store_all, pages)
            except BaseException:
                self._dirty |= dirty
                raise

    def _store_all(self, pages: dict[str, dict[str, Any]]) -> None:
        for name, page in pages.items():
            self._store.set(name, page)
