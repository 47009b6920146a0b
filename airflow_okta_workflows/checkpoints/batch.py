"""The notes of a batch in Airflow's task state store (Airflow 3.3+), which outlive a killed task.

They are written by pages of items. Before an item is sent, a page says so; once it is settled, the page says what came
of it. What a page names without an outcome may have run.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.invocation import FORGET_IT
from airflow_okta_workflows.checkpoints.wanted_run import new_wanted_run
from airflow_okta_workflows.core.batch.records import BatchRecord
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.exceptions import OktaFlowOutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_NAME = "okta_workflows_batch_{}"
_ITEMS_ON_A_PAGE = 40
_OUTCOMES_WRITTEN_AFTER = 1.0
"""Seconds after which an outcome is written, if nothing else is before."""


@dataclass(frozen=True, slots=True)
class ItemCheckpoint:
    """What is noted of one item of a batch.

    :param ordinal: how many of its runs are known to have failed before the one that this is about
    :param record: what came of that run; None for what may have been sent
    """

    ordinal: int = 0
    record: BatchRecord | None = None

    def to_json(self) -> dict[str, Any] | None:
        """Return the note as a JSON value, as short as it can be."""
        note = self.record.to_checkpoint() if self.record else {}
        return ({**note, "ordinal": self.ordinal} if self.ordinal else note) or None

    @classmethod
    def from_json(cls, note: Any) -> ItemCheckpoint:
        """Return what a JSON value notes; what cannot be understood may have been sent.

        :param note: what :meth:`to_json` gave
        """
        if not isinstance(note, dict):
            return cls()
        ordinal = note.get("ordinal", 0)
        record = BatchRecord.from_checkpoint(note) if "outcome" in note else None
        return cls(ordinal, record) if isinstance(ordinal, int) and ordinal >= 0 else cls()


@dataclass
class _Page:
    number: int
    items: dict[str, ItemCheckpoint] = field(default_factory=dict)

    def to_json(self, run: WantedRun) -> dict[str, Any]:
        return {**run.to_json(), "items": {key: item.to_json() for key, item in self.items.items()}}


class BatchCheckpointStore:
    """The notes of one task instance's batch, as earlier tries left them and as this one writes them.

    Without a store, as on Airflow before 3.3, nothing is noted and nothing is found. It is made before there is an
    event loop, in the task's own thread.

    :param context: the task's context
    :param flow: the flow as the task names it
    :raises OktaFlowOutcomeUnknownError: if something is noted that cannot be read
    """

    def __init__(self, context: Mapping[str, Any], flow: str) -> None:
        self._store: Any = context.get("task_state_store")
        self._flow = flow
        self._pages: list[_Page] = []
        self._page_of: dict[str, _Page] = {}
        self._dirty: set[int] = set()
        self._writing = asyncio.Lock()
        self._later: asyncio.TimerHandle | None = None
        self._background: asyncio.Task[None] | None = None
        self._run = new_wanted_run(context)
        self._read()

    @property
    def key(self) -> str:
        """The idempotency key of the batch, which those of its items are made of."""
        return self._run.key

    @property
    def earlier(self) -> dict[str, ItemCheckpoint]:
        """What earlier tries have noted, by the key of an item's first run."""
        return {key: page.items[key] for key, page in self._page_of.items()}

    async def announce(self, ordinals: Mapping[str, int]) -> None:
        """Checkpoint that items are about to be sent; returns when that is stored.

        :param ordinals: for the key of each item's first run, how many of its runs have failed
        :raises Exception: whatever the store raises: what cannot be noted is not sent
        """
        if self._store is None:
            return
        for key, ordinal in ordinals.items():
            page = self._page_of.get(key) or self._page_with_room()
            page.items[key] = ItemCheckpoint(ordinal)
            self._page_of[key] = page
            self._dirty.add(page.number)
        await self._write()

    def settle(self, key: str, record: BatchRecord) -> None:
        """Checkpoint what came of an item, soon.

        :param key: the key of its first run
        :param record: what came of it
        """
        page = self._page_of.get(key)
        if page is None:
            return
        ordinal = page.items[key].ordinal
        if record.outcome is Outcome.NOT_SENT and not ordinal:
            # As if it had never been announced; later runs are kept, so that none gets the key of one that failed.
            del page.items[key], self._page_of[key]
        else:
            page.items[key] = ItemCheckpoint(ordinal, record)
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

    def _read(self) -> None:
        while self._store is not None:
            value = self._store.get(_NAME.format(len(self._pages)))
            if value is None:
                return
            run = WantedRun.from_json(value) if isinstance(value, dict) else None
            if run and run.max_tries != self._run.max_tries:
                # Of what was wanted before the task was cleared.
                return
            items = value.get("items") if run else None
            if run is None or not isinstance(items, dict):
                raise OktaFlowOutcomeUnknownError(
                    f"What an earlier try of this batch noted of flow {self._flow!r} cannot be read by this version of"
                    " the provider: any of its items may have run, and none is sent. Look them up in the flow's"
                    f" execution history. {FORGET_IT}",
                    hint=FORGET_IT,
                    flow=self._flow,
                )
            if not self._pages:
                self._run = run
            elif run != self._run:
                return
            page = _Page(len(self._pages), {key: ItemCheckpoint.from_json(note) for key, note in items.items()})
            self._page_of.update(dict.fromkeys(page.items, page))
            self._pages.append(page)

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
            pages = {_NAME.format(number): self._pages[number].to_json(self._run) for number in sorted(dirty)}
            try:
                # In a thread: it asks the supervisor, and that the API server.
                await asyncio.to_thread(self._store_all, pages)
            except BaseException:
                self._dirty |= dirty
                raise

    def _store_all(self, pages: dict[str, dict[str, Any]]) -> None:
        for name, page in pages.items():
            self._store.set(name, page)
