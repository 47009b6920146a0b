"""The picture at the end of the demo: for each DAG a table of the runs that its tasks wanted, each with its own key."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TextIO

    from airflow_okta_workflows.emulator import SeenRequest

WIDTH = 100
"""Columns where there is no terminal."""
_WIDEST = 140
_KEY_SHOWN = 8


@dataclass(frozen=True)
class RanTask:
    """A task instance that ran.

    :param dag: its DAG
    :param name: its task id, with the map index of a mapped task
    :param started: when it started, in seconds since the epoch
    :param ended: when it ended
    """

    dag: str
    name: str
    started: float
    ended: float


@dataclass
class Run:
    """One run of a flow that a task wanted: its invocation, and what its status flow was asked.

    :param invocation: the request to the flow
    :param polls: the requests about it to its status flow
    """

    invocation: SeenRequest
    polls: list[SeenRequest] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The idempotency key."""
        return self.invocation.idempotency_key or ""

    @property
    def ended(self) -> float:
        """When the response that the task used came, in seconds since the epoch."""
        last = self.polls[-1] if self.polls else self.invocation
        return last.received_at + (last.duration or 0.0)


def parse_tasks(lines: str) -> list[RanTask]:
    """Return the tasks that ran.

    :param lines: what ``demo.run_dags`` wrote
    """
    found = map(json.loads, lines.splitlines())
    return [
        RanTask(
            one["dag"],
            one["task"] if one["map_index"] < 0 else f"{one['task']} [{one['map_index']}]",
            one["started"],
            one["ended"],
        )
        for one in found
    ]


def wanted_runs(requests: Iterable[SeenRequest]) -> list[Run]:
    """Return the runs that were wanted, in the order of their invocations.

    :param requests: what the org received
    """
    runs: dict[str, Run] = {}
    for request in requests:
        polled = runs.get(_key_in_body(request.text))
        if polled:
            polled.polls.append(request)
        else:
            run = Run(request)
            runs[run.key] = run
    return list(runs.values())


def draw(requests: Iterable[SeenRequest], tasks: list[RanTask], output: TextIO) -> None:
    """Draw a table for each DAG.

    :param requests: what the org received
    :param tasks: the tasks that ran
    :param output: where to draw; without colors unless it is a terminal
    """
    console = Console(file=output, highlight=False, width=_width(output))
    rows = [(_task_of(run, tasks), run) for run in wanted_runs(requests)]
    for dag in dict.fromkeys(task.dag for task in tasks):
        own = [(task.name, run) for task, run in rows if task and task.dag == dag]
        if own:
            console.print()
            console.print(_table(dag, own))


def _table(dag: str, rows: list[tuple[str, Run]]) -> Table:
    keys = {run.key for _, run in rows}
    title = Text.assemble((dag, "bold"), f": {_count(len(rows), 'wanted run')}, {_count(len(keys), 'key')}")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0))
    table.show_edge = table.pad_edge = False
    for name in ("task", "flow"):
        table.add_column(name, no_wrap=True)
    for name, ratio in (("sent", 4), ("returned", 5)):
        table.add_column(name, ratio=ratio, no_wrap=True, overflow="ellipsis")
    table.add_column("duration", justify="right", no_wrap=True)
    table.add_column("key", style="cyan", no_wrap=True)
    shown = ""
    for name, run in rows:
        for cells in _rows(run):
            table.add_row("" if name == shown else Text(name), *cells)
            shown = name
    return table


def _rows(run: Run) -> Iterator[tuple[Text, ...]]:
    """Yield the cells of an invocation, and those of all questions about it."""
    sent = _parsed(run.invocation.text)
    yield _cells(run, run.invocation, _values(sent) if isinstance(sent, dict) else _one_line(run.invocation.text))
    if run.polls:
        yield _cells(run, run.polls[-1], _count(len(run.polls), "poll"))


def _cells(run: Run, request: SeenRequest, sent: str) -> tuple[Text, ...]:
    body = _parsed(request.text)
    good = request.status is not None and request.status < 400
    returned = _one_line(request.response, without=body if isinstance(body, dict) else {})
    seconds = request.received_at + (request.duration or 0.0) - run.invocation.received_at
    return (
        Text(request.flow),
        Text(sent),
        Text(f"{request.status} {returned}", style="green" if good else "red"),
        Text(f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"),
        Text(run.key[:_KEY_SHOWN]),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _task_of(run: Run, tasks: list[RanTask]) -> RanTask | None:
    """Return the task during which a run ended: the demo's Airflow runs one task at a time."""
    return next((task for task in tasks if task.started <= run.ended <= task.ended), None)


def _key_in_body(text: str) -> str:
    body = _parsed(text)
    return str(body.get("idempotency_key", "")) if isinstance(body, dict) else ""


def _one_line(text: str, without: Mapping[str, Any] | None = None) -> str:
    """Return a body as short text: of an object the members by name, except those that repeat what was sent."""
    body = _parsed(text)
    if not isinstance(body, dict):
        return " ".join(text.split())
    sent = without or {}
    told = {name: value for name, value in body.items() if name not in sent or sent[name] != value}
    return ", ".join(f"{name}: {_shown(value)}" for name, value in (told or body).items())


def _values(body: dict[str, Any]) -> str:
    return ", ".join(map(_shown, body.values()))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(map(_shown, value.values()))
    if isinstance(value, list):
        return f"{len(value)} of them"
    return value if isinstance(value, str) else json.dumps(value)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _width(output: TextIO, environment: Mapping[str, str] = os.environ) -> int:
    if not output.isatty():
        return WIDTH
    columns = environment.get("COLUMNS", "")
    return min(int(columns) if columns.isdigit() else os.get_terminal_size(output.fileno()).columns, _WIDEST)
