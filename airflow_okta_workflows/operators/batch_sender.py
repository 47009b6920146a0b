"""Sender of a batch's invocations: one at a time, at the flow's pace, each after its checkpoint.

Checkpoints are written in lots, ahead of the requests, so that no write delays a request. A checkpoint that has become
old by then is written again: Airflow refuses it if another try has begun meanwhile, and then nothing is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from itertools import chain, islice
from math import inf
from typing import TYPE_CHECKING

from airflow_okta_workflows.client.rate_limiter import FlowRateLimiter, SkipFirstAcquire
from airflow_okta_workflows.core.batch.records import BatchRecord
from airflow_okta_workflows.core.flows.exactly_once import WRITTEN_AHEAD
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.core.retry.pacer import FLOW_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.core.batch.items import BatchItem
    from airflow_okta_workflows.core.flows.invocation import Invocation
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.pace.configured import Pace

log = logging.getLogger(__name__)

_LOT = 0.5
"""Seconds' worth of items whose checkpoints are written together before they are sent. If the task is killed, the
outcome of these items is unknown, so the number is small."""


@dataclass(eq=False, slots=True)
class Turn:
    """An item that is to be sent.

    :param item: the item
    :param ordinal: how many runs of the item are known to have failed
    :param granted: what a conversation that is under way waits for; False if nothing is sent any more
    """

    item: BatchItem
    ordinal: int
    granted: asyncio.Future[bool] | None = None


class BatchSender:
    """Queue of the items that are to be sent, and what is needed to send them.

    :param url: the flow's invoke URL
    :param checkpoints: the store for the checkpoints of the items
    :param runtime: clock and sleep
    :param pace: the pace that the batch shares with others
    :param max_rate: most invocations per second of this batch
    :param max_in_flight: most calls that may be open at the same time
    :param on_turn: called when an item is added to the queue
    """

    def __init__(
        self,
        url: str,
        checkpoints: BatchCheckpointStore,
        runtime: Runtime,
        *,
        pace: Pace,
        max_rate: float,
        max_in_flight: int,
        on_turn: Callable[[], None],
    ) -> None:
        self.may_run: set[str] = set()
        """Keys of the items whose current run may exist although no outcome is known."""
        self.sent_at: dict[str, float] = {}
        """When the items were sent, in seconds since the epoch, by the keys of their first runs."""
        self.open = 0
        """Number of open calls."""
        self._checkpoints = checkpoints
        self._clock = runtime.clock
        self._monotonic = runtime.monotonic
        self._limiter = FlowRateLimiter(pace.turns_of_share(url, max_rate), runtime)
        if pace.turns(url) and max_rate > max(pace.flow_rate, FLOW_RATE):
            log.warning(
                "max_rate is %g, but all who invoke a flow share %g/s. Raise [okta_workflows] flow_rate if the flow"
                " takes more, or lower max_rate.",
                max_rate,
                pace.flow_rate,
            )
        self._size = max(1, round(max_rate * _LOT))
        self._most_open = max_in_flight
        self._on_turn = on_turn
        self._first: Iterator[Turn] = iter(())
        """The items that this try sends for the first time. They are read when their checkpoints are due."""
        self._queue: deque[Turn] = deque()
        """The items that are sent again, once all others have been sent."""
        self._ahead: deque[Turn] = deque()
        """The lot whose checkpoints are being written."""
        self._lot: deque[Turn] = deque()
        """The lot that is being sent."""
        self._announcing: asyncio.Task[None] | None = None
        self._announced: dict[str, float] = {}
        """When the checkpoints were written, by the keys of items that are not being sent yet."""
        self._room = asyncio.Semaphore(max_in_flight)
        self._closed = False

    def begin(self, turns: Iterator[Turn]) -> None:
        """Take the items that are to be sent.

        :param turns: the items
        """
        self._first = turns

    async def turn(self, item: BatchItem, ordinal: int) -> Turn | None:
        """Return an item's turn once it may be sent again; None if nothing is sent any more.

        :param item: the item
        :param ordinal: how many runs of it are known to have failed
        """
        if self._closed:
            return None
        granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        turn = Turn(item, ordinal, granted)
        self._queue.append(turn)
        self._on_turn()
        return turn if await granted else None

    async def next(self) -> Turn | None:
        """Return the item that has to be sent now, once its checkpoint is written; None if the queue is empty."""
        if not self._lot:
            self._announce_ahead()
            if self._announcing is None:
                return None
            await self._announcing
            self._announcing, self._lot, self._ahead = None, self._ahead, deque()
        await self._room.acquire()
        if self._is_old(self._announced[self._lot[0].item.key]):
            # One write for all that are left of the lot.
            await self._announce(self._lot)
        await self._limiter.acquire()
        turn = self._lot.popleft()
        if len(self._lot) <= self._size // 2:
            # Written while the rest of this lot is sent, so that the write delays no item.
            self._announce_ahead()
        return turn

    def _announce_ahead(self) -> None:
        if self._announcing is None and (lot := deque(islice(self._waiting(), self._size))):
            self._ahead = lot
            self._announcing = asyncio.ensure_future(self._announce(lot))

    def _waiting(self) -> Iterator[Turn]:
        # Not "yield from", which would close the generator of the first items with this one.
        return chain(self._first, (self._queue.popleft() for _ in range(len(self._queue))))

    async def _announce(self, lot: Sequence[Turn]) -> None:
        self._announced.update(dict.fromkeys((turn.item.key for turn in lot), self._monotonic()))
        await self._checkpoints.announce([(turn.item, turn.ordinal) for turn in lot])

    def _is_old(self, written_at: float) -> bool:
        return self._monotonic() - written_at > WRITTEN_AHEAD

    async def send(
        self,
        client: AsyncFlowClient,
        turn: Turn,
        call: Invocation,
        reached: Callable[[InvocationState], None] | None = None,
    ) -> FlowResponse:
        """Invoke the flow for an item whose turn it is.

        :param client: the client
        :param turn: the item
        :param call: its invocation
        :param reached: called with each state of the invocation, or None
        :raises CoreError: if the invocation did not succeed
        """
        key = turn.item.key
        written_at = self._announced.pop(key)
        self.open += 1

        async def on_state(state: InvocationState) -> None:
            nonlocal written_at
            if state is InvocationState.NOT_RUN:
                written_at = -inf
                self.may_run.discard(key)
                self._checkpoints.settle(key, BatchRecord(Outcome.NOT_SENT), final=False)
            else:
                if self._is_old(written_at):
                    now = self._monotonic()
                    await self._checkpoints.announce([(turn.item, turn.ordinal)])
                    written_at = now
                self.may_run.add(key)
                self.sent_at[key] = self._clock()
            if reached:
                reached(state)

        try:
            return await client.invoke_flow(call, limiter=SkipFirstAcquire(self._limiter), on_state=on_state)
        finally:
            self.open -= 1
            self._room.release()

    def settled(self, key: str, outcome: Outcome) -> None:
        """Forget an item, which this try does not send again.

        :param key: the key of its first run
        :param outcome: its outcome; of an item whose outcome is unknown the time of sending is kept, for the question
        """
        self.may_run.discard(key)
        if outcome is not Outcome.UNKNOWN:
            self.sent_at.pop(key, None)

    def refuse(self) -> None:
        """Grant no turn any more."""
        self._closed = True
        for turn in (*self._lot, *self._ahead, *self._queue):
            if turn.granted and not turn.granted.done():
                turn.granted.set_result(False)

    async def close(self) -> None:
        """Checkpoint that the items that were announced and have had no turn were not sent."""
        if self._announcing:
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
        for key in self._announced:
            self._checkpoints.settle(key, BatchRecord(Outcome.NOT_SENT))
