"""Run of a batch: many rate-limited invocations of one flow, on an event loop in a separate thread."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.client.loop_resources import loop_resources
from airflow_okta_workflows.core.batch.records import BatchRecord, item_label
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.runtime import time_text
from airflow_okta_workflows.exceptions import (
    OktaBatchFileError,
    OktaFlowError,
    OktaFlowNotSentError,
    OktaTokenRefusedError,
    OktaWorkflowsError,
    outcome_of,
    raise_provider_errors,
)
from airflow_okta_workflows.operators.batch_plan import STOPPED, STOPPED_OPEN, STOPPED_WAITING, BatchPlan
from airflow_okta_workflows.operators.batch_progress import BatchProgress
from airflow_okta_workflows.operators.batch_sender import BatchSender, Turn
from airflow_okta_workflows.operators.batch_status import BatchStatus, ItemRun
from airflow_okta_workflows.operators.loop_thread import LoopThread
from airflow_okta_workflows.operators.records_file import RecordsWriter
from airflow_okta_workflows.tokens.source import token_source_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.client.loop_resources import LoopResources
    from airflow_okta_workflows.core.batch.items import BatchItem
    from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
    from airflow_okta_workflows.core.flows.invocation import Invocation
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.protocol import InvocationState
    from airflow_okta_workflows.hooks.flow_hook import FlowHook
    from airflow_okta_workflows.operators.batch_items import BatchItems
    from airflow_okta_workflows.operators.batch_question import Answered
    from airflow_okta_workflows.operators.batch_records import BatchRecords
    from airflow_okta_workflows.operators.records_file import RecordsFile
    from airflow_okta_workflows.pace.configured import Pace

log = logging.getLogger(__name__)

_GRACE = 3.0
"""Seconds that open calls get to finish when the task is stopped: Airflow's supervisor kills it after five."""
_GIVE_UP_AFTER = 20
"""Consecutive items that did not run before the batch gives up: the flow is off or the org is unreachable, and the
remaining items would fail, too."""


class BatchRun:
    """Run of one flow for many items, with a record of each.

    Only the items that are under way are in memory. Of all others there are a few bytes: keys, places and outcomes.

    :param hook: the connection
    :param template: the invocation without payload and idempotency key
    :param items: the items, in the order in which they are sent
    :param records: the records, which already contain those of payloads that cannot be sent
    :param checkpoints: checkpoints of earlier tries of the task, and the store for those of this try
    :param evaluate: returns the result of a response, given the response and its idempotency key, or raises if the
        task's conditions are not met
    :param pace: the pace that the batch shares with others
    :param max_rate: most invocations per second of this batch
    :param max_in_flight: most calls that may be open at the same time
    :param status: the flow's status flow, or None
    :param answered: what is settled after a person was asked, or None
    :param file: the file that gets the records, or None
    """

    def __init__(
        self,
        hook: FlowHook,
        template: Invocation,
        items: BatchItems,
        records: BatchRecords,
        *,
        checkpoints: BatchCheckpointStore,
        evaluate: Callable[[FlowResponse, str], Any],
        pace: Pace,
        max_rate: float,
        max_in_flight: int,
        status: BatchStatus | None = None,
        answered: Answered | None = None,
        file: RecordsFile | None = None,
    ) -> None:
        self.gave_up: OktaWorkflowsError | None = None
        """Error for which the remaining items were not sent; None if the batch did not give up."""
        self._hook = hook
        self._stop_signal = hook.runtime.stop
        self._template = template
        self._items = items
        self._records = records
        self._checkpoints = checkpoints
        self._evaluate = evaluate
        self._status = status
        self._reported = answered.reported if answered else {}
        self._monotonic = hook.runtime.monotonic
        self._sender = BatchSender(
            template.address.url,
            checkpoints,
            hook.runtime,
            pace=pace,
            max_rate=max_rate,
            max_in_flight=max_in_flight,
            on_turn=self._on_turn,
        )
        self._changed = asyncio.Event()
        """Set when a call has ended, or an item is to be sent again."""
        self._plan = plan = BatchPlan(
            items, records, checkpoints, idempotent=template.idempotent, has_status=bool(status), answered=answered
        )
        self._sender.begin(Turn(item := items[index], plan.ordinal(item)) for index in plan.to_send)
        self._sender.may_run.update(items.key(index) for index in plan.to_ask)
        self._writer = RecordsWriter(records, file, self._cannot_write)
        self._unexpected: Exception | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._progress = BatchProgress(
            template.address.name,
            hook.settings.flow_tag(template.address),
            self._monotonic,
            records.counts,
            plan.cannot_be_sent,
            self._open_calls,
        )
        self._progress.to_send = len(plan.to_send)
        self._not_run_in_a_row = 0
        self._stop = asyncio.Event()
        self._thread = LoopThread(self._main, "okta-batch")

    @property
    def stopped(self) -> bool:
        """Whether the task was stopped."""
        return self._stop_signal.requested

    def run(self) -> None:
        """Send all items that earlier tries have not settled, or ask about them. Then each item has a record.

        :raises OktaWorkflowsError: if there is no token; nothing was sent
        :raises Exception: any error that ended the batch early; the records are complete all the same
        """
        stand = self._records.counts.total() - self._plan.cannot_be_sent
        if stand:
            log.info("%d records of earlier tries stand; %d to send", stand, self._progress.to_send)
        if self._plan.to_ask:
            log.info("The status flow is asked about %d of an earlier try", len(self._plan.to_ask))
        try:
            if self._plan.to_send or self._plan.to_ask or self._plan.to_report:
                self._thread.run(self.stop, 2 * _GRACE)
        except Exception as error:
            self._unexpected = error
            # What ended the batch is the error to raise, even if the disk is full as well.
            with suppress(OktaBatchFileError):
                self._complete()
            raise
        self._complete()

    def _complete(self) -> None:
        """Make a record of each item that has none, and write all that are not written."""
        for index in (one for one in self._items.indices() if one not in self._records):
            item = self._items[index]
            self._records.put(index, item.name, self._plan.key_of(item), self._cut_off(item, STOPPED_WAITING))
        self._progress.ends()
        self._plan.append_missing()
        self._writer.write_rest()

    def stop(self) -> None:
        """Send nothing more, and give open calls a few seconds. May be called from a signal handler."""
        self._stop_signal.request()
        self._thread.call(self._stop.set)

    def sent_at(self, index: int) -> str | None:
        """Return when an item was last sent, as text; None if that is not known.

        :param index: the item's index
        """
        key = self._items.key(index)
        if sent_at := self._sender.sent_at.get(key):
            return time_text(sent_at)
        checkpoint = self._checkpoints.earlier.get(key)
        return checkpoint.sent_at if checkpoint else None

    def _why_not_sent(self) -> str:
        why = self.gave_up or self._unexpected
        if self.stopped or why is None:
            return STOPPED
        return f"not sent, since {why.message if isinstance(why, OktaWorkflowsError) else _in_this_task(why)}"

    async def _main(self) -> None:
        if self.stopped:
            self._stop.set()
        async with loop_resources() as resources:
            client = self._client(resources)
            work = asyncio.ensure_future(self._work(client))
            stop = asyncio.ensure_future(self._stop.wait())
            cancels: set[asyncio.Task[None]] = set()
            try:
                await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
                work.cancel()
                self._sender.refuse()
                if self._status and self._failed(work):
                    # A retry asks about the runs that are waited for.
                    self._status.ending = True
                else:
                    # Calls that were open when the batch failed or gave up may finish.
                    ends = asyncio.ensure_future(self._all_ended())
                    await asyncio.wait({ends, stop}, return_when=asyncio.FIRST_COMPLETED)
                    ends.cancel()
                if self._status and stop.done():
                    cancels = self._status.cancel(resources)
                for call in self._calls - client.sending:
                    # Waiting for its turn to send, which must not come any more, or for the end of a run.
                    call.cancel()
                if open_calls := self._calls | cancels:
                    await asyncio.wait(open_calls, timeout=_GRACE)
            finally:
                stop.cancel()
                work.cancel()
                for call in (open_calls := self._calls | cancels):
                    call.cancel()
                await asyncio.gather(work, *open_calls, return_exceptions=True)
                await self._sender.close()
                await self._checkpoints.close()
                await self._writer.close()
            if not work.cancelled():
                work.result()
            if self._unexpected:
                raise self._unexpected

    def _client(self, resources: LoopResources) -> AsyncFlowClient:
        settings = self._hook.settings
        return resources.client(settings, token_source_for(settings), self._hook.runtime)

    async def _work(self, client: AsyncFlowClient) -> None:
        if self._plan.to_send or self._plan.to_ask:
            with raise_provider_errors(), NoFrames():
                # Before the first item, so that nothing is sent if the org grants no token.
                await client.access_token()
            await self._writer.open()
        for index in (*self._plan.to_report, *self._plan.to_ask):
            self._start(client, self._items[index], None)
        while not self._gives_up():
            turn = await self._sender.next()
            if turn is None:
                if not self._calls:
                    return
                await self._change()
            elif self._gives_up():
                return
            elif turn.granted is None:
                self._start(client, turn.item, turn)
            elif not turn.granted.done():
                turn.granted.set_result(True)

    def _cannot_write(self, error: Exception) -> None:
        """Send nothing more, and fail with an error once all open calls have ended."""
        self._unexpected = self._unexpected or error
        self._changed.set()

    def _gives_up(self) -> bool:
        return self.gave_up is not None or self._unexpected is not None

    def _failed(self, work: asyncio.Task[None]) -> bool:
        return self._unexpected is not None or (work.done() and not work.cancelled() and work.exception() is not None)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _all_ended(self) -> None:
        while self._calls and not (self._status and self._unexpected):
            await self._change()

    def _on_turn(self) -> None:
        self._progress.to_send += 1
        self._changed.set()

    def _start(self, client: AsyncFlowClient, item: BatchItem, turn: Turn | None) -> None:
        call = asyncio.ensure_future(self._process(client, item, turn))
        self._calls.add(call)
        call.add_done_callback(self._call_ended)

    def _call_ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._changed.set()

    async def _process(self, client: AsyncFlowClient, item: BatchItem, turn: Turn | None) -> None:
        """Settle one item.

        :param turn: its turn to be sent; None if the status flow has to be asked first, or a person has been asked
        """
        error: Exception | None = None
        response: FlowResponse | None = None
        watched = self._watched(self._status, client, item, turn) if self._status else None
        try:
            with raise_provider_errors(), NoFrames():
                if watched and self._status:
                    known = self._plan.never_sent(item) if turn else self._plan.known_run(item)
                    response = await self._status.watch(watched, client, known)
                elif turn:
                    response = await self._send(client, turn)
                else:
                    response = self._reported[item.key]
            result = self._evaluate(response, self._plan.key_of(item))
            record = BatchRecord(Outcome.SUCCEEDED, response.status_code, response.execution_id, result)
        except OktaWorkflowsError as failure:
            error = failure
            failed = failure.response if isinstance(failure, OktaFlowError) else None
            known_id = watched.execution_id if watched else None
            record = BatchRecord(
                outcome_of(failure),
                failed.status_code if failed else None,
                (failed.execution_id if failed else None) or known_id,
                error=str(failure),
            )
        except asyncio.CancelledError:
            record = self._cut_off(item, STOPPED_WAITING if self._status else STOPPED_OPEN)
        except Exception as failure:  # from response_check or the state store; raised once all checkpoints are written
            self._unexpected, error = self._unexpected or failure, failure
            record = self._cut_off(item, _in_this_task(failure), response)
        self._settle(item, record, error)

    def _cut_off(self, item: BatchItem, unknown: str, response: FlowResponse | None = None) -> BatchRecord:
        if response:
            # It ran, but whether it meets the task's conditions is not known.
            return BatchRecord(Outcome.UNKNOWN, response.status_code, response.execution_id, error=unknown)
        if item.key in self._sender.may_run:
            return BatchRecord(Outcome.UNKNOWN, error=unknown)
        return BatchRecord(Outcome.NOT_SENT, error=self._why_not_sent())

    async def _send(
        self, client: AsyncFlowClient, turn: Turn, reached: Callable[[InvocationState], None] | None = None
    ) -> FlowResponse:
        self._progress.starts()
        item = turn.item
        call = self._template.with_payload(item.body, self._plan.key_of(item), item_label(item.index, item.name))
        return await self._sender.send(client, turn, call, reached)

    def _open_calls(self) -> tuple[int, int]:
        if not self._status:
            return len(self._calls), 0
        return self._sender.open, len(self._calls) - self._sender.open

    def _watched(self, status: BatchStatus, client: AsyncFlowClient, item: BatchItem, turn: Turn | None) -> ItemRun:
        """Return the conversation with an item's flow and its status flow."""
        sender = self._sender

        def wants(run: WantedRun) -> None:
            self._plan.set_ordinal(item, run.ordinal)
            sender.may_run.add(item.key)

        async def send(run: WantedRun, reached: Callable[[InvocationState], None]) -> FlowResponse:
            nonlocal turn
            # No request under this key can become a run any more.
            sender.may_run.discard(item.key)
            current, turn = turn or await sender.turn(item, run.ordinal), None
            if current is None:
                raise OktaFlowNotSentError(self._why_not_sent(), flow=self._template.address.name)
            return await self._send(client, current, reached)

        def exists(execution_id: str | None) -> None:
            self._checkpoints.started(item, execution_id)

        return ItemRun(status, send=send, wants=wants, exists=exists)

    def _settle(self, item: BatchItem, record: BatchRecord, error: Exception | None) -> None:
        # Before the record: if that cannot be kept, a retry knows the outcome all the same.
        self._checkpoints.settle(item.key, record, ordinal=self._plan.ordinal(item))
        self._sender.settled(item.key, record.outcome)
        try:
            self._records.put(item.index, item.name, self._plan.key_of(item), record)
        except OktaWorkflowsError as failure:
            self._cannot_write(failure)
        self._plan.forget(item)
        self._writer.wake()
        if record.outcome is Outcome.NOT_SENT:
            self._not_run_in_a_row += 1
        else:
            self._not_run_in_a_row = 0
        if isinstance(error, OktaTokenRefusedError) or self._not_run_in_a_row >= _GIVE_UP_AFTER:
            self.gave_up = self.gave_up or (error if isinstance(error, OktaWorkflowsError) else None)
        self._progress.settles(item, record.error if error else None)


def _in_this_task(error: Exception) -> str:
    return f"{type(error).__name__} in this task"
