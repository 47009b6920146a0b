"""The rows of the table, one module each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.figures import Figure


@dataclass(frozen=True)
class Row:
    """One row; its module is imported only where it runs, since most of them import Airflow.

    :param name: its name on the command line, and its module's name
    :param title: what it measures
    """

    name: str
    title: str

    def measure(self, *, quick: bool) -> list[Figure]:
        """Measure in this process, and return the lines of the table.

        :param quick: whether to run in quick mode, which only shows that everything works
        """
        figures: list[Figure] = import_module(f"benchmarks.rows.{self.name}").measure(quick=quick)
        return figures


ROWS = {
    row.name: row
    for row in (
        Row("invoke", "one warm invocation"),
        Row("task", "one invocation in a new task process"),
        Row("api", "requests to Airflow's API by a task"),
        Row("authenticate", "a token for a new process, cold and warm cache"),
        Row("batch", "600 invocations of a flow that takes 10 a second"),
        Row("flows", "the same over 20 flows at once"),
        Row("pace", "four batches and forty single tasks on one flow"),
        Row("sensors", "1,000 deferred sensors in one process"),
        Row("parse", "import time of a DAG file"),
        Row("sign", "the first client assertion of a process, and how many a second"),
    )
}
