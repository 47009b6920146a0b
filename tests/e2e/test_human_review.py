"""The example DAG with a person in it, run by a real Airflow: each question is answered through the REST API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.emulator.sample_flows import sample_flows
from tests.airflow_rest import READING_TIME, until
from tests.e2e.airflow_standalone import Airflow

# A whole Airflow, on two cores that may be busy.
pytestmark = pytest.mark.timeout(600)

DAG_ID = "okta_human_review"
CHOSEN = {
    "ada@example.com": "Keep",
    "alan@example.com": "Revoke",
    "grace@example.com": "Keep",
    "ken@example.com": "Revoke",
}
WAITING = ("awaiting_input", "deferred")
"""The state of a task that waits for a person: on Airflow 3.3+, and before."""


@pytest.fixture
def org() -> Iterator[LocalOrg]:
    with LocalOrg(key_type="rsa2048") as org:
        org.add_flows(sample_flows())
        yield org


@pytest.fixture
def airflow(org: LocalOrg, tmp_path: Path) -> Iterator[Airflow]:
    environment = {
        "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT": json.dumps(org.connection()),
        "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": str(tmp_path / "tokens"),
    }
    home = tmp_path / "home"
    home.mkdir()
    with Airflow(home, Path(__file__).parents[2] / "dags", environment, every=1) as airflow:
        yield airflow


def test_exactly_the_chosen_accounts_are_revoked_once(
    org: LocalOrg, airflow: Airflow, say: Callable[[str], None]
) -> None:
    run_id = airflow.trigger(DAG_ID, {"application": "ledger"})

    def decisions() -> dict[int, str]:
        tasks = airflow.tasks(DAG_ID, run_id)
        return {task["map_index"]: str(task["state"]) for task in tasks if task["task_id"] == "decide"}

    def all_asked() -> dict[int, dict[str, Any]] | None:
        waiting = [state for state in decisions().values() if state in WAITING]
        questions = airflow.mapped_questions(DAG_ID, run_id, "decide")
        return questions if len(waiting) == len(questions) == len(CHOSEN) else None

    questions = until(all_asked, 200, lambda: f"not all were asked: {airflow.states(DAG_ID, run_id)}", every=1)
    asked = {detail["subject"].split()[1]: (index, detail) for index, detail in questions.items()}
    assert set(asked) == set(CHOSEN)
    for email, (_, detail) in asked.items():
        assert detail["subject"] == f"Does {email} still need ledger?"
        assert (detail["options"], detail["defaults"]) == (["Keep", "Revoke"], ["Keep"])
    assert org.flows["revoke_access"].runs == [], "nothing is revoked before it is chosen"

    time.sleep(READING_TIME)
    for email, option in CHOSEN.items():
        airflow.answer(DAG_ID, run_id, "decide", option, map_index=asked[email][0])
    state = airflow.finished(DAG_ID, run_id, within=200)

    assert state == "success", airflow.failures(DAG_ID, run_id)
    (listed,) = org.flows["list_accounts"].runs
    assert listed.body == {"application": "ledger"}
    accounts = {
        account["email"]: account["id"] for account in json.loads(org.requests("list_accounts")[0].response)["accounts"]
    }
    revoked = [run.body for run in org.flows["revoke_access"].runs]
    expected = [
        {"account_id": accounts[email], "application": "ledger"}
        for email, option in CHOSEN.items()
        if option == "Revoke"
    ]
    assert sorted(revoked, key=str) == sorted(expected, key=str)
    assert len({run.idempotency_key for run in org.flows["revoke_access"].runs}) == len(expected)
    names = {task["rendered_map_index"] for task in airflow.tasks(DAG_ID, run_id) if task["task_id"] == "decide"}
    assert names == {f"Does {email} still need ledger?" for email in CHOSEN}
    say(f"{len(CHOSEN)} accounts, {len(expected)} revoked, each of them once")
