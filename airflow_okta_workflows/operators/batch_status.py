"""Driver of :mod:`airflow_okta_workflows.core.flows.exactly_once` for the items of a batch, on its event loop."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from typing import TYPE_CHECKING

from airflow_okta_workflows.client.rate_limiter import FlowRateLimiter, SkipFirstAcquire
from airflow_okta_workflows.core.flows.encoding import encode_payload
from airflow_okta_workflows.core.flows.exactly_once import (
    AskStatus,
    InvokeOnce,
    KnownRun,
    LostResponse,
    RunExists,
    RunFailedError,
    Settled,
    StatusReport,
    run_exactly_once,
)
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.protocol import End, Wait, resume
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaWorkflowsError, raise_provider_errors
from airflow_okta_workflows.operators.watched_run import WatchedRun, result_of
from airflow_okta_workflows.tokens.source import token_source_for
from airflow_okta_workflows.triggers.events import CANCELLED_WITHIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_okta_workflows.client.async_client import AsyncFlowClient
    from airflow_okta_workflows.client.loop_resources import LoopResources
    from airflow_okta_workflows.core.flows.exactly_once import Step
    from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.core.protocol import InvocationState
    from airflow_okta_workflows.hooks.flow_hook import FlowHook
    from airflow_okta_workflows.operators.status_flow import StatusFlow
    from airflow_okta_workflows.pace.configured import Pace

log = logging.getLogger(__name__)


class BatchStatus:
    """The status flow of a batch, with its own rate limit.

    :param flow: the flow as the task names it
    :param status: its status flow
    :param hook: the connection
    :param pace: the pace that the polls share with others
    :param read_timeout: seconds that the flow's response may take
    :param checkpointed: whether checkpoints outlive this try
    :raises OktaConfigurationError: if ``settle`` is too short, or the status flow cannot be invoked
    """

    def __init__(
        self, flow: str, status: StatusFlow, hook: FlowHook, *, pace: Pace, read_timeout: float, checkpointed: bool
    ) -> None:
        self.flow = flow
        self.status = status
        self.rule = status.rule
        self.patience = status.patience(read_timeout)
        self.runtime = hook.runtime
        self.checkpointed = checkpointed
        self.ending = False
        """Whether the waits have to end, because the batch has failed."""
        self._hook = hook
        self._watched: set[WatchedRun] = set()
        self.template = status.template(hook.settings, hook.runtime.new_id())
        self.limiter = FlowRateLimiter(pace.turns_of_share(self.template.address.url, pace.flow_rate), hook.runtime)

    @property
    def is_over(self) -> bool:
        """Whether nothing is asked or waited for any more."""
        return self.ending or self.runtime.stop.requested

    async def watch(self, run: ItemRun, client: AsyncFlowClient, known: KnownRun) -> FlowResponse:
        """Return the result of one successful run of an item, after the end of it.

        :param run: the item
        :param client: the client
        :param known: what is known about its run
        :raises OktaWorkflowsError: if there is no such run; its class says how far it got
        """
        self._watched.add(run.watched)
        try:
            settled = await run.settled(client, known)
        except OktaWorkflowsError:
            self._watched.discard(run.watched)
            raise
        # A conversation that the stop has ended stays among them, for cancel().
        self._watched.discard(run.watched)
        with raise_provider_errors(), NoFrames():
            return result_of(settled, self.rule)

    def cancel(self, resources: LoopResources) -> set[asyncio.Task[None]]:
        """Begin to invoke the ``cancel_flow`` for each run that may be under way, and return the tasks that do so.

        :param resources: the resources of the event loop
        """
        runs = [run for watched in self._watched if (run := watched.take_under_way())]
        if not runs:
            return set()
        # The task's own hook sends nothing any more.
        hook = self._hook.without_stop()
        client = resources.client(hook.settings, token_source_for(hook.settings), hook.runtime)
        return {asyncio.ensure_future(self._cancel(client, resources, *run)) for run in runs}

    async def _cancel(
        self, client: AsyncFlowClient, resources: LoopResources, key: str, execution_id: str | None
    ) -> None:
        flow = str(self.status.cancel_flow)
        try:
            with raise_provider_errors(), NoFrames():
                call = client.settings.build_invocation(
                    flow, self.status.question(key, execution_id), idempotency_key=key, timeout=CANCELLED_WITHIN
                )
                limiter = resources.limiter(call.address.url, client.runtime)
                await client.invoke_flow(call, limiter=limiter)
            log.info("Flow %s was asked to cancel the run (idempotency key %s)", shown(flow), key)
        except Exception as error:
            log.warning("Flow %s could not be asked to cancel the run: %s", shown(flow), error)


class ItemRun:
    """The conversation with one item's flow and its status flow.

    :param batch: the status flow
    :param send: invokes the flow in the item's turn, given the wanted run and what is called with each state
    :param wants: called with the run that is wanted now
    :param exists: called with the execution id once the run is known to exist
    """

    def __init__(
        self,
        batch: BatchStatus,
        *,
        send: Callable[[WantedRun, Callable[[InvocationState], None]], Awaitable[FlowResponse]],
        wants: Callable[[WantedRun], None],
        exists: Callable[[str | None], None],
    ) -> None:
        self.watched = WatchedRun(batch.flow, batch.status, batch.rule, logging.DEBUG)
        self.execution_id: str | None = None
        """The execution id of the run that exists, or None."""
        self._batch = batch
        self._send = send
        self._wants = wants
        self._exists = exists
        self._key = ""

    async def settled(self, client: AsyncFlowClient, known: KnownRun) -> Settled:
        """Return the end of one successful run.

        :param client: the client
        :param known: what is known about the run
        :raises OktaWorkflowsError: if there is no such run
        """
        batch = self._batch
        timeout = batch.status.timeout
        deadline = None if timeout is None else batch.runtime.clock() + timeout
        self.execution_id = known.execution_id
        self.watched.begins(known)
        conversation = run_exactly_once(
            known, batch.patience, batch.rule.first_status, batch.runtime.monotonic, checkpointed=batch.checkpointed
        )
        with closing(conversation), raise_provider_errors(), NoFrames():
            try:
                progress = resume(conversation, None)
                while not isinstance(progress, End):
                    progress = resume(conversation, await self._perform(progress, client, deadline))
            except RunFailedError as failure:
                raise self.watched.failed(failure) from None
            return progress.result

    async def _perform(self, step: Step, client: AsyncFlowClient, deadline: float | None) -> object:
        if self._batch.is_over and not isinstance(step, RunExists):
            raise asyncio.CancelledError
        match step:
            case InvokeOnce(run):
                self._key = run.key
                self._wants(run)
                return await self._sent(run)
            case AskStatus(run, execution_id):
                self._key = run.key
                self._wants(run)
                self.watched.watches(run, execution_id)
                return await self._asked(client, run.key, execution_id)
            case RunExists(run, execution_id):
                self.watched.watches(run, execution_id)
                self.execution_id = execution_id
                self._exists(execution_id)
            case Wait(seconds):
                runtime = self._batch.runtime
                await runtime.async_sleep(self.watched.seconds_to_wait(seconds, deadline, runtime.clock(), self._key))
        return None

    async def _sent(self, run: WantedRun) -> FlowResponse | LostResponse:
        try:
            with raise_provider_errors():
                return await self._send(run, lambda state: self.watched.reached(state, run.key))
        except OktaWorkflowsError as error:
            if lost := self.watched.lost_response(error, run.key):
                return lost
            raise

    async def _asked(self, client: AsyncFlowClient, key: str, execution_id: str | None) -> StatusReport | None:
        batch = self._batch
        # Before the token is taken: thousands of items may be in the queue, for longer than a token lasts.
        await batch.limiter.acquire()
        if batch.is_over:
            raise asyncio.CancelledError
        try:
            with raise_provider_errors(), NoFrames():
                body = encode_payload(batch.status.question(key, execution_id), "POST") or b""
                question = batch.template.with_payload(body, batch.runtime.new_id())
                response = await client.invoke_flow(question, limiter=SkipFirstAcquire(batch.limiter))
            return self.watched.report(response, key, execution_id)
        except OktaWorkflowsError as error:
            if batch.is_over:
                raise asyncio.CancelledError from None
            return self.watched.report_error(error, key, execution_id)
