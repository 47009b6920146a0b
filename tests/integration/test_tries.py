"""What counts as a retry and what as a new run, on the Airflow of this Python, as the table in the docs says it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs.tables.simulated_tries import STORIES, Simulation
from tests.matrix.probe import printed_json
from tests.pages import ROOT, rows

# All stories are played at once, before the first test.
pytestmark = pytest.mark.timeout(300)

HEAD, *ROWS = rows("docs/reliability.md", "### What counts as a retry")
MINOR = ".".join(importlib.metadata.version("apache-airflow").split(".")[:2])
(COLUMN,) = [number for number, title in enumerate(HEAD) if MINOR in title.replace(",", "").split()]
SAID = {row[0]: row[COLUMN] for row in ROWS}


@pytest.fixture(scope="module")
def tries(airflow: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The tries of each story, by its name."""
    home = Path(airflow["AIRFLOW_HOME"])
    (home / "dags").mkdir()
    environment = {
        **airflow,
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        # Versions of a DAG follow one another within a second, and often have as many bytes.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SIMULATED_KEY": str(home / "key"),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "docs.tables.simulated_tries"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    found: dict[str, list[dict[str, Any]]] = printed_json(done.stdout)
    return found


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_each_try_has_the_key_that_the_page_says(
    tries: dict[str, list[dict[str, Any]]], story: Callable[[Simulation], None]
) -> None:
    *earlier, last = [one["key"] for one in tries[story.__name__]]

    assert len(set(earlier)) == 1
    assert ("same" if last in earlier else "new") == SAID[str(story.__doc__)], tries[story.__name__]


def test_each_row_of_the_page_is_played() -> None:
    assert list(SAID) == [story.__doc__ for story in STORIES]


def test_a_retry_leaves_max_tries_as_it_is(tries: dict[str, list[dict[str, Any]]]) -> None:
    assert {one["max_tries"] for one in tries["edited"]} == {7}
    assert [one["try_number"] for one in tries["edited"]] == [1, 2, 3, 4, 5, 6]
