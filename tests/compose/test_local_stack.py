"""The stack of ``docker compose up``: an Airflow with the example DAGs, and a local org that it is connected to."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.core.keys.generation import pem_of
from tests.airflow_rest import READING_TIME, until
from tests.compose.stack import ROOT, Stack, page_after_sign_in

DAGS = ("okta_first_flow", "okta_onboarding", "okta_access_review", "okta_offboarding")
"""The examples that need no person."""
SERVICES = {"postgres", "okta", "airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    name = f"okta-local-{secrets.token_hex(3)}"
    with Stack(name, tmp_path_factory.mktemp("stack"), "docker-compose.yaml") as stack:
        stack.up()
        yield stack


def test_every_service_is_healthy_and_the_first_one_has_ended(stack: Stack) -> None:
    assert stack.health() == {**{f"{name}-1": "healthy" for name in SERVICES}, "airflow-init-1": "exited 0"}


def test_without_settings_nothing_starts_and_the_missing_one_is_named(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")

    for setting in ("AIRFLOW_ADMIN_USER", "FERNET_KEY", "POSTGRES_PASSWORD"):
        lines = [line for line in stack.env_file.read_text().splitlines() if not line.startswith(f"{setting}=")]
        (tmp_path / ".env").write_text("\n".join(lines))
        done = subprocess.run(
            ["docker", "compose", "--file", ROOT / "docker-compose.yaml", "--env-file", tmp_path / ".env", "config"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert setting.removeprefix("AIRFLOW_") in done.stderr
        assert "make compose-env" in done.stderr


def test_the_image_holds_the_wheel_and_nothing_that_built_it(stack: Stack) -> None:
    found = stack.run("airflow-scheduler", "pip", "list", "--format=freeze").splitlines()
    names = {line.partition("==")[0].lower() for line in found}

    assert "apache-airflow==3.3.2" in found
    assert "airflow-provider-okta-workflows" in names
    assert names.isdisjoint({"hatchling", "hatch-fancy-pypi-readme", "build"})
    assert stack.run("airflow-scheduler", "sh", "-c", "find / -name '*okta_workflows*.whl' 2>/dev/null || true") == ""
    assert "site-packages" in stack.run(
        "airflow-scheduler", "python", "-c", "import airflow_okta_workflows as package; print(package.__file__)"
    )


def test_nothing_runs_as_root_or_can_be_reached_from_elsewhere(stack: Stack) -> None:
    for service in SERVICES:
        users = {line.split()[1] for line in stack.run(service, "cat", "/proc/1/status").splitlines() if "Uid:" in line}
        assert users.isdisjoint({"0"}), service
    published = {
        binding["HostIp"]
        for container in stack.containers()
        for bindings in container["NetworkSettings"]["Ports"].values()
        for binding in bindings or []
    }
    assert published == {"127.0.0.1"}


def test_only_the_user_of_the_settings_signs_in(stack: Stack) -> None:
    name, password = stack.setting("AIRFLOW_ADMIN_USER"), stack.setting("AIRFLOW_ADMIN_PASSWORD")

    with pytest.raises(KeyError):
        stack.airflow.sign_in(name, "another")
    stack.airflow.sign_in(name, password)
    assert "Invalid login" in page_after_sign_in(stack.airflow.url, name, "another").text
    page = page_after_sign_in(stack.airflow.url, name, password)
    assert page.url.rstrip("/") == stack.airflow.url
    assert "/auth/login" not in page.url


def test_the_example_dags_run_and_each_flow_once(stack: Stack) -> None:
    runs = {dag: stack.airflow.trigger(dag) for dag in DAGS}

    assert {dag: stack.airflow.finished(dag, run, 240) for dag, run in runs.items()} == dict.fromkeys(DAGS, "success")
    counts = stack.org_counts()
    flows = counts["flows"]
    once = ("hello", "create_account", "provision", "send_welcome")
    assert {name: flows[name]["runs"] for name in once} == dict.fromkeys(once, 1)
    assert flows["add_to_group"]["runs"] == 3
    assert flows["review_access"]["runs"] == 10
    assert flows["offboard"]["runs"] == 6
    assert {flow["most_runs_of_a_key"] for flow in flows.values() if flow["runs"]} == {1}
    assert counts["token_requests"] == 1, "all containers share one token"
    assert stack.airflow.xcom("okta_first_flow", runs["okta_first_flow"], "hello") == {"greeting": "Hello, Ada!"}


def test_the_human_review_waits_for_a_person_and_keeps_what_is_not_revoked(stack: Stack) -> None:
    dag_id = "okta_human_review"
    run_id = stack.airflow.trigger(dag_id)

    def all_asked() -> dict[int, dict[str, Any]] | None:
        questions = stack.airflow.mapped_questions(dag_id, run_id, "decide")
        return questions if len(questions) == 4 else None

    questions = until(all_asked, 120, lambda: f"not all were asked: {stack.airflow.states(dag_id, run_id)}")
    # An answer before the scheduler has heard that the worker's process ended counts as a failure of the task.
    time.sleep(READING_TIME)
    for index in questions:
        stack.airflow.answer(dag_id, run_id, "decide", "Revoke" if index == 1 else "Keep", map_index=index)

    assert stack.airflow.finished(dag_id, run_id, 120) == "success"
    assert stack.org_counts()["flows"]["revoke_access"]["runs"] == 1


def test_no_secret_is_in_a_log_or_in_the_database(stack: Stack) -> None:
    jwk = json.loads(stack.kept_connection()["password"])
    secret_settings = ("FERNET_KEY", "API_SECRET_KEY", "JWT_SECRET", "AIRFLOW_ADMIN_PASSWORD", "POSTGRES_PASSWORD")
    secret = [jwk["d"], *pem_of(jwk).splitlines()[1:-1], *(stack.setting(name) for name in secret_settings)]
    kept = {
        "the services' logs": stack.logs(),
        "the tasks' logs": stack.run("airflow-scheduler", "sh", "-c", "find /opt/airflow/logs -type f | xargs cat"),
        "the database": stack.database(),
        "the lists of processes": "".join(
            stack.run(service, "sh", "-c", "cat /proc/[0-9]*/cmdline") for service in SERVICES
        ),
    }

    assert [(place, text[:6]) for place, found in kept.items() for text in secret if text in found] == []
    assert "okta_workflows_default" in kept["the database"], "the search looks where things are kept"
    assert "create_account" in kept["the tasks' logs"]


def test_what_is_in_volumes_outlives_the_containers(stack: Stack) -> None:
    before = stack.kept_connection()
    stack.compose("rm", "--stop", "--force", "postgres", "okta")
    stack.compose("up", "--wait", "--no-deps", "postgres", "okta")

    run = stack.airflow.trigger("okta_first_flow")
    assert stack.airflow.finished("okta_first_flow", run, 120) == "success"
    assert stack.kept_connection() == before
    assert stack.org_counts()["flows"]["hello"]["runs"] == 1, "the org counts from its start; key and aliases are kept"


def test_what_the_provider_costs_here(stack: Stack, say: Callable[[str], None]) -> None:
    script = "TIMEFORMAT=%R; { time airflow providers list --output plain; } 2>&1"
    *listed, seconds = stack.run("airflow-scheduler", "bash", "-c", script).splitlines()

    assert any("airflow-provider-okta-workflows" in line for line in listed)
    say(f"airflow providers list: {seconds} s")
    for dag in DAGS:
        say(f"{dag}: parsed in {stack.airflow.dag(dag)['last_parse_duration']:.2f} s")
