"""The Celery overlay with a user's own org: workers and triggerers may die, and no flow runs twice."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.airflow_rest import until
from tests.compose.held_flows import FLOWS_MAY_END
from tests.compose.stack import Stack

USER = os.getuid() or 12345
"""Id of a user other than the image's: the key file belongs to a user of this machine, who alone can read it."""

DAG = "okta_onboarding"
TASKS_BESIDE_PROVISIONING = 5
"""Tasks that succeed while provisioning runs: create_account, memberships and three add_to_group."""
IN_FLIGHT = {("barbara", "provision"), ("grace", "create_account")}
"""The invocations during which workers are killed: one of a flow that has a status flow, one of a flow without."""
MEANT_TO_RUN = {"create_account": 4, "add_to_group": 9, "provision": 3, "send_welcome": 3}
"""Runs of each flow for ada, alan, barbara and grace; for grace nothing runs after her account."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("stack")
    files = ("docker-compose.yaml", "docker-compose.celery.yaml", "tests/compose/strict-org.yaml")
    name = f"okta-celery-{secrets.token_hex(3)}"
    with Stack(name, directory, *files, AIRFLOW_UID=str(USER)) as stack:
        stack.configure(TASK_HEARTBEAT_TIMEOUT="20", TASK_QUEUED_TIMEOUT="60", **certificates(directory))
        stack.compose("build")
        stack.compose("up", "--wait", "--no-deps", "org")
        stack.configure(**settings_for_the_org(stack, directory))
        stack.up("--scale=airflow-worker=3")
        yield stack


def certificates(directory: Path) -> dict[str, str]:
    authority = trustme.CA()
    certificate = authority.issue_cert("login.acme.test", "acme.workflows.test")
    (directory / "ca.pem").write_bytes(authority.cert_pem.bytes())
    (directory / "org.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    (directory / "org.key").write_bytes(certificate.private_key_pem.bytes())
    own(directory / "org.key")
    return {
        "OKTA_CA_FILE": str(directory / "ca.pem"),
        "ORG_CERTIFICATE": str(directory / "org.pem"),
        "ORG_CERTIFICATE_KEY": str(directory / "org.key"),
    }


def settings_for_the_org(stack: Stack, directory: Path) -> dict[str, str]:
    """Return what a user writes into .env after setting up an app in Okta."""
    connection = stack.kept_connection("org")
    (directory / "okta-key.jwk").write_text(connection["password"])
    own(directory / "okta-key.jwk")
    return {
        "OKTA_DOMAIN": "login.acme.test:8443",
        "OKTA_WORKFLOWS_HOST": "acme.workflows.test:8443",
        "OKTA_CLIENT_ID": connection["login"],
        "OKTA_KEY_FILE": str(directory / "okta-key.jwk"),
        "OKTA_FLOWS": " ".join(f"{name}={alias}" for name, alias in connection["extra"]["flows"].items()),
    }


def own(path: Path) -> None:
    """Make a file readable only for the user of the stack."""
    path.chmod(0o600)
    if os.getuid() == 0:
        os.chown(path, USER, -1)


def test_every_service_is_healthy(stack: Stack) -> None:
    health = stack.health()

    assert {name for name in health if name.startswith("airflow-worker")} == {f"airflow-worker-{n}" for n in (1, 2, 3)}
    assert {name for name in health if name.startswith("airflow-triggerer")} == {
        f"airflow-triggerer-{n}" for n in (1, 2)
    }
    assert health.pop("airflow-init-1") == "exited 0"
    assert set(health.values()) == {"healthy"}
    assert stack.run("redis", "id", "-un").strip() == "redis"


def test_the_key_stays_in_its_file(stack: Stack) -> None:
    key = json.loads(stack.kept_connection("org")["password"])["d"]

    assert "granted for 3600 s" in stack.logs("airflow-init"), "the org was asked before anything else started"
    assert key not in stack.logs()
    check = stack.run("airflow-scheduler", "okta-workflows", "check", "--output", "json")
    assert json.loads(check)["good"] is True
    assert "from the key file /run/secrets/okta_key" in check
    assert key not in stack.database()


def test_workers_and_a_triggerer_die_and_no_flow_runs_twice(stack: Stack, say: Callable[[str], None]) -> None:
    before = stack.org_counts("org")["token_requests"]
    runs = {name: onboard(stack, name) for name in ("ada", "alan")}

    def triggerers() -> list[str]:
        """Return the triggerers in which two tasks wait for provisioning, once nothing else is left to do."""
        tasks = [task for name in ("ada", "alan") for task in stack.airflow.tasks(DAG, runs[name])]
        waiting = [task["triggerer_job"]["hostname"] for task in tasks if task["triggerer_job"]]
        done = sum(task["state"] == "success" for task in tasks)
        return waiting if len(waiting) == 2 and done == 2 * TASKS_BESIDE_PROVISIONING else []

    def workers() -> set[str]:
        """Return the workers whose tasks wait for the response of a flow that has run, once nothing else is going on."""
        tasks = {name: stack.airflow.tasks(DAG, runs[name]) for name in ("barbara", "grace")}
        running = {
            (name, task["task_id"], task["hostname"])
            for name in tasks
            for task in tasks[name]
            if task["state"] == "running"
        }
        done = sum(task["state"] == "success" for name in tasks for task in tasks[name])
        in_flight = {(name, task_id) for name, task_id, _ in running} == IN_FLIGHT and ran(stack, "create_account") == 4
        return {host for _, _, host in running} if in_flight and done == TASKS_BESIDE_PROVISIONING else set()

    def states() -> str:
        return f"no run came to its middle: {[stack.airflow.states(DAG, run) for run in runs.values()]}"

    triggerer = until(triggerers, 200, states)[0]
    # A response is held for 60 seconds at most, so grace starts only once barbara's provisioning is under way.
    runs["barbara"] = onboard(stack, "barbara")
    until(lambda: ran(stack, "provision") == 3, 200, states)
    runs["grace"] = onboard(stack, "grace")
    subprocess.run(["docker", "kill", triggerer, *until(workers, 200, states)], check=True, capture_output=True)
    stack.run("org", "touch", str(FLOWS_MAY_END))

    ends = {name: stack.airflow.finished(DAG, run, 400) for name, run in runs.items()}
    retried = {
        (name, task["task_id"])
        for name, run in runs.items()
        for task in stack.airflow.tasks(DAG, run)
        if task["try_number"] > 1
    }
    say(f"workers and a triggerer killed: runs end {ends}, tried again: {sorted(retried)}")
    told = {name: stack.airflow.failures(DAG, run) for name, run in runs.items() if ends[name] == "failed"}
    # Whether grace's account was created, only a status flow could tell: the task must say so, and not send again.
    assert list(told) == ["grace"], told
    (log,) = told["grace"]
    assert "OktaFlowOutcomeUnknownError" in log, log[-3000:]
    assert retried >= IN_FLIGHT, "both were killed before they had a response"
    counts = stack.org_counts("org")
    assert {name: counts["flows"][name]["runs"] for name in MEANT_TO_RUN} == MEANT_TO_RUN
    assert {counts["flows"][name]["most_runs_of_a_key"] for name in MEANT_TO_RUN} == {1}
    # Without those of the earlier checks, which request tokens of their own.
    assert counts["token_requests"] - before <= 1, "three workers, a scheduler and two triggerers share one token"
    assert stack.org_counts()["token_requests"] == 0, "the local org was not asked"


def onboard(stack: Stack, name: str) -> str:
    """Start a run for a person, and return its id."""
    return stack.airflow.trigger(DAG, {"email": f"{name}@example.com", "name": name})


def ran(stack: Stack, flow: str) -> int:
    """Return how many times a flow of the user's org has run."""
    runs: int = stack.org_counts("org")["flows"][flow]["runs"]
    return runs


def test_the_other_dags_run_on_the_workers_that_are_left(stack: Stack) -> None:
    runs = {dag: stack.airflow.trigger(dag) for dag in ("okta_first_flow", "okta_access_review")}

    assert {stack.airflow.finished(dag, run, 240) for dag, run in runs.items()} == {"success"}
    flows = stack.org_counts("org")["flows"]
    assert flows["hello"]["runs"] == 1
    assert flows["review_access"]["runs"] == 10


def test_all_containers_share_one_pace(stack: Stack) -> None:
    """After the runs above, which have invoked each of these flows."""
    look = 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli -n 1 --scan --pattern "okta-workflows:pace:*"'
    keys = stack.run("redis", "sh", "-c", look).split()

    ran = [name for name, counts in stack.org_counts("org")["flows"].items() if counts["runs"]]
    assert len(keys) >= len(ran) > 0
