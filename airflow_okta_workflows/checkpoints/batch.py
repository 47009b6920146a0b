"""The checkpoints of a batch in Airflow's task state store (Airflow 3.3+), which outlive a killed task.

Theory of operation: they are stored in pages of several items, one row each. A page lists an item before it is sent,
and the item's outcome once it is known. An item that a page lists without an outcome may have run.

Only pages with an item that is under way stay in memory. A page whose items all have outcomes is forgotten once it is
written, so that memory does not grow with the batch. Each try begins a new page. An item that it sends again is
therefore listed twice, and the last page counts.

A batch that has ended replaces its first page by its XCom, in one write, and then deletes the other pages. A try that
follows a crash in between finds the XCom and sends nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.invocation import FORGET_IT
from airflow_okta_workflows.checkpoints.spool import SpooledMapping
from airflow_okta_workflows.checkpoints.wanted_run import known_without_store, new_wanted_run
from airflow_okta_workflows.core.batch.records import BatchRecord
from airflow_okta_workflows.core.flows.exactly_once import Knowledge, KnownRun
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.runtime import Runtime, time_text
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaFlowOutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_okta_workflows.core.batch.items import BatchItem

log = logging.getLogger(__name__)

_NAME = "okta_workflows_batch_{}"
_ITEMS_ON_A_PAGE = 40
_LARGEST_XCOM = 60_000
"""Bytes of an XCom that is stored when the batch has ended: Airflow's ``[state_store] max_value_storage_bytes`` is 64
KiB, beyond which it logs a warning."""
_OUTCOMES_WRITTEN_AFTER = 1.0
"""Seconds after which an outcome is written, unless another write includes it earlier."""


@dataclass(slots=True)
class ItemCheckpoint:
    """The checkpoint of one item of a batch.

    :param ordinal: how many runs of the item are known to have failed before this one
    :param record: the result of this run; None if it may have been sent and has no outcome yet
    :param exists: whether the run is known to exist. Written only for a flow with a status flow
    :param execution_id: the execution id of a run that exists, or None
    :param sent_at: when it was about to be sent, as text; None once it has a result that is not ``UNKNOWN``
    :param name: the value of ``item_key``, for the record of an item that a later try does not find; None without one
    """

    ordinal: int = 0
    record: BatchRecord | None = None
    exists: bool = False
    execution_id: str | None = None
    sent_at: str | None = None
    name: str | int | None = None

    def to_json(self) -> dict[str, Any] | None:
        """Return the checkpoint as a JSON value, None if it has only default values."""
        checkpoint: dict[str, Any] = {"execution_id": self.execution_id} if self.execution_id else {}
        checkpoint |= self.record.to_checkpoint() if self.record else {}
        checkpoint |= {"ordinal": self.ordinal} if self.ordinal else {}
        checkpoint |= {"exists": True} if self.exists else {}
        checkpoint |= {"sent_at": self.sent_at} if self.sent_at else {}
        checkpoint |= {"item": self.name} if self.name is not None else {}
        return checkpoint or None

    @classmethod
    def from_json(cls, checkpoint: Any) -> ItemCheckpoint:
        """Return the checkpoint that a JSON value describes; if it cannot be parsed, the item may have been sent.

        :param checkpoint: what :meth:`to_json` returned
        """
        if not isinstance(checkpoint, dict):
            return cls()
        ordinal = checkpoint.get("ordinal", 0)
        record = BatchRecord.from_checkpoint(checkpoint) if "outcome" in checkpoint else None
        if not isinstance(ordinal, int) or ordinal < 0:
            return cls()
        execution_id, sent_at, name = (checkpoint.get(one) for one in ("execution_id", "sent_at", "item"))
        return cls(
            ordinal,
            record,
            checkpoint.get("exists") is True,
            execution_id if isinstance(execution_id, str) else None,
            sent_at if isinstance(sent_at, str) else None,
            name if isinstance(name, (str, int)) else None,
        )


@dataclass
class _Page:
    number: int
    items: dict[str, ItemCheckpoint] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    """Keys of the items that are under way."""
    _stored: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """The items as JSON values, each converted once although the page is written several times."""

    def put(self, key: str, item: ItemCheckpoint) -> None:
        self.items[key] = item
        self._stored[key] = item.to_json()

    def remove(self, key: str) -> None:
        del self.items[key], self._stored[key]

    def to_json(self, run: WantedRun, item_key: str | None) -> dict[str, Any]:
        # A copy, because another thread stores it.
        return {**run.to_json(), **({"item_key": item_key} if item_key else {}), "items": dict(self._stored)}


class BatchCheckpointStore:
    """The checkpoints of one task instance's batch: those of earlier tries, and those that this try writes.

    Without a task state store, as on Airflow before 3.3, there are none and none are written. Instantiate this class in
    the task's own thread, before the event loop starts: the constructor reads the store, which blocks.

    :param context: the task's context
    :param flow: the flow as the task names it
    :param item_key: the expression that names the items; None without one
    :raises OktaFlowOutcomeUnknownError: if a checkpoint cannot be read
    """

    def __init__(self, context: Mapping[str, Any], flow: str, item_key: str | None = None) -> None:
        self._store: Any = context.get("task_state_store")
        self._flow = flow
        self._item_key = item_key
        self.earlier_item_key = item_key
        """The expression that named the items of the earlier tries; None without one."""
        self.earlier: SpooledMapping[ItemCheckpoint] = SpooledMapping(ItemCheckpoint.from_json)
        """The checkpoints of earlier tries, by the key of each item's first run."""
        self.done: Any = None
        """The XCom of an earlier try that has settled all items; None if there is none."""
        self._next = 0
        """Number of the next page."""
        self._pages: dict[int, _Page] = {}
        """The pages of this try that can still change."""
        self._page_of: dict[str, _Page] = {}
        self._dirty: set[int] = set()
        self._writing = asyncio.Lock()
        self._later: asyncio.TimerHandle | None = None
        self._background: asyncio.Task[None] | None = None
        self._ti = context["ti"]
        self._run = new_wanted_run(context)
        self._read()

    @property
    def key(self) -> str:
        """The idempotency key of the batch, from which those of its items are derived."""
        return self._run.key

    @property
    def is_kept(self) -> bool:
        """Whether checkpoints outlive this try."""
        return self._store is not None

    def known_run(self, key: str) -> KnownRun | None:
        """Return what is known about an item's run when this try starts, for a flow with a status flow.

        :param key: the key of the item's first run
        :return: None if the item has succeeded
        """
        if self._store is None:
            return known_without_store(WantedRun(key, None), self._ti)
        item = self.earlier.get(key)
        if item is None:
            return KnownRun(WantedRun(key, None), Knowledge.NEVER_SENT)
        run = WantedRun(key, None, item.ordinal)
        match item.record.outcome if item.record else Outcome.UNKNOWN:
            case Outcome.SUCCEEDED:
                return None
            case Outcome.FAILED:
                return KnownRun(run.after_failure(), Knowledge.NEVER_SENT)
            case Outcome.NOT_SENT:
                return KnownRun(run, Knowledge.NEVER_SENT)
            case Outcome.UNKNOWN:
                knowledge = Knowledge.EXISTS if item.exists else Knowledge.MAY_RUN
                return KnownRun(run, knowledge, execution_id=item.execution_id if item.exists else None)

    async def announce(self, turns: Iterable[tuple[BatchItem, int]]) -> None:
        """Checkpoint that items are about to be sent, and return once that is stored.

        :param turns: the items, each with how many runs of it are known to have failed
        :raises Exception: any error of the store; an item without a checkpoint must not be sent
        """
        if self._store is None:
            return
        now = time_text(Runtime.clock())
        for item, ordinal in turns:
            page = self._page_of.get(item.key) or self._page_with_room()
            page.put(item.key, ItemCheckpoint(ordinal, sent_at=now, name=item.name))
            page.open.add(item.key)
            self._page_of[item.key] = page
            self._dirty.add(page.number)
        await self._write()

    def started(self, item: BatchItem, execution_id: str | None) -> None:
        """Checkpoint that the run of an item exists, within about a second.

        :param item: the item
        :param execution_id: the run's execution id, or None
        """
        page = self._page_of.get(item.key) or self._page_again(item.key)
        if page:
            page.open.add(item.key)
            running = replace(page.items[item.key], record=None, exists=True, execution_id=execution_id, sent_at=None)
            page.put(item.key, running)
            self._write_soon(page)

    def settle(self, key: str, record: BatchRecord, *, ordinal: int | None = None, final: bool = True) -> None:
        """Checkpoint the result of an item, within about a second.

        :param key: the key of the item's first run
        :param record: the result
        :param ordinal: how many runs of the item are known to have failed before this one; None for no more than the
            checkpoint says
        :param final: whether this try does nothing more with the item
        """
        page = self._page_of.get(key) or self._page_again(key)
        if page is None:
            return
        item = page.items[key]
        if final:
            page.open.discard(key)
        if record.outcome is Outcome.NOT_SENT and not item.ordinal and key not in self.earlier:
            # As if it had never been announced. A later run is kept, since without its ordinal a retry would reuse the
            # key of a failed run.
            page.open.discard(key)
            page.remove(key)
            del self._page_of[key]
        elif ordinal is not None and ordinal > item.ordinal:
            # Another run was wanted, whose turn has not come: what is known of the failed one does not hold for it.
            page.put(key, ItemCheckpoint(ordinal, record, name=item.name))
        else:
            sent_at = item.sent_at if record.outcome is Outcome.UNKNOWN else None
            page.put(key, ItemCheckpoint(item.ordinal, record, item.exists, item.execution_id, sent_at, item.name))
        self._write_soon(page)

    def _page_again(self, key: str) -> _Page | None:
        """List an item of an earlier try on a page of this try."""
        if self._store is None or not (earlier := self.earlier.get(key)):
            return None
        page = self._page_of[key] = self._page_with_room()
        page.put(key, earlier)
        return page

    def _write_soon(self, page: _Page) -> None:
        self._dirty.add(page.number)
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(_OUTCOMES_WRITTEN_AFTER, self._write_in_background)

    async def close(self) -> None:
        """Write all pending checkpoints. A failure is only logged, because this try itself knows the outcomes."""
        if self._later is not None:
            self._later.cancel()
        if self._background is not None:
            await self._background
        await self._write_outcomes()

    def finish(self, xcom: Any) -> None:
        """Checkpoint that all items are settled, and delete the other pages. A failure is only logged.

        A large XCom is not stored. Then the pages stay, from which a retry makes it again.

        :param xcom: what the task returns
        """
        if self._store is None or len(json.dumps(xcom)) > _LARGEST_XCOM:
            return
        try:
            self._store.set(_NAME.format(0), {**self._run.to_json(), "done": xcom})
            self._delete_pages()
        except Exception:
            log.warning("The end of the batch could not be stored", exc_info=True)

    def _delete_pages(self) -> None:
        last = self._next
        # Before the task was cleared, the batch may have had more pages.
        while self._store.get(_NAME.format(last)) is not None:
            last += 1
        # The last first: if this is interrupted, those that are left have no gap, and the next try finds them all.
        for number in range(last - 1, 0, -1):
            self._store.delete(_NAME.format(number))

    def _read(self) -> None:
        while self._store is not None:
            value = self._store.get(_NAME.format(self._next))
            if value is None:
                return
            run = WantedRun.from_json(value) if isinstance(value, dict) else None
            if run and run.max_tries != self._run.max_tries:
                # The task was cleared since this page was written.
                return
            if run and not self._next and "done" in value:
                self.done, self._next = value["done"], 1
                self._delete_pages()
                return
            items = value.get("items") if run else None
            if run is None or not isinstance(items, dict):
                raise self._unreadable()
            if not self._next:
                self._run, self.earlier_item_key = run, value.get("item_key")
            elif run != self._run:
                return
            try:
                for key, item in items.items():
                    self.earlier.add(key, item)
            except ValueError:  # a key that is no UUID
                raise self._unreadable() from None
            self._next += 1

    def _unreadable(self) -> OktaFlowOutcomeUnknownError:
        return OktaFlowOutcomeUnknownError(
            f"The checkpoint of flow {shown(self._flow)} is of another version of this provider and cannot be read.",
            detail="Any item of the batch may have run, and none is sent: look them up in the flow's execution"
            " history.",
            hint=FORGET_IT,
            flow=self._flow,
        )

    def _page_with_room(self) -> _Page:
        page = self._pages.get(self._next - 1)
        if page is None or len(page.items) >= _ITEMS_ON_A_PAGE:
            page = self._pages[self._next] = _Page(self._next)
            self._next += 1
        return page

    def _write_in_background(self) -> None:
        self._later = None
        self._background = asyncio.ensure_future(self._write_outcomes())

    async def _write_outcomes(self) -> None:
        try:
            await self._write()
        except Exception:
            log.warning("The outcome of some invocations could not be stored", exc_info=True)

    async def _write(self) -> None:
        async with self._writing:
            dirty, self._dirty = self._dirty, set()
            pages = {_NAME.format(one): self._pages[one].to_json(self._run, self._item_key) for one in sorted(dirty)}
            try:
                # In a thread, since it blocks: the task asks the supervisor, and the supervisor asks the API server.
                await asyncio.to_thread(self._store_all, pages)
            except BaseException:
                self._dirty |= dirty
                raise
            self._forget_pages()

    def _forget_pages(self) -> None:
        """Forget the pages that cannot change any more. New items go to the last page."""
        for number in [one for one, page in self._pages.items() if not page.open]:
            if number < self._next - 1 and number not in self._dirty:
                for key in self._pages.pop(number).items:
                    del self._page_of[key]

    def _store_all(self, pages: dict[str, dict[str, Any]]) -> None:
        for name, page in pages.items():
            self._store.set(name, page)
