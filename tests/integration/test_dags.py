"""The example DAGs, run by a real Airflow in a process of its own against the local org."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from airflow_okta_workflows.connection.fields import FORM
from airflow_okta_workflows.core.keys.generation import pem_of
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.links.okta_workflows import OktaFlowLink
from demo.hr_table import TABLE, hr_database
from tests.airflow_features import OBJECT_STORAGE, QUESTIONS, SQLITE_PROVIDER, lacks, needs
from tests.matrix.probe import printed_json
from tests.own_airflow import flows_that_keep_a_task_waiting, run_python

ROOT = Path(__file__).parents[2]
HUMAN_REVIEW = ROOT / "dags" / "okta_human_review.py"
"""The example that needs a person, which tests/e2e/test_human_review.py runs."""


@pytest.fixture(scope="module")
def airflow(airflow: dict[str, str]) -> dict[str, str]:
    """The Airflow of this module, with the example DAGs."""
    return {**airflow, "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags")}


def links_kept(airflow: dict[str, str]) -> dict[str, set[str]]:
    """The extra links that Airflow keeps for its pages, by task."""
    links: dict[str, set[str]] = {}
    with closing(sqlite3.connect(Path(airflow["AIRFLOW_HOME"]) / "airflow.db")) as database:
        found = database.execute("SELECT task_id, value FROM xcom WHERE key = ?", (OktaFlowLink().xcom_key,))
        for task_id, value in found:
            links.setdefault(task_id, set()).add(json.loads(value))
    return links


@dataclass(frozen=True)
class Ran:
    """Hold what came of the example DAGs.

    :param org: the org that they ran against
    :param output: what was printed
    """

    org: LocalOrg
    output: str

    def bodies(self, flow: str) -> list[Any]:
        return [run.body for run in self.org.flows[flow].runs]


@pytest.fixture(scope="module")
def ran(airflow: dict[str, str]) -> Iterator[Ran]:
    with LocalOrg(key_type="rsa2048") as org:
        org.add_flows(flows_that_keep_a_task_waiting())
        dags = sorted(path.stem for path in (ROOT / "dags").glob("*.py") if path != HUMAN_REVIEW)
        assert dags == ["okta_access_review", "okta_first_flow", "okta_offboarding", "okta_onboarding"]
        if not (SQLITE_PROVIDER.there and OBJECT_STORAGE.there):
            dags.remove("okta_offboarding")
        home = Path(airflow["AIRFLOW_HOME"])
        yield Ran(org, run_python({**airflow, **org.environment(), **hr_database(home)}, "-m", "demo.run_dags", *dags))


def test_the_first_flow_is_invoked(ran: Ran) -> None:
    assert ran.bodies("hello") == [{"name": "Ada"}]


def test_the_onboarding_chains_its_flows(ran: Ran) -> None:
    account = "00u0000001"
    assert {body["group"] for body in ran.bodies("add_to_group")} == {"everyone", "engineering", "on-call"}
    assert {body["account_id"] for body in ran.bodies("add_to_group")} == {account}
    (provisioned,) = ran.org.flows["provision"].runs
    assert provisioned.body == {"account_id": account}
    asked = ran.bodies("provision_status")
    assert len(asked) >= 2, "once on the worker, and then from the triggerer"
    assert {body["idempotency_key"] for body in asked} == {provisioned.idempotency_key}
    assert ran.bodies("send_welcome") == [
        {
            "account_id": account,
            "groups": [{"group": group, "added": True} for group in ("everyone", "engineering", "on-call")],
            "applications": ["mail", "chat", "wiki"],
        }
    ]


def test_mapped_tasks_are_named_after_what_they_are_for(ran: Ran, airflow: dict[str, str]) -> None:
    with closing(sqlite3.connect(Path(airflow["AIRFLOW_HOME"]) / "airflow.db")) as database:
        found = database.execute("SELECT rendered_map_index FROM task_instance WHERE task_id = 'add_to_group'")
        names = {name for (name,) in found}

    assert names == {"everyone", "engineering", "on-call"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[needs(QUESTIONS)] if path == HUMAN_REVIEW else [])
        for path in sorted((ROOT / "dags").glob("*.py"))
    ],
)
def test_each_example_can_be_found_by_its_tags(path: Path) -> None:
    dag = runpy.run_path(str(path))["dag"]

    assert set(dag.tags) == {"okta", "example"}
    assert [
        task.task_id for task in dag.tasks if getattr(task, "is_mapped", False) and not task.map_index_template
    ] == []


@lacks(QUESTIONS)
def test_without_required_actions_the_human_review_is_no_dag_and_no_error() -> None:
    assert "dag" not in runpy.run_path(str(HUMAN_REVIEW))


@needs(QUESTIONS)
def test_the_human_review_asks_about_each_account_and_keeps_the_access_by_default() -> None:
    dag = runpy.run_path(str(HUMAN_REVIEW))["dag"]
    decide = dag.get_task("decide")

    assert decide.is_mapped
    assert decide.partial_kwargs["options"] == ["Keep", "Revoke"]
    assert decide.partial_kwargs["defaults"] == "Keep"
    assert decide.partial_kwargs["response_timeout"] == timedelta(days=7)
    asked = dag.get_task("questions").python_callable(
        [{"id": "00u1", "email": "ada@example.com", "last_login": "2026-10-30"}], params={"application": "payroll"}
    )
    assert asked == [
        {
            "subject": "Does ada@example.com still need payroll?",
            "body": "Account `00u1` last logged in on 2026-10-30.",
        }
    ]


@needs(QUESTIONS)
@pytest.mark.parametrize(
    ("chosen", "revoked"),
    [(("Keep", "Revoke"), ["00u2"]), (("Keep", "Keep"), []), (("Revoke", "Revoke"), ["00u1", "00u2"])],
)
def test_the_human_review_revokes_what_was_chosen(chosen: tuple[str, str], revoked: list[str]) -> None:
    revocations = runpy.run_path(str(HUMAN_REVIEW))["dag"].get_task("revocations").python_callable
    answers = [{"chosen_options": [option]} for option in chosen]

    payloads = revocations([{"id": "00u1"}, {"id": "00u2"}], answers, params={"application": "payroll"})

    assert payloads == [{"account_id": account_id, "application": "payroll"} for account_id in revoked]


def test_the_access_review_sends_one_batch(ran: Ran) -> None:
    reviewed = [body["email"] for body in ran.bodies("review_access")]
    assert len(reviewed) == len(set(reviewed)) == 10
    assert {request.status for request in ran.org.requests("review_access")} == {200, 409}
    assert "10 of 10 sent, 9 succeeded, 1 failed, 0 open" in ran.output


def offboarded(org: LocalOrg, output: str) -> list[dict[str, Any]]:
    """The records in the file that the task has reported."""
    (path,) = set(re.findall(r"6 offboarded; the records are in file://(\S+?\.jsonl)", output))
    records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert {record["item"] for record in records} == {run.body["employee_id"] for run in org.flows["offboard"].runs}
    return records


@needs(OBJECT_STORAGE)
@needs(SQLITE_PROVIDER)
def test_the_offboarding_reads_the_hr_table_and_writes_a_file(ran: Ran) -> None:
    records = offboarded(ran.org, ran.output)

    assert [record["item"] for record in records] == list(range(1001, 1007)), "one has not left yet"
    assert {(record["outcome"], record["result"]) for record in records} == {("succeeded", True)}
    assert ran.bodies("offboard")[0].keys() == {"employee_id", "email", "last_day"}


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """The URL of a PostgreSQL with the HR table."""
    psycopg2 = pytest.importorskip("psycopg2")
    pytest.importorskip("airflow.providers.postgres")
    found = [Path(path).resolve().parent for path in map(shutil.which, ("postgres", "initdb", "pg_ctl")) if path]
    if len(found) < 3:
        pytest.skip("there is no PostgreSQL on this machine")
    as_nobody = []
    if os.geteuid() == 0:  # as whom it does not run
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        # Above it are directories of this user alone.
        home = Path(tempfile.mkdtemp(prefix="postgres-"))
        os.chown(home, 65534, 65534)
    else:
        home = tmp_path
    try:
        for command in (
            ["initdb", "--username=hr", "--auth=trust", "--no-sync", f"--pgdata={home}/data"],
            ["pg_ctl", f"--pgdata={home}/data", f"--log={home}/log", "--wait", "start", f"--options=-k {home} -h ''"],
        ):
            done = subprocess.run(
                [*as_nobody, *command], capture_output=True, text=True, check=False, cwd=home, timeout=100
            )
            assert done.returncode == 0, done.stdout + done.stderr
        with closing(psycopg2.connect(host=str(home), user="hr", dbname="postgres")) as connection:
            connection.cursor().execute(TABLE.read_text("utf-8"))
            connection.commit()
        yield f"postgres://hr@/postgres?host={quote(str(home), safe='')}"
    finally:
        stop = [*as_nobody, "pg_ctl", f"--pgdata={home}/data", "--mode=immediate", "stop"]
        subprocess.run(stop, capture_output=True, check=False, cwd=home)
        shutil.rmtree(home, ignore_errors=True)


@needs(OBJECT_STORAGE)
def test_the_offboarding_reads_the_hr_table_of_postgresql(airflow: dict[str, str], postgres: str) -> None:
    with LocalOrg() as org:
        org.add_flows(flows_that_keep_a_task_waiting())
        environment = {**airflow, **org.environment(), "AIRFLOW_CONN_HR_DATABASE": postgres}
        output = run_python(environment, "-m", "demo.run_dags", "okta_offboarding")

        assert [record["item"] for record in offboarded(org, output)] == list(range(1001, 1007))
        assert {run.body["last_day"] for run in org.flows["offboard"].runs} == {
            "2026-01-31",
            "2026-02-28",
            "2026-03-31",
        }


def test_each_request_has_a_key_of_its_own_and_all_share_a_token(ran: Ran) -> None:
    keys = [request.headers["idempotency-key"] for request in ran.org.log]
    assert len(keys) == len(set(keys))
    assert len(ran.org.token_requests) == 1


def test_each_task_links_to_its_execution(ran: Ran, airflow: dict[str, str]) -> None:
    org, links = ran.org, links_kept(airflow)
    for flow in ("hello", "create_account", "send_welcome"):
        (run_of_flow,) = org.flows[flow].runs
        assert links[flow] == {f"{org.url}/app#execution_id={run_of_flow.execution_id}"}
    # A deferred task of dag.test() is not given back the execution id of its run, and that of a question is another.
    assert links["provision"] == {f"{org.url}/app"}
    assert "Failed to push an xcom for task operator extra link" not in ran.output, (
        "Airflow had nothing to complain about"
    )


def test_the_dags_leave_no_secret_behind(ran: Ran, airflow: dict[str, str]) -> None:
    # Airflow 3.0 shows on this terminal what it is asked to mask.
    shown = "\n".join(line for line in ran.output.splitlines() if "MaskSecret(" not in line)
    kept = [
        shown.encode(),
        *(path.read_bytes() for path in Path(airflow["AIRFLOW_HOME"]).rglob("*") if path.is_file()),
    ]
    jwk = ran.org.private_jwk
    secrets = [
        *ran.org.tokens,
        *(jwk[name] for name in ("d", "p", "q", "dp", "dq", "qi")),
        *pem_of(jwk).splitlines()[1:-1],
    ]
    assert [secret[:8] for secret in secrets for text in kept if secret.encode() in text] == []
    assert any(b"create_account" in text for text in kept), "the search looks where Airflow keeps things"


def test_airflow_knows_the_provider_and_its_form(airflow: dict[str, str]) -> None:
    script = """
from airflow.cli.cli_parser import get_parser
for command in ("list", "hooks", "behaviours"):
    arguments = get_parser().parse_args(["providers", command, "--output", "plain"])
    print(f"== {command}", flush=True)
    arguments.func(arguments)
"""
    listed, hooks, behaviours = run_python(airflow, "-W", "ignore", "-c", script).split("== ")[1:]

    assert "airflow-provider-okta-workflows" in listed
    assert "okta_workflows" in hooks
    # Airflow 3.0 to 3.1 has none of any provider, unless Flask AppBuilder is there as well.
    known = [line.split()[0] for line in behaviours.splitlines() if line.split()[:1] in (["http"], ["okta_workflows"])]
    assert known in (["okta_workflows"], ["http", "okta_workflows"]) or "No data found" in behaviours


def test_airflow_shows_each_field_in_its_form(airflow: dict[str, str]) -> None:
    script = "import json; from tests.matrix.probe import form; print(); print(json.dumps(form()))"
    shown = printed_json(run_python(airflow, "-W", "ignore", "-c", script))

    assert sorted(shown["fields"]) == sorted(FORM["conn-fields"])
    assert shown["relabeled"].items() >= {"host": "Okta domain", "login": "Client ID"}.items()
    assert shown["relabeled"]["password"] == "Private key"
