"""``airflow okta-workflows``: the commands in processes of a real Airflow, with its database and its logging."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from airflow_okta_workflows.core.keys.generation import pem_of
from airflow_okta_workflows.emulator import LocalOrg
from tests.airflow_features import PROVIDER_COMMANDS

SCRIPTS = Path(sys.executable).parent


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


@pytest.mark.timeout(300)  # four commands of Airflow, on a machine that may be busy
def test_a_connection_goes_into_the_database_and_is_found_there(airflow: dict[str, str], tmp_path: Path) -> None:
    by_airflow = ("airflow", "okta-workflows") if PROVIDER_COMMANDS.there else ("okta-workflows",)
    with LocalOrg() as org:
        org.flow("hello")(lambda request: {"greeting": "Hello!"})
        (tmp_path / "key").write_text(json.dumps(org.private_jwk))
        arguments = (
            *("connection", "--domain", org.url, "--client-id", org.app.client_id),
            *("--key-file", str(tmp_path / "key"), "--conn-id", "okta-test", "--add"),
            *("--flow", f"hello={org.flows['hello'].alias}"),
        )
        added = run(airflow, "okta-workflows", *arguments)
        again = run(airflow, *by_airflow, *arguments)
        replaced = run(airflow, "okta-workflows", *arguments, "--keep-key-file", "--replace")
        refuse_connections(Path(airflow["AIRFLOW_HOME"]) / "airflow.db")
        refused = run(airflow, "okta-workflows", *arguments, "--replace")
        check = ("check", "--conn-id", "okta-test", "--flow", "hello", "--yes", "--output", "json")
        first = run(airflow, *by_airflow, *check)
        chatty = {**airflow, "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"}
        standalone = run(chatty, "okta-workflows", *check)
        short = {**airflow, **org.environment("short", key_passphrase="abc")}
        quiet = [
            run(environment, "okta-workflows", "invoke", "hello", "--conn-id", conn_id)
            for environment, conn_id in ((airflow, "okta-test"), (short, "short"))
        ]
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
        assert json.loads(checked.stdout)["response"]["body"] == {"greeting": "Hello!"}
    assert "debug" in standalone.stderr.lower(), "Airflow's log went elsewhere"
    for done in quiet:
        assert done.returncode == 0, done.stderr
        assert "RFC3986" not in done.stderr
        assert "too short" not in done.stderr
    assert runs == 4
    for done in (added, again, replaced, refused, first, standalone, *quiet):
        for secret in (org.private_jwk["d"], *pem_of(org.private_jwk).splitlines()[1:-1], *org.tokens):
            assert secret not in done.stdout + done.stderr
