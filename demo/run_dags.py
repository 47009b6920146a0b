"""Script that runs DAGs by id in this process, as ``airflow dags test`` does; for the demo and the tests."""

from __future__ import annotations

import importlib.util
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


if __name__ == "__main__":
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    states = [str(run_dag(dag_id, folder).state) for dag_id in sys.argv[1:]]
    print("DAG run states:", *states)
    sys.exit(0 if all(state.endswith("success") for state in states) else 1)
