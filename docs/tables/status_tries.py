"""What a task comes to whatever happens to it: with a status flow, with a person to ask, and with neither.

``python -m docs.tables.status_tries docs/reliability.md`` plays all of it and writes the table into the page.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.emulator import GatewayPage, LocalOrg, Reset, ReturnError, StatusTable
from docs.tables.faults import written_into
from docs.tables.killed_processes import ENDED, KILLED, WAITS, Child, Processes
from tests.integration.task_context import Store

BEGIN, END = "<!-- status matrix: begin -->", "<!-- status matrix: end -->"
NEVER = "–"  # noqa: RUF001  # as a reader expects it
"""The cell of an event that cannot happen in its column."""
RETRIES, EDITED = 3, 1
RUN_SECONDS = 150.0
RESULT = {"user": "ada"}
_PATIENCE = 20.0
"""Seconds that a test waits for another thread."""


def of_another_version(store: Store) -> None:
    """Replace how far an invocation got with something that this version has not written."""
    for value in store.values():
        if "items" in value:
            value["items"] = dict.fromkeys(value["items"], "of another version")
        else:
            value["state"] = "of another version"


def without_a_key(store: Store) -> None:
    """Replace the whole checkpoint with something that this version has not written."""
    store.update(dict.fromkeys(store, "of another version"))


@dataclass(frozen=True)
class Row:
    """One event.

    :param name: what happens, in words
    :param kill: the moments at the first of which the first try's process, or its triggerer, is killed
    :param late: whether the request then arrives only after the next try has begun to ask
    :param fault: fault that the first invocation meets
    :param fails: how the first run fails: ``at once`` or ``later``
    :param cleared: whether the task is cleared after its first try
    :param damage: changes the checkpoint before the second try
    """

    name: str
    kill: tuple[str, ...] = ()
    late: bool = False
    fault: Any = None
    fails: str = ""
    cleared: bool = False
    damage: Callable[[Store], None] | None = None


ROWS = [
    Row("nothing"),
    Row("response lost: reset after the flow began", fault=Reset(after_run=True)),
    Row("a gateway's 504 after the flow began", fault=GatewayPage("nginx", 504, after_run=True)),
    Row("a gateway's 502: the request never arrives", fault=GatewayPage("nginx", 502)),
    Row("killed before it sends, and before its checkpoint", ("token",)),
    Row("killed between its checkpoint and the request", ("after sending",)),
    Row("killed while the request is on its way, which arrives a minute later", ("arrived",), late=True),
    Row("killed while its flow starts", ("arrived",)),
    Row("killed while its flow runs, before the response", ("row",)),
    Row(
        "killed after the response, and before any checkpoint of it",
        ("before started", "before responded", "check", "question"),
    ),
    Row("killed while it waits for the end, or its triggerer", ("sleep",)),
    Row("killed when the end is reported", ("end",)),
    Row("killed when it comes back from the triggerer", ("resumed",)),
    Row("killed after the checkpoint of its result", ("after responded",)),
    Row("its flow responds with an error", fails="at once"),
    Row("its flow fails after its early response", fails="later"),
    Row("killed while its flow runs, and its flow fails", ("row",), fails="later"),
    Row("cleared after it ended", cleared=True),
    Row("killed and cleared while its flow runs, where Airflow lets it see that", ("row",), cleared=True),
    Row("killed while its flow runs; its checkpoint is of another version", ("row",), damage=of_another_version),
    Row("killed while its flow runs; its checkpoint has not even a key", ("row",), damage=without_a_key),
]


@dataclass(frozen=True)
class Column:
    """One way to declare a task, on one kind of Airflow.

    :param title: its heading
    :param ways: the operators with which its cells are played
    :param store: whether Airflow has a task state store (3.3)
    :param status: whether the task has a status flow
    :param asks: whether a person is asked
    """

    title: str
    ways: tuple[str, ...]
    store: bool
    status: bool = False
    asks: bool = False


COLUMNS = [
    Column("neither, 3.3", ("operator", "batch"), store=True),
    Column("neither, before 3.3", ("operator", "batch"), store=False),
    Column('`on_unknown="ask"`, 3.3', ("operator",), store=True, asks=True),
    Column("`status`, 3.3", ("operator", "deferred", "batch"), store=True, status=True),
    Column("`status`, before 3.3", ("operator", "deferred", "batch"), store=False, status=True),
]


class Play:
    """One row in one column with one operator: a task's tries until it has ended, and the org around them.

    :param row: the row
    :param column: the column
    :param way: the operator
    """

    def __init__(self, row: Row, column: Column, way: str) -> None:
        self._row, self._column, self._way = row, column, way
        self._processes = Processes(Store() if column.store else None, self._kills, time.time())
        self._table = StatusTable(RUN_SECONDS, clock=lambda: self._processes.now)
        self._number = 1
        self._max_tries = RETRIES
        self._killed = self._asked = False
        self._questions = 0
        self._arrives, self._arrived = threading.Event(), threading.Event()

    def cell(self) -> str:
        """Return what the task came to, and how often its flow ran."""
        if self._row.damage and not self._column.store:
            return NEVER
        with _Org(self._processes, clock=lambda: self._processes.now) as self._org:
            self._add_flows()
            os.environ.update(self._org.environment())
            if self._row.fault:
                self._org.inject(self._row.fault, flow="provision")
            outcome = self._outcome()
            self._let_it_arrive()
            keys = [run.idempotency_key for run in self._org.flows["provision"].runs]
        if self._row.kill and not self._killed:
            return NEVER
        asked = "asks, " if self._asked else ""
        return f"{asked}{outcome}, {_in_words(keys)}"

    def _outcome(self) -> str:
        while True:
            ended = self._attempt()
            self._number += 1
            if self._row.cleared and self._max_tries == RETRIES:
                self._max_tries += 1
                continue
            if self._row.damage and self._number == 2 and self._processes.store:
                self._row.damage(self._processes.store)
            match ended:
                case (_, result):
                    if self._has_failed:
                        return "failure not seen"
                    if self._column.status and result != RESULT:
                        raise AssertionError(f"{self._row.name}: {result}")
                    return "succeeds"
                case (_, error, is_final) if is_final or self._number > 1 + RETRIES:
                    return "unknown" if error == "OktaFlowOutcomeUnknownError" else f"`{error}`"

    def _attempt(self) -> tuple[Any, ...]:
        """Run one try to its end, in as many processes as Airflow would take."""
        ended = self._processes.run(self._execute)
        while ended[0] == WAITS:
            _, method, kwargs, trigger = ended
            event = self._person_answers() if self._column.asks else self._trigger_fires(*trigger)
            ended = self._processes.run(partial(self._resume, method, kwargs, event))
        return ended

    # ---- in the process of a try

    def _execute(self, child: Child) -> Any:
        return self._result(self._task(child).execute(self._context(child)))

    def _resume(self, method: str, kwargs: dict[str, Any], event: Any, child: Child) -> Any:
        child.tell("resumed")
        return self._result(getattr(self._task(child), method)(self._context(child), event=event, **kwargs))

    def _context(self, child: Child) -> Any:
        fields = {"max_tries": self._max_tries, "try_number": self._number, "id": "a-task-instance"}
        return child.context(has_store=self._column.store, **fields)

    def _result(self, result: Any) -> Any:
        return result[0]["result"] if self._way == "batch" else result

    def _task(self, child: Child) -> Any:
        """Return the task, which is edited after its first try."""
        from airflow_okta_workflows.operators import okta_workflows as operators

        if self._column.asks:
            hitl: Any = import_module("airflow.sdk.execution_time.hitl")
            # Nobody else sees this: the process is the task's own.
            hitl.upsert_hitl_detail = lambda **_: None
        edited = self._number > 1
        payload = {"n": 1, **({"edited": True} if edited else {})}
        options: dict[str, Any] = {
            "task_id": "task",
            "flow": self._org.flows["provision"].alias if edited else "provision",
            "retries": EDITED if edited else RETRIES,
            "response_check": lambda response: child.tell("check") > 0,
        }
        if self._column.status:
            options["status"] = operators.StatusFlow("provision_status", result="result")
        if self._column.asks:
            options["on_unknown"] = "ask"
        if self._way == "batch":
            return _in_virtual_time(operators.InvokeOktaFlowBatchOperator, child)(
                payloads=[payload], item_key="n", **options
            )
        if self._way == "deferred":
            options["deferrable"] = True
        return _in_virtual_time(operators.InvokeOktaFlowOperator, child)(payload=payload, **options)

    # ---- what Airflow and people do

    def _trigger_fires(self, path: str, arguments: dict[str, Any]) -> Any:
        """Run a trigger until it fires, again if its triggerer is killed, and return its event."""
        module, _, name = path.rpartition(".")

        async def first_event(child: Child) -> Any:
            trigger = getattr(import_module(module), name)(**arguments, runtime=child.runtime(StopSignal()))
            return (await anext(trigger.run())).payload

        while (ended := self._processes.run(lambda child: asyncio.run(first_event(child))))[0] == KILLED:
            pass
        assert ended[0] == ENDED, ended
        return ended[1]

    def _person_answers(self) -> dict[str, Any]:
        """Return the true answer, after a while in which a request that is on its way arrives."""
        self._asked = True
        self._let_it_arrive()
        if self._has_failed:
            return {"chosen_options": ["Fail"], "params_input": {}}
        if self._org.flows["provision"].runs:
            return {"chosen_options": ["It ran"], "params_input": {"response": RESULT}}
        return {"chosen_options": ["It did not run: invoke it"], "params_input": {}}

    def _let_it_arrive(self) -> None:
        if self._row.late and self._killed:
            self._arrives.set()
            assert self._arrived.wait(_PATIENCE)

    def _kills(self, moment: str) -> bool:
        if moment == "sleep" and self._number > 1 and self._questions > 1:
            # Two questions have found nothing.
            self._let_it_arrive()
        if self._number > 1 or self._killed or moment not in self._row.kill:
            return False
        self._killed = True
        return True

    # ---- the flows

    def _add_flows(self) -> None:
        worker = self._table.worker_flow(self._work)

        @self._org.flow("provision")
        def provision(request: Any) -> Any:
            waits = self._processes.kill_if("arrived") and self._row.late
            if waits:
                self._arrives.wait(_PATIENCE)
            at_once = self._fails_now and self._row.fails == "at once"
            self._table.seconds = 0 if at_once else RUN_SECONDS
            response = worker(request)
            if waits:
                self._arrived.set()
            return ReturnError(500, "no licence left") if at_once else response

        @self._org.flow("provision_status")
        def provision_status(request: Any) -> Any:
            self._questions += self._number > 1
            self._processes.kill_if("question")
            report: Any = self._table.status_flow(request)
            if report["status"] == "SUCCEEDED":
                self._processes.kill_if("end")
            return report

    @property
    def _fails_now(self) -> bool:
        """Whether this run is the first one of a flow that fails once."""
        return bool(self._row.fails) and len(self._org.flows["provision"].runs) <= 1

    @property
    def _has_failed(self) -> bool:
        """Whether the last run ends in a failure."""
        return any(
            row.updates and row.updates[-1][1]["status"] == "FAILED" for row in [*self._table.rows.values()][-1:]
        )

    def _work(self, request: Any) -> Any:
        self._processes.kill_if("row")
        if self._fails_now:
            raise ValueError("no licence left")
        return RESULT


class _Org(LocalOrg):
    """Local org at whose token endpoint a process may be killed."""

    def __init__(self, processes: Processes, **options: Any) -> None:
        super().__init__(rate_limit=None, **options)
        self._processes = processes

    def on_assertion(self, assertion: str) -> None:
        self._processes.kill_if("token")


def _in_words(keys: list[str | None]) -> str:
    """Return how many runs there are of how many keys, in words.

    :param keys: the key of each run
    """
    if len(keys) < 2:
        return "1 run" if keys else "0 runs"
    return f"{len(keys)} runs of {len(set(keys))} {'key' if len(set(keys)) == 1 else 'keys'}"


def _in_virtual_time(operator: Any, child: Child) -> Any:
    """Return an operator class whose clock is that of the play."""

    class InVirtualTime(operator):  # type: ignore[misc]  # one of the two operators
        @cached_property
        def _runtime(self) -> Runtime:
            return child.runtime(self.stop_signal)

    return InVirtualTime


def cell(row: Row, column: Column) -> str:
    """Play a row in a column with each of its operators, which have to agree where the event can happen."""
    found = {way: Play(row, column, way).cell() for way in column.ways}
    cells = set(found.values()) - {NEVER} or {NEVER}
    if len(cells) > 1:
        raise AssertionError(f"{row.name}, {column.title}: {found}")
    return cells.pop()


def table() -> str:
    """Play all rows in all columns, and return the table in Markdown."""
    lines = [f"| what happens | {' | '.join(column.title for column in COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for row in ROWS:
        lines.append(f"| {row.name} | {' | '.join(cell(row, column) for column in COLUMNS)} |")
        print(lines[-1], file=sys.stderr)
    return "\n".join(lines)


def main(path: Path) -> None:
    """Write the table into a page."""
    import logging

    logging.disable(logging.CRITICAL)
    path.write_text(written_into(path.read_text(), table(), BEGIN, END))
    print(f"wrote {len(ROWS)} events, each played in {sum(len(column.ways) for column in COLUMNS)} ways, into {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
