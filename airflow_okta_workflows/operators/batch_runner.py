"""Run of a batch: many rate-limited invocations of one flow, on an event loop in a separate thread.

The separate thread keeps the task's main thread free for signals. Airflow interrupts the main thread for
``execution_timeout`` and ``on_kill`` at any point, and must find it waiting, not in the middle of a conversation with
the supervisor.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.client.loop_resources import loop_resources
from airflow_okta_workflows.client.rate_limiter import FlowRateLimiter
from airflow_okta_workflows.core.batch.records import BatchRecord, in_words
from airflow_okta_workflows.core.flows.idempotency_key import derive_key
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.core.retry.pacer import Pacer
from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.exceptions import (
    OktaFlowError,
    OktaTokenRefusedError,
    OktaWorkflowsError,
    outcome_of,
    raise_provider_errors,
)
from airflow_okta_workflows.tokens.source import token_source_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore, ItemCheckpoint
    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.client.loop_resources import LoopResources
    from airflow_okta_workflows.core.batch.items import BatchItem
    from airflow_okta_workflows.core.flows.invocation import Invocation
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.hooks.flow_hook import FlowHook

log = logging.getLogger(__name__)

_PROGRESS_EVERY = 10.0
"""Seconds between two progress log lines."""
_ANNOUNCED_AHEAD = 0.5
"""Seconds' worth of items whose checkpoints are written together before they are sent. If the task is killed, the
outcome of these items is unknown, so the number is small."""
_GRACE = 3.0
"""Seconds that open calls get to finish when the task is stopped: Airflow's supervisor kills it after five."""
_GIVE_UP_AFTER = 20
"""Consecutive items that did not run before the batch gives up: the flow is off or the org is unreachable, and the
remaining items would fail, too."""
_ERRORS_LOGGED = 10

_LEFT_UNKNOWN = "an earlier try of this task was cut off while it was under way; it may have run and is not sent again"
_STOPPED = "the task was stopped before it was sent"
_STOPPED_OPEN = "the task was stopped while it was under way; it may have run"


class BatchRun:
    """Run of one flow for many items, with a record of each.

    :param hook: the connection
    :param template: the invocation without payload and idempotency key
    :param items: the items, in the order in which they are sent
    :param checkpoints: checkpoints of earlier tries of the task, and the store for those of this try
    :param evaluate: returns the result of a response, given the response and its idempotency key, or raises if the
        task's conditions are not met
    :param max_rate: most invocations per second
    :param max_in_flight: most calls that may be open at the same time
    """

    def __init__(
        self,
        hook: FlowHook,
        template: Invocation,
        items: Sequence[BatchItem],
        *,
        checkpoints: BatchCheckpointStore,
        evaluate: Callable[[FlowResponse, str], Any],
        max_rate: float,
        max_in_flight: int,
    ) -> None:
        self.gave_up: OktaWorkflowsError | None = None
        """Error for which the remaining items were not sent; None if the batch did not give up."""
        self._hook = hook
        self._stop_signal = hook.runtime.stop
        self._template = template
        self._items = items
        self._checkpoints = checkpoints
        self._evaluate = evaluate
        self._limiter = FlowRateLimiter(Pacer(max_rate), hook.runtime)
        self._lot = max(1, round(max_rate * _ANNOUNCED_AHEAD))
        self._max_in_flight = max_in_flight
        self._monotonic = hook.runtime.monotonic
        self._records: dict[str, BatchRecord] = {}
        self._ordinals = dict.fromkeys((item.key for item in items), 0)
        earlier = checkpoints.earlier
        self._to_send = [item for item in items if not self._is_settled(item, earlier)]
        self._announced: set[str] = set()
        self._announcing: asyncio.Task[None] | None = None
        self._unexpected: Exception | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._counts = Counter(record.outcome for record in self._records.values())
        self._started = 0
        self._not_run_in_a_row = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        # Not a threading.Event: an exception that interrupts its wait(), such as the task's timeout, may leave its
        # inner lock held.
        self._ended = StopSignal()
        self._error: BaseException | None = None
        self._began_at = self._last_progress = self._monotonic()

    @property
    def stopped(self) -> bool:
        """Whether the task was stopped."""
        return self._stop_signal.requested

    def run(self) -> list[BatchRecord]:
        """Send all items that earlier tries have not settled, and return the records in the order of the items.

        :raises OktaWorkflowsError: if there is no token; nothing was sent
        """
        if self._records:
            log.info("%s of earlier tries stand; %d to send", in_words(self._counts), len(self._to_send))
        if not self._to_send:
            return [self._records[item.key] for item in self._items]
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._run_loop,), name="okta-batch", daemon=True)
        try:
            thread.start()
            self._ended.wait(threading.TIMEOUT_MAX)
        except BaseException:
            self.stop()
            if thread.is_alive():
                thread.join(2 * _GRACE)
            raise
        if self._error:
            raise self._error
        return [self._records.get(item.key) or self._not_sent() for item in self._items]

    def stop(self) -> None:
        """Send nothing more, and give open calls a few seconds. May be called from a signal handler."""
        self._stop_signal.request()
        if self._loop and self._stop:
            with suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(self._stop.set)

    def key_of(self, item: BatchItem) -> str:
        """Return the idempotency key under which an item was, or would be, sent.

        :param item: one of the items
        """
        return derive_key(item.key, self._ordinals[item.key])

    def _is_settled(self, item: BatchItem, earlier: Mapping[str, ItemCheckpoint]) -> bool:
        """Return whether an item must not be sent, and store its record if so."""
        if item.key not in earlier:
            return False
        noted = earlier[item.key]
        record = noted.record or BatchRecord(Outcome.UNKNOWN, error=_LEFT_UNKNOWN)
        # A run that is known to have failed is final: the retry wants another run, with another key.
        self._ordinals[item.key] = noted.ordinal + (record.outcome is Outcome.FAILED)
        if record.outcome is Outcome.SUCCEEDED or (record.outcome is Outcome.UNKNOWN and not self._template.idempotent):
            self._records[item.key] = record
            return True
        return False

    def _not_sent(self) -> BatchRecord:
        return BatchRecord(
            Outcome.NOT_SENT,
            error=f"not sent, since {self.gave_up.message}" if self.gave_up and not self.stopped else _STOPPED,
        )

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # raised again in the task's own thread
            self._error = error
        finally:
            self._ended.request()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self.stopped:
            self._stop.set()
        async with loop_resources() as resources:
            client = self._client(resources)
            work = asyncio.ensure_future(self._work(client))
            stop = asyncio.ensure_future(self._stop.wait())
            try:
                await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
                work.cancel()
                while self._calls and not stop.done():
                    # Calls that were open when the batch failed or gave up may finish.
                    await asyncio.wait({*self._calls, stop}, return_when=asyncio.FIRST_COMPLETED)
                for call in self._calls - client.sending:
                    # Waiting for its turn to send, which must not come any more.
                    call.cancel()
                if self._calls:
                    await asyncio.wait(self._calls, timeout=_GRACE)
            finally:
                stop.cancel()
                work.cancel()
                for call in self._calls:
                    call.cancel()
                waiting = [work, *self._calls, *([self._announcing] if self._announcing else [])]
                await asyncio.gather(*waiting, return_exceptions=True)
                for key in self._announced:
                    self._checkpoints.settle(key, BatchRecord(Outcome.NOT_SENT))
                await self._checkpoints.close()
                self._tell("ended")
            if not work.cancelled():
                work.result()
            if self._unexpected:
                raise self._unexpected

    def _client(self, resources: LoopResources) -> AsyncFlowClient:
        settings = self._hook.settings
        return resources.client(settings, token_source_for(settings), self._hook.runtime)

    async def _work(self, client: AsyncFlowClient) -> None:
        with raise_provider_errors(), NoFrames():
            # Before the first item, so that nothing is sent if the org grants no token.
            await client.access_token()
        room = asyncio.Semaphore(self._max_in_flight)
        lots = [self._to_send[first : first + self._lot] for first in range(0, len(self._to_send), self._lot)]
        for lot, following in zip(lots, [*lots[1:], []], strict=True):
            await (self._announcing or self._announce(lot))
            self._announcing = None
            for place, item in enumerate(lot):
                await room.acquire()
                await self._limiter.acquire()
                if self.gave_up or self._unexpected:
                    return
                self._announced.discard(item.key)
                self._start(client, item, room)
                if place == len(lot) // 2 and following:
                    # Written while the rest of this lot is sent, so that the write delays no item.
                    self._announcing = asyncio.ensure_future(self._announce(following))
        while self._calls:
            await asyncio.wait(self._calls)

    async def _announce(self, lot: Sequence[BatchItem]) -> None:
        keys = [item.key for item in lot]
        self._announced.update(keys)
        await self._checkpoints.announce({key: self._ordinals[key] for key in keys})

    def _start(self, client: AsyncFlowClient, item: BatchItem, room: asyncio.Semaphore) -> None:
        call = asyncio.ensure_future(self._invoke(client, item))
        self._calls.add(call)
        self._started += 1

        def done(call: asyncio.Task[None]) -> None:
            self._calls.discard(call)
            room.release()

        call.add_done_callback(done)
        self._tell_now_and_then()

    async def _invoke(self, client: AsyncFlowClient, item: BatchItem) -> None:
        announced = True

        async def on_state(state: InvocationState) -> None:
            nonlocal announced
            if state is InvocationState.NOT_RUN:
                announced = False
                self._checkpoints.settle(item.key, BatchRecord(Outcome.NOT_SENT))
            elif not announced:
                await self._checkpoints.announce({item.key: self._ordinals[item.key]})
                announced = True

        key = self.key_of(item)
        call = self._template.with_payload(item.body, key)
        error: OktaWorkflowsError | None = None
        try:
            with raise_provider_errors(), NoFrames():
                response = await client.invoke_flow(call, limiter=SkipFirstAcquire(self._limiter), on_state=on_state)
            result = self._evaluate(response, key)
            record = BatchRecord(Outcome.SUCCEEDED, response.status_code, response.execution_id, result)
        except OktaWorkflowsError as failure:
            error = failure
            failed = failure.response if isinstance(failure, OktaFlowError) else None
            record = BatchRecord(
                outcome_of(failure),
                failed.status_code if failed else None,
                failed.execution_id if failed else None,
                error=str(failure),
            )
        except asyncio.CancelledError:
            record = BatchRecord(
                Outcome.UNKNOWN if announced else Outcome.NOT_SENT, error=_STOPPED_OPEN if announced else _STOPPED
            )
        except Exception as failure:  # from response_check or the state store; raised once all checkpoints are written
            self._unexpected = self._unexpected or failure
            record = BatchRecord(
                Outcome.UNKNOWN if announced else Outcome.NOT_SENT, error=f"{type(failure).__name__} in this task"
            )
        self._settle(item, record, error)

    def _settle(self, item: BatchItem, record: BatchRecord, error: OktaWorkflowsError | None) -> None:
        self._records[item.key] = record
        self._counts[record.outcome] += 1
        self._checkpoints.settle(item.key, record)
        if record.outcome is Outcome.NOT_SENT:
            self._not_run_in_a_row += 1
        else:
            self._not_run_in_a_row = 0
        if isinstance(error, OktaTokenRefusedError) or self._not_run_in_a_row >= _GIVE_UP_AFTER:
            self.gave_up = self.gave_up or error
        if error:
            failures = self._counts.total() - self._counts[Outcome.SUCCEEDED]
            if failures <= _ERRORS_LOGGED:
                log.warning("Item %d: %s", item.index, error)
            if failures == _ERRORS_LOGGED:
                log.warning("Further failures are counted, and told in the records only")
        self._tell_now_and_then()

    def _tell_now_and_then(self) -> None:
        now = self._monotonic()
        if now - self._last_progress >= _PROGRESS_EVERY:
            self._last_progress = now
            self._tell("under way")

    def _tell(self, how: str) -> None:
        seconds = max(self._monotonic() - self._began_at, 1e-9)
        rate = self._started / seconds
        left = len(self._to_send) - self._started
        time_left = f", about {left / rate:.0f} s left" if left and rate and how != "ended" else ""
        log.info(
            "Batch of flow %r %s: %d of %d sent, %s, %d open; %.1f/s%s",
            self._template.address.name,
            how,
            self._started,
            len(self._to_send),
            in_words(self._counts),
            len(self._calls),
            rate,
            time_left,
        )


class SkipFirstAcquire:
    """Rate limiter that skips the first acquire, since the item was already limited before its call began.

    :param limiter: the limiter that all items share
    """

    def __init__(self, limiter: FlowRateLimiter) -> None:
        self._limiter = limiter
        self._first = True

    async def acquire(self) -> None:
        """Wait until the item may be sent."""
        if not self._first:
            await self._limiter.acquire()
        self._first = False

    def throttle(self, seconds: float) -> None:
        """Delay all items by a number of seconds."""
        self._limiter.throttle(seconds)
