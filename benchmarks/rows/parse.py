"""Cost of importing a DAG file: with our operators, with the http provider's, with Airflow's decorators alone."""

from __future__ import annotations

import ast
import runpy
import sys
from functools import partial
from pathlib import Path

# Unused here, but loaded in the parent of the forks, as in the DAG processor.
from airflow.sdk import dag, task  # noqa: F401

from benchmarks.figures import Figure, alone, at_most, at_most_times, compare
from benchmarks.measuring import Cost, alternate, become_warm_parent, cost_of, cost_of_process, in_fork

DAG_FILES = Path(__file__).parent.parent / "dag_files"
BARE, OURS, HTTP = "bare", "okta_operators", "http_operators"


def measure(*, quick: bool) -> list[Figure]:
    """Compare the import of DAG files.

    :param quick: whether to run in quick mode
    """
    forks, starts = (1, 1) if quick else (11, 7)
    names = (BARE, OURS, HTTP)
    become_warm_parent()
    imports = alternate(forks, {name: partial(in_fork, partial(_import, name)) for name in names})
    files = alternate(forks, {name: partial(in_fork, partial(_parse, name)) for name in names})
    # The forks have written all byte code by now.
    processes = alternate(starts, {name: partial(_start, name) for name in (BARE, OURS)})
    cpu = {name: [cost.cpu for cost in found] for name, found in processes.items()}
    how = f"CPU; median of {forks} forks in turns; the parent has imported what Airflow's supervisor has"
    return [
        compare(
            "imports of a DAG file in a warm fork",
            "ms",
            _beyond_bare(imports, OURS),
            "http operators",
            _beyond_bare(imports, HTTP),
            how=how,
            target=at_most(10, "ms"),
        ),
        compare(
            "the whole DAG file in a warm fork, beyond a bare one",
            "ms",
            _beyond_bare(files, OURS),
            "http operators",
            _beyond_bare(files, HTTP),
            how="with a task of each operator",
        ),
        alone("a bare DAG file in a warm fork", "ms", [1000 * cost.cpu for cost in files[BARE]], how="Airflow's own"),
        compare(
            "DAG file in a new interpreter",
            "s",
            cpu[OURS],
            "bare airflow.sdk",
            cpu[BARE],
            how=f"CPU of the whole process; median of {starts} in turns",
            target=at_most_times(1.05),
        ),
    ]


def _beyond_bare(found: dict[str, list[Cost]], name: str) -> list[float]:
    return [1000 * (cost.cpu - bare.cpu) for cost, bare in zip(found[name], found[BARE], strict=True)]


def _import(name: str) -> Cost:
    """Execute only the import statements of a DAG file, and return their cost."""
    path = DAG_FILES / f"{name}.py"
    tree = ast.parse(path.read_text())
    tree.body = [line for line in tree.body if isinstance(line, (ast.Import, ast.ImportFrom))]
    code = compile(tree, path, "exec")
    return cost_of(lambda: exec(code, {}))


def _parse(name: str) -> Cost:
    return cost_of(lambda: runpy.run_path(str(DAG_FILES / f"{name}.py")))


def _start(name: str) -> Cost:
    return cost_of_process([sys.executable, str(DAG_FILES / f"{name}.py")])
