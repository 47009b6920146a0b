"""The trigger that waits for a long-running flow in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_okta_workflows.client import Surroundings
from airflow_okta_workflows.core.conditions import ExpressionError
from airflow_okta_workflows.core.status import Status, StatusRule
from airflow_okta_workflows.exceptions import OktaWorkflowsError
from airflow_okta_workflows.sensors.failed_polls import FailedPolls, ProcessMemory
from airflow_okta_workflows.transport.aiohttp_transport import aiohttp_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class OktaFlowStatusTrigger(BaseTrigger):
    """Ask a status flow every so often, and fire when there is something for the worker to look at.

    The event is ``{"outcome": "settled"}`` when a condition holds, ``{"outcome": "timeout"}`` past the deadline, and
    ``{"outcome": "error", "reason": <the error's class>}`` when the status flow could not be asked. Answers do not go
    into it: events are stored and logged in clear.

    Its arguments are stored in clear, too: ids and the user's own templated values, and no secret.

    :param flow: the status flow: a name in the connection's ``flows``, an alias, or an invoke URL
    :param payload: a JSON value, or JSON text; None for no body
    :param query: query parameters
    :param method: ``POST`` or ``GET``
    :param success_when: a JMESPath expression over the body that ends the wait
    :param failure_when: one that ends it as well, or None
    :param poke_interval: seconds between two questions
    :param deadline: when to give up, in seconds since the epoch: it stays, should the trigger be made anew
    :param max_failed_polls: so many polls in a row may fail for reasons that pass
    :param okta_workflows_conn_id: the connection, of type Okta Workflows
    :param surroundings: clock and sleep, for tests; not stored
    """

    def __init__(
        self,
        flow: str = "",
        payload: Any = None,
        query: dict[str, Any] | None = None,
        method: str = "POST",
        success_when: str = "status == 'SUCCEEDED'",
        failure_when: str | None = None,
        poke_interval: float = 60.0,
        deadline: float = 0.0,
        max_failed_polls: int = 5,
        okta_workflows_conn_id: str = "okta_workflows_default",
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.flow = flow
        self.payload = payload
        self.query = query
        self.method = method
        self.success_when = success_when
        self.failure_when = failure_when
        self.poke_interval = poke_interval
        self.deadline = deadline
        self.max_failed_polls = max_failed_polls
        self.okta_workflows_conn_id = okta_workflows_conn_id
        self._surroundings = surroundings or Surroundings()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments to make this trigger anew."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "flow": self.flow,
                "payload": self.payload,
                "query": self.query,
                "method": self.method,
                "success_when": self.success_when,
                "failure_when": self.failure_when,
                "poke_interval": self.poke_interval,
                "deadline": self.deadline,
                "max_failed_polls": self.max_failed_polls,
                "okta_workflows_conn_id": self.okta_workflows_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield one event."""
        try:
            event = {"outcome": await self._outcome()}
        except (OktaWorkflowsError, ExpressionError) as error:
            self.log.warning("Flow %r could not be asked: %s", self.flow, error)
            event = {"outcome": "error", "reason": type(error).__name__}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's

    async def _outcome(self) -> str:
        from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

        hook = OktaWorkflowsHook(self.okta_workflows_conn_id, surroundings=self._surroundings)
        rule = StatusRule(self.success_when, self.failure_when)
        # Held for as long as this trigger waits, so that all triggers of a loop share one HTTP session.
        failed_polls = FailedPolls(self.max_failed_polls, ProcessMemory())
        async with aiohttp_transport(await hook.asettings()):
            while (left := self.deadline - self._surroundings.clock()) > 0:
                await self._surroundings.asleep(min(self.poke_interval, left))
                try:
                    response = await hook.ainvoke(
                        self.flow, self.payload, method=self.method, query=self.query, idempotent=True
                    )
                except OktaWorkflowsError as error:
                    failed_polls.tolerate(error)
                    continue
                failed_polls.forget()
                if rule.status(response.body) is not Status.RUNNING:
                    return "settled"
        return "timeout"
