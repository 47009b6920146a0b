"""An Airflow for processes of its own, as the integration tests need more than once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.transports import TRANSPORTS, Send
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


@pytest.fixture(params=TRANSPORTS)
def send(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Send one request, or several one after the other over one transport, and return what came of each."""
    for name in [name for name in os.environ if name.lower().endswith(("_proxy", "_ca_bundle", "ssl_cert_file"))]:
        monkeypatch.delenv(name)

    def send_all(*requests: Any, between: Callable[[], None] = lambda: None, **fields: Any) -> Any:
        results = TRANSPORTS[request.param](requests, between, fields)
        return results if len(results) > 1 else results[0]

    return send_all
