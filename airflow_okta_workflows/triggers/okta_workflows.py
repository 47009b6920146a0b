"""Triggers: one waits for a long-running flow, the other invokes a flow."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_okta_workflows.checkpoints.failed_polls import MOST_FAILED_POLLS, FailedPolls, ProcessMemory
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.flows.encoding import check_timeout
from airflow_okta_workflows.core.flows.expressions import ExpressionError
from airflow_okta_workflows.core.flows.status import RunStatusRule, Status, StatusRule, is_not_found
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.numbers import YEAR, check_number
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaFlowError, OktaWorkflowsError, raise_provider_errors
from airflow_okta_workflows.pace.slow_polls import SlowPolls
from airflow_okta_workflows.pace.turns import NoTurnError
from airflow_okta_workflows.triggers.events import CANCELLED_WITHIN, ENCRYPTED, ERROR, NOT_HANDED_OVER, SETTLED, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.triggers.invoker import TriggererInvoker

_LATEST = 1e11
"""Latest accepted time in seconds since the epoch; a larger number is probably in milliseconds."""

_WHAT_INVOKES = (
    "airflow_okta_workflows.triggers.invoker",
    "airflow_okta_workflows.client.loop_resources",
    "airflow_okta_workflows.client.async_client",
    "airflow.providers.common.compat.connection",
    # Otherwise imported lazily, when a token is requested.
    "airflow_okta_workflows.core.keys.signing",
    "filelock",
)


class _OktaFlowTrigger(BaseTrigger):
    """Base class of the two triggers.

    Airflow stores the arguments unencrypted: ids and the user's own templated values, and no secret.

    :param flow: the flow: a name in the connection's ``flows``, an alias, or an invoke URL
    :param payload: a JSON value, or a string of JSON; None for no body
    :param query: query parameters
    :param method: ``POST`` or ``GET``
    :param okta_workflows_conn_id: the connection, of type Okta Workflows
    :param not_before: when the event may be fired at the earliest, in seconds since the epoch
    :param runtime: clock and sleep, for tests; not stored
    """

    def __init__(
        self,
        *,
        flow: str = "",
        payload: Any = None,
        query: dict[str, Any] | None = None,
        method: str = "POST",
        okta_workflows_conn_id: str = "okta_workflows_default",
        not_before: float = 0.0,
        runtime: Runtime | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow does not annotate it
        self.flow = flow
        self.payload = payload
        self.query = query
        self.method = method
        self.okta_workflows_conn_id = okta_workflows_conn_id
        with raise_provider_errors(), NoFrames():
            check_number(not_before, "not_before", least=0, most=_LATEST)
        self.not_before = not_before
        self._runtime = runtime or Runtime()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which Airflow recreates this trigger."""
        arguments = {
            "flow": self.flow,
            "payload": self.payload,
            "query": self.query,
            "method": self.method,
            "okta_workflows_conn_id": self.okta_workflows_conn_id,
            "not_before": self.not_before,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    @asynccontextmanager
    async def _invoker(self, **request: Any) -> AsyncIterator[TriggererInvoker]:
        """Yield an invoker that uses the resources shared on this event loop, and hold them open meanwhile."""
        # In a thread: importing the HTTP clients would block the event loop, and with it all other triggers.
        invoker, loop_resources, *_ = await asyncio.to_thread(_import_all, _WHAT_INVOKES)
        request = {"payload": self.payload, "query": self.query, "method": self.method, **request}
        async with loop_resources.loop_resources() as resources:
            yield invoker.TriggererInvoker(resources, self.okta_workflows_conn_id, self._runtime, self.flow, request)

    def _log_failure(self, what: str, error: Exception) -> None:
        # An exception that leaves run() would fail the task without the reason; with an event the worker reports it.
        own = isinstance(error, (OktaWorkflowsError, ExpressionError))
        self.log.warning("Flow %s %s: %s", shown(self.flow), what, error, exc_info=not own)

    async def _event(self, **payload: Any) -> TriggerEvent:
        early = self.not_before - self._runtime.clock()
        if early > 0:
            await self._runtime.async_sleep(early)
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow does not annotate it


class OktaFlowStatusTrigger(_OktaFlowTrigger):
    """Trigger that polls a status flow, and fires when there is something for the worker to look at.

    The event is ``{"outcome": "settled"}`` when a condition is true, ``{"outcome": "timeout"}`` past the deadline, and
    ``{"outcome": "error", "reason": <the error's class>}`` when the status flow could not be polled. It contains no
    response, because Airflow stores and logs events unencrypted.

    Airflow stores the arguments unencrypted, too: ids and the user's own templated values, and no secret.

    :param flow: the status flow: a name in the connection's ``flows``, an alias, or an invoke URL
    :param payload: a JSON value, or a string of JSON; None for no body
    :param query: query parameters
    :param method: ``POST`` or ``GET``
    :param success_when: a JMESPath expression over the body that ends the wait
    :param failure_when: a second JMESPath expression that ends the wait, or None
    :param not_found_when: a third one; None if the wait goes on while the long-running flow is not known
    :param idempotency_key: the key of the run that an operator waits for; its status flow must report that run's
        status. None for a sensor, whose status flow may report anything
    :param cancel_flow: a flow that is invoked once, with the same payload, when the task is marked failed or cleared
        (Airflow 3.3+), or None
    :param poke_interval: seconds between two polls
    :param deadline: when to give up, in seconds since the epoch, so that it stays the same if the trigger is recreated
    :param max_failed_polls: number of consecutive polls that may fail for a temporary reason
    :param warned: whether the task has already warned that ``success_when`` refers to no member of the response
    :param okta_workflows_conn_id: the connection, of type Okta Workflows
    :param not_before: when the event may be fired at the earliest, in seconds since the epoch
    :param runtime: clock and sleep, for tests; not stored
    """

    def __init__(
        self,
        *,
        success_when: str = "status == 'SUCCEEDED'",
        failure_when: str | None = None,
        not_found_when: str | None = None,
        idempotency_key: str | None = None,
        cancel_flow: str | None = None,
        poke_interval: float = 60.0,
        deadline: float = 0.0,
        max_failed_polls: int = 5,
        warned: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        with raise_provider_errors(), NoFrames():
            check_number(poke_interval, "poke_interval", least=0, most=YEAR)
            check_number(deadline, "deadline", least=0, most=_LATEST)
            check_number(max_failed_polls, "max_failed_polls", least=0, most=MOST_FAILED_POLLS, whole=True)
        self.success_when = success_when
        self.failure_when = failure_when
        self.not_found_when = not_found_when
        self.idempotency_key = idempotency_key
        self.cancel_flow = cancel_flow
        self.poke_interval = poke_interval
        self.deadline = deadline
        self.max_failed_polls = max_failed_polls
        self.warned = warned

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which Airflow recreates this trigger."""
        path, arguments = super().serialize()
        optional = {
            "not_found_when": self.not_found_when,
            "idempotency_key": self.idempotency_key,
            "cancel_flow": self.cancel_flow,
        }
        return path, {
            **arguments,
            # Each of thousands of sensors has a row, and none of them has these.
            **{name: value for name, value in optional.items() if value is not None},
            "success_when": self.success_when,
            "failure_when": self.failure_when,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
            "max_failed_polls": self.max_failed_polls,
            "warned": self.warned,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event."""
        try:
            event = {"outcome": await self._outcome()}
        except Exception as error:
            self._log_failure("could not be asked", error)
            event = {"outcome": ERROR, "reason": type(error).__name__}
        yield await self._event(**event)

    async def on_kill(self) -> None:
        """Invoke the ``cancel_flow``, if there is one. Airflow 3.3+ calls this when the task is marked failed."""
        cancel_flow, self.cancel_flow = self.cancel_flow, None
        if not cancel_flow:
            return
        try:
            # At most once: after a lost response it may have run.
            async with self._invoker(timeout=CANCELLED_WITHIN, idempotent=False) as flow:
                flow.flow = cancel_flow
                await flow.invoke(self.idempotency_key)
        except Exception as error:
            self._log_failure("could not be cancelled", error)

    async def _outcome(self) -> str:
        rule = (RunStatusRule if self.idempotency_key else StatusRule)(
            self.success_when, self.failure_when, None, self.not_found_when
        )
        failed_polls = FailedPolls(self.max_failed_polls, ProcessMemory())
        # Jitter: a restarted triggerer starts all its triggers at once, and they would then always poll together.
        interval = self.poke_interval * (0.5 + self._runtime.random() / 2)
        slow_polls = SlowPolls(self.flow, self.poke_interval)
        may_be_blind = not self.warned
        async with self._invoker() as flow:
            from airflow_okta_workflows.client.rate_limiter import noted_turn_waits

            flow.deadline = self.deadline
            while (left := self.deadline - self._runtime.clock()) > 0:
                await self._runtime.async_sleep(min(interval, left))
                interval = self.poke_interval
                try:
                    with noted_turn_waits() as waits:
                        response = await flow.invoke()
                except NoTurnError:
                    return TIMEOUT
                except OktaWorkflowsError as error:
                    if isinstance(error, OktaFlowError) and is_not_found(error.response):
                        if self.not_found_when:
                            return SETTLED
                        failed_polls.reset()
                    else:
                        failed_polls.record_failure(error)
                    continue
                failed_polls.reset()
                if slow_polls.record(sum(waits)):
                    slow_polls.warn(sum(waits))
                if not self._is_running(rule, response):
                    return SETTLED
                if may_be_blind:
                    may_be_blind = False
                    if problem := rule.blindness(response):
                        self.warned = True
                        self.log.warning("Flow %s: %s The sensor goes on until its timeout.", shown(self.flow), problem)
        return TIMEOUT

    def _is_running(self, rule: StatusRule, response: FlowResponse) -> bool:
        if not isinstance(rule, RunStatusRule):
            return rule.status(response.body) is Status.RUNNING
        try:
            return rule.report(response, str(self.idempotency_key), self.flow) is Status.RUNNING
        except CoreError:
            # The worker asks once more, and raises the error.
            return False


class OktaFlowInvocationTrigger(_OktaFlowTrigger):
    """Trigger that invokes an idempotent flow, and fires with the encrypted outcome.

    A trigger may run twice, for example after a restart of the triggerer. The flow is then invoked twice, under one
    idempotency key, so the flow must be declared idempotent.

    The event is ``{"outcome": "encrypted", "result": <string>}`` with the response or the error, which only a worker
    with the connection's private key can decrypt, or ``{"outcome": "not_handed_over", "reason": <string>}``, after
    which the worker invokes the flow itself, under the same key.

    :param flow: the flow: a name in the connection's ``flows``, an alias, or an invoke URL
    :param payload: a JSON value, or a string of JSON; None for no body
    :param query: query parameters
    :param headers: further headers
    :param method: ``POST`` or ``GET``
    :param idempotency_key: the idempotency key
    :param timeout: time limit for the response, in seconds; the connection's ``read_timeout`` if None
    :param okta_workflows_conn_id: the connection, of type Okta Workflows
    :param not_before: when the event may be fired at the earliest, in seconds since the epoch
    :param runtime: clock and sleep, for tests; not stored
    """

    def __init__(
        self,
        *,
        headers: dict[str, Any] | None = None,
        idempotency_key: str = "",
        timeout: float | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        with raise_provider_errors(), NoFrames():
            check_timeout(timeout)
        self.headers = headers
        self.idempotency_key = idempotency_key
        self.timeout = timeout

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which Airflow recreates this trigger."""
        path, arguments = super().serialize()
        own = {"headers": self.headers, "idempotency_key": self.idempotency_key, "timeout": self.timeout}
        return path, {**arguments, **own}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Invoke the flow, and yield one event."""
        try:
            async with self._invoker(headers=self.headers, timeout=self.timeout) as flow:
                result = await flow.invoke_encrypted(self.idempotency_key)
            event = (
                {"outcome": ENCRYPTED, "result": result} if result else _not_handed_over("the response is too large")
            )
        except Exception as error:
            # Without the connection the triggerer can send nothing, and has no key to encrypt an error with.
            self._log_failure("could not be invoked from the triggerer", error)
            event = _not_handed_over(type(error).__name__)
        yield await self._event(**event)


def _not_handed_over(reason: str) -> dict[str, str]:
    return {"outcome": NOT_HANDED_OVER, "reason": reason}


def _import_all(names: tuple[str, ...]) -> list[Any]:
    return [importlib.import_module(name) for name in names]
