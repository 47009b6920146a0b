"""An Airflow for processes of its own, as the integration tests need more than once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.own_airflow import IN_ONE_PROCESS, own_environment


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that no test uses."""
    home = tmp_path_factory.mktemp("migrated")
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(command, env=own_environment(home), capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return home / "airflow.db"


@pytest.fixture(scope="module")
def airflow(_migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an Airflow home with a database."""
    home = tmp_path_factory.mktemp("airflow")
    shutil.copy(_migrated, home)
    return own_environment(home, **IN_ONE_PROCESS)
