"""The checkpoints of a batch in Airflow's task state store (Airflow 3.3+), which outlive a killed task.

They are stored in pages of several items. A page lists an item before it is sent, and the item's outcome once it is
known. An item that a page lists without an outcome may have run.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.invocation import FORGET_IT
from airflow_okta_workflows.checkpoints.wanted_run import known_without_store, new_wanted_run
from airflow_okta_workflows.core.batch.records import BatchRecord
from airflow_okta_workflows.core.flows.exactly_once import Knowledge, KnownRun
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.runtime import Runtime, time_text
from airflow_okta_workflows.exceptions import OktaFlowOutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_NAME = "okta_workflows_batch_{}"
_ITEMS_ON_A_PAGE = 40
_OUTCOMES_WRITTEN_AFTER = 1.0
"""Seconds after which an outcome is written, unless another write includes it earlier."""


@dataclass(frozen=True, slots=True)
class ItemCheckpoint:
    """The checkpoint of one item of a batch.

    :param ordinal: how many runs of the item are known to have failed before this one
    :param record: the result of this run; None if it may have been sent and has no outcome yet
    :param exists: whether the run is known to exist. Written only for a flow with a status flow
    :param execution_id: the execution id of a run that exists, or None
    :param sent_at: when it was about to be sent, as text; None once it has a result that is not ``UNKNOWN``
    """

    ordinal: int = 0
    record: BatchRecord | None = None
    exists: bool = False
    execution_id: str | None = None
    sent_at: str | None = None

    def to_json(self) -> dict[str, Any] | None:
        """Return the checkpoint as a JSON value, None if it has only default values."""
        checkpoint: dict[str, Any] = {"execution_id": self.execution_id} if self.execution_id else {}
        checkpoint |= self.record.to_checkpoint() if self.record else {}
        checkpoint |= {"ordinal": self.ordinal} if self.ordinal else {}
        checkpoint |= {"exists": True} if self.exists else {}
        checkpoint |= {"sent_at": self.sent_at} if self.sent_at else {}
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
        execution_id, sent_at = checkpoint.get("execution_id"), checkpoint.get("sent_at")
        return cls(
            ordinal,
            record,
            checkpoint.get("exists") is True,
            execution_id if isinstance(execution_id, str) else None,
            sent_at if isinstance(sent_at, str) else None,
        )


@dataclass
class _Page:
    number: int
    items: dict[str, ItemCheckpoint] = field(default_factory=dict)

    def to_json(self, run: WantedRun) -> dict[str, Any]:
        return {**run.to_json(), "items": {key: item.to_json() for key, item in self.items.items()}}


class BatchCheckpointStore:
    """The checkpoints of one task instance's batch: those of earlier tries, and those that this try writes.

    Without a task state store, as on Airflow before 3.3, there are none and none are written. Instantiate this class in
    the task's own thread, before the event loop starts: the constructor reads the store, which blocks.

    :param context: the task's context
    :param flow: the flow as the task names it
    :raises OktaFlowOutcomeUnknownError: if a checkpoint cannot be read
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
        self._ti = context["ti"]
        self._run = new_wanted_run(context)
        self._read()

    @property
    def key(self) -> str:
        """The idempotency key of the batch, from which those of its items are derived."""
        return self._run.key

    @property
    def earlier(self) -> dict[str, ItemCheckpoint]:
        """The checkpoints of earlier tries, by the key of each item's first run."""
        return {key: page.items[key] for key, page in self._page_of.items()}

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
        page = self._page_of.get(key)
        if page is None:
            return KnownRun(WantedRun(key, None), Knowledge.NEVER_SENT)
        item = page.items[key]
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

    async def announce(self, ordinals: Mapping[str, int]) -> None:
        """Checkpoint that items are about to be sent, and return once that is stored.

        :param ordinals: how many runs of each item are known to have failed, by the key of its first run
        :raises Exception: any error of the store; an item without a checkpoint must not be sent
        """
        if self._store is None:
            return
        now = time_text(Runtime.clock())
        for key, ordinal in ordinals.items():
            page = self._page_of.get(key) or self._page_with_room()
            page.items[key] = ItemCheckpoint(ordinal, sent_at=now)
            self._page_of[key] = page
            self._dirty.add(page.number)
        await self._write()

    def started(self, key: str, execution_id: str | None) -> None:
        """Checkpoint that the run of an item exists, within about a second.

        :param key: the key of the item's first run
        :param execution_id: the run's execution id, or None
        """
        if page := self._page_of.get(key):
            page.items[key] = ItemCheckpoint(page.items[key].ordinal, exists=True, execution_id=execution_id)
            self._write_soon(page)

    def settle(self, key: str, record: BatchRecord) -> None:
        """Checkpoint the result of an item, within about a second.

        :param key: the key of the item's first run
        :param record: the result
        """
        page = self._page_of.get(key)
        if page is None:
            return
        item = page.items[key]
        if record.outcome is Outcome.NOT_SENT and not item.ordinal:
            # As if it had never been announced. A later run is kept, since without its ordinal a retry would reuse the
            # key of a failed run.
            del page.items[key], self._page_of[key]
        else:
            page.items[key] = replace(
                item, record=record, sent_at=item.sent_at if record.outcome is Outcome.UNKNOWN else None
            )
        self._write_soon(page)

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

    def _read(self) -> None:
        while self._store is not None:
            value = self._store.get(_NAME.format(len(self._pages)))
            if value is None:
                return
            run = WantedRun.from_json(value) if isinstance(value, dict) else None
            if run and run.max_tries != self._run.max_tries:
                # The task was cleared since this page was written.
                return
            items = value.get("items") if run else None
            if run is None or not isinstance(items, dict):
                raise OktaFlowOutcomeUnknownError(
                    f"The checkpoint of flow {self._flow!r} is of another version of this provider and cannot be read.",
                    detail="Any item of the batch may have run, and none is sent: look them up in the flow's execution"
                    " history.",
                    hint=FORGET_IT,
                    flow=self._flow,
                )
            if not self._pages:
                self._run = run
            elif run != self._run:
                return
            page = _Page(len(self._pages), {key: ItemCheckpoint.from_json(item) for key, item in items.items()})
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
            log.warning("The outcome of some invocations could not be stored", exc_info=True)

    async def _write(self) -> None:
        async with self._writing:
            dirty, self._dirty = self._dirty, set()
            pages = {_NAME.format(number): self._pages[number].to_json(self._run) for number in sorted(dirty)}
            try:
                # In a thread, since it blocks: the task asks the supervisor, and the supervisor asks the API server.
                await asyncio.to_thread(self._store_all, pages)
            except BaseException:
                self._dirty |= dirty
                raise

    def _store_all(self, pages: dict[str, dict[str, Any]]) -> None:
        for name, page in pages.items():
            self._store.set(name, page)
