"""``airflow okta-workflows``: the commands in processes of a real Airflow, with its database and its logging."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from airflow_okta_workflows.core.key_generation import pem_of
from airflow_okta_workflows.emulator import LocalOrg
from tests.airflow_features import PROVIDER_COMMANDS

SCRIPTS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An Airflow home with a database."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = run(environment, "airflow", "db", "migrate")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return environment


def run(environment: dict[str, str], program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / program, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=110
    )


def refuse_connections(database: Path) -> None:
    """Let no connection into the database any more, as a full disk does; what is there can be taken away."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON connection BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )


def test_a_connection_goes_into_the_database_and_is_found_there(environment: dict[str, str], tmp_path: Path) -> None:
    by_airflow = ("airflow", "okta-workflows") if PROVIDER_COMMANDS.there else ("okta-workflows",)
    with LocalOrg() as org:
        org.flow("hello")(lambda request: {"greeting": "Hello!"})
        (tmp_path / "key").write_text(json.dumps(org.private_jwk))
        arguments = (
            *("connection", "--domain", org.url, "--client-id", org.app.client_id),
            *("--key-file", str(tmp_path / "key"), "--conn-id", "okta-test", "--add"),
            *("--flow", f"hello={org.flows['hello'].alias}"),
        )
        added = run(environment, "okta-workflows", *arguments)
        again = run(environment, *by_airflow, *arguments)
        replaced = run(environment, "okta-workflows", *arguments, "--keep-key-file", "--replace")
        refuse_connections(Path(environment["AIRFLOW_HOME"]) / "airflow.db")
        refused = run(environment, "okta-workflows", *arguments, "--replace")
        check = ("check", "--conn-id", "okta-test", "--flow", "hello", "--yes", "--output", "json")
        first = run(environment, *by_airflow, *check)
        chatty = {**environment, "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"}
        standalone = run(chatty, "okta-workflows", *check)
        runs = len(org.flows["hello"].runs)

    assert (added.returncode, added.stdout) == (0, ""), added.stderr
    assert "okta-test is in Airflow's database" in added.stderr
    assert (again.returncode, again.stdout) == (1, "")
    assert "already exists" in again.stderr
    assert (replaced.returncode, replaced.stdout) == (0, ""), replaced.stderr
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "database did not take okta-test" in refused.stderr
    assert "Traceback" not in refused.stderr
    for checked in (first, standalone):
        assert checked.returncode == 0, checked.stderr
        assert json.loads(checked.stdout)["good"] is True, "JSON alone"
        assert json.loads(checked.stdout)["answer"]["body"] == {"greeting": "Hello!"}
    assert "debug" in standalone.stderr.lower(), "Airflow's log went elsewhere"
    assert runs == 2
    for done in (added, again, replaced, refused, first, standalone):
        for secret in (org.private_jwk["d"], *pem_of(org.private_jwk).splitlines()[1:-1], *org._tokens):
            assert secret not in done.stdout + done.stderr
