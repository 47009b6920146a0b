"""The Celery overlay with a user's own org: workers and triggerers may die, and no flow runs twice."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.airflow_rest import until
from tests.compose.held_flows import PROVISIONING_MAY_END
from tests.compose.stack import Stack

USER = os.getuid() or 12345
"""Id of a user other than the image's: the key file belongs to a user of this machine, who alone can read it."""

DAG = "okta_onboarding"
TASKS_BEFORE_THE_WAIT = 6
PEOPLE = ("ada", "alan", "barbara", "grace")
MEANT_TO_RUN = {
    "create_account": len(PEOPLE),
    "add_to_group": 3 * len(PEOPLE),
    "start_provisioning": len(PEOPLE),
    "send_welcome": len(PEOPLE),
}

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


def test_a_worker_and_a_triggerer_die_and_no_flow_runs_twice(stack: Stack, say: Callable[[str], None]) -> None:
    before = stack.org_counts("org")["token_requests"]
    waiting = onboard(stack, PEOPLE[:2])
    moving: list[str] = []

    def triggerers() -> list[str]:
        """Return the triggerers in which the sensors wait, once nothing else is left to do for these people."""
        tasks = [task for run in waiting for task in stack.airflow.tasks(DAG, run)]
        deferred = [task["triggerer_job"]["hostname"] for task in tasks if task["triggerer_job"]]
        done = sum(task["state"] == "success" for task in tasks)
        return deferred if len(deferred) == len(waiting) and done == TASKS_BEFORE_THE_WAIT * len(waiting) else []

    def workers() -> list[str]:
        """Return the workers that run a task for the second group of people."""
        tasks = [task for run in moving for task in stack.airflow.tasks(DAG, run)]
        return [task["hostname"] for task in tasks if task["state"] == "running" and task["hostname"]]

    def states() -> str:
        return f"no run came to its middle: {[stack.airflow.states(DAG, run) for run in waiting + moving]}"

    triggerer = until(triggerers, 200, states)[0]
    moving += onboard(stack, PEOPLE[2:])
    worker, *others = until(workers, 200, states)
    subprocess.run(["docker", "kill", worker, triggerer], check=True, capture_output=True)
    stack.run("org", "touch", str(PROVISIONING_MAY_END))

    ends = {run: stack.airflow.finished(DAG, run, 400) for run in waiting + moving}
    counts = stack.org_counts("org")
    retried = sum(task["try_number"] > 1 for run in ends for task in stack.airflow.tasks(DAG, run))
    say(f"a worker and a triggerer killed: runs end {list(ends.values())}, {retried} tasks tried again")
    ran = {name: counts["flows"][name]["runs"] for name in MEANT_TO_RUN}
    assert {counts["flows"][name]["most_runs_of_a_key"] for name in MEANT_TO_RUN} == {1}
    assert {ends[run] for run in waiting} == {"success"}, "of these no invocation was on its way"
    # If an invocation was in flight, its task cannot know whether the flow ran: it must say so, and not send again.
    failures = {run: stack.airflow.failures(DAG, run) for run in ends}
    told = [log for logs in failures.values() for log in logs]
    assert [log[-3000:] for log in told if "OktaFlowOutcomeUnknownError" not in log] == []
    assert ends == {run: "failed" if logs else "success" for run, logs in failures.items()}
    assert len(told) <= 1 + others.count(worker), "of the tasks of the worker that died, and of no other"
    assert all(ran[name] <= MEANT_TO_RUN[name] for name in MEANT_TO_RUN)
    assert told or ran == MEANT_TO_RUN
    # Without those of the earlier checks, which request tokens of their own.
    assert counts["token_requests"] - before <= 1, "three workers, a scheduler and two triggerers share one token"
    assert stack.org_counts()["token_requests"] == 0, "the local org was not asked"


def onboard(stack: Stack, people: Iterable[str]) -> list[str]:
    """Start a run for each person, and return the ids of the runs."""
    return [stack.airflow.trigger(DAG, {"email": f"{name}@example.com", "name": name}) for name in people]


def test_the_other_dags_run_on_the_workers_that_are_left(stack: Stack) -> None:
    runs = {dag: stack.airflow.trigger(dag) for dag in ("okta_first_flow", "okta_access_review")}

    assert {stack.airflow.finished(dag, run, 240) for dag, run in runs.items()} == {"success"}
    flows = stack.org_counts("org")["flows"]
    assert flows["hello"]["runs"] == 1
    assert flows["review_access"]["runs"] == 10
