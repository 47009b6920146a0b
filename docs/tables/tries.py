"""What can happen to a task between two tries, and what the next try does; used by tests and docs/reliability.md.

``python -m docs.tables.tries docs/reliability.md`` plays all events and writes the table into the page.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.emulator import LocalOrg, ReturnError, TooManyRequests
from airflow_okta_workflows.exceptions import OktaFlowOutcomeUnknownError, OktaWorkflowsError
from docs.tables.faults import written_into
from tests.integration.task_context import Store, context, with_store

if TYPE_CHECKING:
    from airflow_okta_workflows.core.runtime import Runtime

RETRIES, EDITED = 3, 1
BEGIN, END = "<!-- task matrix: begin -->", "<!-- task matrix: end -->"


@dataclass
class Tries:
    """Two tries of one task, with what Airflow keeps between them.

    :param org: the org
    :param make: creates the task
    :param runtime: clock and sleep
    :param store: the task state store; None as before Airflow 3.3
    """

    org: LocalOrg
    make: Callable[..., Any]
    runtime: Runtime
    store: Store | None = field(default_factory=Store)
    max_tries: int = RETRIES
    left: Store = field(default_factory=Store)
    """Content of the store while the flow ran, which a task that is killed then leaves behind."""

    def __post_init__(self) -> None:
        @self.org.flow("echo")
        def echo(request: Any) -> Any:
            self.left = Store(self.store or {})
            return {}

    def first(self, *, stopped: bool = False) -> None:
        """Run the first try to its end, with whatever result.

        :param stopped: whether to stop it when it waits
        """
        task = self.make(retries=RETRIES)
        with suppress(OktaWorkflowsError):
            self._execute(task, self._stopping(task) if stopped else self.runtime)

    def second(self) -> None:
        """Run the next try to its end, after a deployment with other ``retries``.

        :raises OktaWorkflowsError: if the try fails
        """
        self._execute(self.make(retries=EDITED), self.runtime)

    def killed(self) -> None:
        """Kill the first try while its flow runs: no later checkpoint is stored."""
        self.first()
        if self.store is not None:
            self.store = self.left

    def cleared(self) -> None:
        """Clear the task, which Airflow shows the next try as a higher ``max_tries``."""
        self.max_tries = 1 + RETRIES

    def _execute(self, task: Any, runtime: Runtime) -> None:
        from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

        task.hook = OktaWorkflowsHook(runtime=runtime)
        given = {"max_tries": self.max_tries}
        try:
            task.execute(context(**given) if self.store is None else with_store(self.store, **given))
        finally:
            task.hook.close()

    def _stopping(self, task: Any) -> Runtime:
        async def async_sleep(seconds: float) -> None:
            task.on_kill()
            await self.runtime.async_sleep(seconds)

        return replace(self.runtime, stop=task.stop_signal, sleep=lambda _: task.on_kill(), async_sleep=async_sleep)


def killed(tries: Tries) -> None:
    """Kill the first try while its flow runs."""
    tries.killed()


def killed_before_3_3(tries: Tries) -> None:
    """Kill the first try while its flow runs, on an Airflow without a state store."""
    tries.store = None
    tries.killed()


def ended(tries: Tries) -> None:
    """Kill the first try after the checkpoint of its response."""
    tries.first()


def failed(tries: Tries) -> None:
    """Make the flow fail in the first try."""
    function = tries.org.flows["echo"].function
    tries.org.flow("echo")(lambda request: ReturnError(500, "no"))
    tries.first()
    tries.org.flows["echo"].function = function


def stopped(tries: Tries) -> None:
    """Stop the first try while it waits for a rate limit."""
    tries.org.inject(TooManyRequests(retry_after=60), flow="echo")
    tries.first(stopped=True)
    assert not tries.org.flows["echo"].runs


def cleared(tries: Tries) -> None:
    """Clear the task after it has ended."""
    tries.first()
    tries.cleared()


def cleared_while_running(tries: Tries) -> None:
    """Clear the task while its flow runs, where Airflow shows that to the next try."""
    tries.killed()
    tries.cleared()


def unreadable(tries: Tries) -> None:
    """Replace the checkpoint with something that this version has not written."""
    tries.first()
    assert tries.store
    tries.store = Store(dict.fromkeys(tries.store, "of another version"))


def forgotten(tries: Tries) -> None:
    """Delete the unreadable checkpoint, and clear the task."""
    unreadable(tries)
    tries.store = Store()
    tries.cleared()


def made_again(tries: Tries) -> None:
    """Delete the DAG run, and make it again with the same id."""
    tries.first()
    tries.store = Store()


@dataclass(frozen=True)
class Row:
    """One event and its result.

    :param name: what happens, in words
    :param happen: makes it happen
    :param error: class of the next try's error; None for a response
    :param runs: how often the flow runs in both tries
    :param keys: number of different idempotency keys that are sent
    :param idempotent: whether the flow is declared idempotent
    """

    name: str
    happen: Callable[[Tries], None]
    error: type[OktaWorkflowsError] | None
    runs: int
    keys: int
    idempotent: bool = False


ROWS = [
    Row("killed while its flow ran", killed, OktaFlowOutcomeUnknownError, 1, 1),
    Row("killed while its flow ran", killed, None, 2, 1, idempotent=True),
    Row("killed while its flow ran, before Airflow 3.3", killed_before_3_3, None, 2, 1),
    Row("killed after its response was stored", ended, None, 1, 1),
    Row("killed after its response was stored", ended, None, 1, 1, idempotent=True),
    Row("its flow failed", failed, None, 2, 2),
    Row("stopped in a rate limit: marked failed, timed out, killed", stopped, None, 1, 1),
    Row("cleared after it ended", cleared, None, 2, 2),
    Row("cleared while its flow ran, where Airflow lets it see that", cleared_while_running, None, 2, 2),
    Row("its checkpoint cannot be read", unreadable, OktaFlowOutcomeUnknownError, 1, 1),
    Row("its checkpoint cannot be read", unreadable, OktaFlowOutcomeUnknownError, 1, 1, idempotent=True),
    Row("its checkpoint cannot be read and was deleted, and the task cleared", forgotten, None, 2, 2),
    Row("its run was deleted, and made again", made_again, None, 2, 2),
]


def single(**options: Any) -> Any:
    """Return a task that invokes the flow once."""
    from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator

    return InvokeOktaFlowOperator(task_id="task", flow="echo", payload={}, **options)


def batch(**options: Any) -> Any:
    """Return a batch task with one item."""
    from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator

    return InvokeOktaFlowBatchOperator(task_id="task", flow="echo", payloads=[{}], **options)


WAYS: dict[str, Callable[..., Any]] = {"operator": single, "batch": batch}


def play(row: Row, way: str, runtime: Runtime) -> tuple[type[OktaWorkflowsError] | None, int, int]:
    """Play a row with an operator; return the next try's error, the number of runs and the number of different keys."""
    with LocalOrg(rate_limit=None, clock=runtime.clock) as org:
        tries = Tries(org, lambda **options: WAYS[way](idempotent=row.idempotent, **options), runtime)
        os.environ.update(org.environment())
        row.happen(tries)
        error = None
        try:
            tries.second()
        except OktaWorkflowsError as caught:
            error = type(caught)
        keys = {request.headers["idempotency-key"] for request in org.requests("echo")}
        return error, len(org.flows["echo"].runs), len(keys)


def table(runtime: Callable[[], Runtime]) -> str:
    """Play all rows, and return the table in Markdown."""
    lines = [
        "| what happened to the previous try | idempotent | result of the next try | flow ran | keys |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        found = {play(row, way, runtime()) for way in WAYS}
        if found != {(row.error, row.runs, row.keys)}:
            raise AssertionError(f"{row.name}: {found}")
        outcome = f"`{row.error.__name__}`" if row.error else "the response"
        lines.append(f"| {row.name} | {'yes' if row.idempotent else ''} | {outcome} | {row.runs} x | {row.keys} |")
    return "\n".join(lines)


def main(path: Path) -> None:
    """Write the table into a page."""
    import logging

    logging.disable(logging.CRITICAL)
    from tests.conftest import World

    text = table(lambda: World().runtime())
    path.write_text(written_into(path.read_text(), text, BEGIN, END))
    print(f"wrote {len(ROWS)} things that happen to a task, each played in {len(WAYS)} ways, into {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
