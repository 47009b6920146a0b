"""A simulated Workflows Table, and the two flows around it: one that can be asked, and its status flow."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator.cards import Close, ReturnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.emulator.cards import FlowRequest
    from airflow_okta_workflows.emulator.records import FlowFunction


@dataclass
class StatusRow:
    """The row of one idempotency key.

    :param idempotency_key: the key
    :param execution_ids: the id of each run under this key: more than one if the flow ran more than once
    :param updates: what each run writes at its end, with the time from which it is in the row
    """

    idempotency_key: str
    execution_ids: list[str] = field(default_factory=list)
    updates: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)


class StatusTable:
    """A table with one row per idempotency key, for a flow that can be asked how its run is doing.

    ::

        table = StatusTable(seconds=2)


        @org.flow("provision")
        @table.worker_flow
        def provision(request):
            return {"applications": ["mail", "chat"]}


        org.flow("provision_status")(table.status_flow)

    :param seconds: how long the work takes after the early response
    :param clock: returns the time in seconds
    """

    def __init__(self, seconds: float = 0.0, *, clock: Callable[[], float] = Runtime.monotonic) -> None:
        self.seconds = seconds
        self.rows: dict[str, StatusRow] = {}
        """The rows by idempotency key. A test may remove one, as an org does that keeps its rows for some time only."""
        self._clock = clock

    def worker_flow(self, work: FlowFunction) -> FlowFunction:
        """Return a flow that creates its row, does the work, and responds early; for use as a decorator.

        The row is created before the work begins. It is RUNNING for :attr:`seconds`, then SUCCEEDED with what the
        function returned, or FAILED if it raised. The function itself is called before the early response: to simulate
        long work, set :attr:`seconds` instead of sleeping in it. Each invocation does the work, including a second one
        under the same key, which the flow's ``runs`` and the row's ``execution_ids`` then show.

        :param work: the function that does the work; what it returns is the result, a JSON value
        :raises TypeError: if the function is asynchronous
        """
        if inspect.iscoroutinefunction(work):
            raise TypeError("the work of a StatusTable must be a plain function, not an async one")

        @functools.wraps(work)
        def run(request: FlowRequest) -> Close:
            key = request.idempotency_key or request.execution_id
            row = self.rows.setdefault(key, StatusRow(key))
            row.execution_ids.append(request.execution_id)
            ends_at = self._clock() + self.seconds
            try:
                update: dict[str, Any] = {"status": "SUCCEEDED", "result": work(request)}
            except Exception as error:  # a user's function can raise anything
                update = {"status": "FAILED", "reason": str(error) or type(error).__name__}
            row.updates.append((ends_at, update))
            return Close(200, {"status": "RUNNING", "execution_id": request.execution_id})

        return run

    def status_flow(self, request: FlowRequest) -> dict[str, Any] | ReturnError:
        """Return the status of a run: RUNNING, SUCCEEDED, FAILED, or NOT_FOUND if there is no row.

        This is a flow. It finds the row by ``idempotency_key`` in the body, or without one by ``execution_id``.

        :param request: the request
        """
        body = request.body if isinstance(request.body, Mapping) else {}
        key, execution_id = body.get("idempotency_key"), body.get("execution_id")
        if not key and not execution_id:
            # NOT_FOUND would say that a run does not exist, but no run was named.
            return ReturnError(400, "idempotency_key is missing")
        row = self.rows.get(str(key)) if key else self._row_of(str(execution_id))
        if row is None:
            return {"status": "NOT_FOUND", "idempotency_key": key}
        now = self._clock()
        written = [update for written_at, update in row.updates if written_at <= now]
        update = written[-1] if written else {"status": "RUNNING"}
        return {**update, "idempotency_key": row.idempotency_key}

    def _row_of(self, execution_id: str) -> StatusRow | None:
        return next((row for row in list(self.rows.values()) if execution_id in row.execution_ids), None)
