"""Script that runs DAGs by id in this process, as ``airflow dags test`` does; for the demo and the tests.

If the environment variable ``DEMO_TASKS`` names a file, the script writes a line of JSON for each task to it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any


def run_dag(dag_id: str, dags_folder: Path) -> Any:
    """Run a DAG from its file, and return the DAG run.

    :param dag_id: the DAG's id, which is also its file's name
    :param dags_folder: the folder of the file
    """
    path = dags_folder / f"{dag_id}.py"
    spec = importlib.util.spec_from_file_location(f"demo_dag_{dag_id}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dag.test()


def task_lines(run: Any) -> str:
    """Return a line of JSON for each task instance of a DAG run that has ended, in the order of their starts.

    :param run: the DAG run
    """
    tasks = [
        {
            "dag": run.dag_id,
            "task": ti.task_id,
            "map_index": ti.map_index,
            "started": ti.start_date.timestamp(),
            "ended": ti.end_date.timestamp(),
        }
        for ti in run.get_task_instances()
        if ti.start_date and ti.end_date
    ]
    return "".join(f"{json.dumps(task)}\n" for task in sorted(tasks, key=lambda task: task["started"]))


if __name__ == "__main__":
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    runs = [run_dag(dag_id, folder) for dag_id in sys.argv[1:]]
    if "DEMO_TASKS" in os.environ:
        Path(os.environ["DEMO_TASKS"]).write_text("".join(map(task_lines, runs)))
    states = [str(run.state) for run in runs]
    print("DAG run states:", *states)
    sys.exit(0 if all(state.endswith("success") for state in states) else 1)
