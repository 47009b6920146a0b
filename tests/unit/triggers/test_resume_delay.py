from __future__ import annotations

import pytest

from airflow_okta_workflows.triggers.resume_delay import resume_not_before

NOW = 1_800_000_000.0


@pytest.mark.parametrize("heartbeat", ["1", "5", "0.5", "30"])
def test_a_task_is_not_back_before_its_supervisor_has_gone(monkeypatch: pytest.MonkeyPatch, heartbeat: str) -> None:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", heartbeat)

    assert NOW + float(heartbeat) < resume_not_before(NOW) <= NOW + float(heartbeat) + 2


def test_airflows_own_heartbeat_is_five_seconds() -> None:
    assert NOW + 5 < resume_not_before(NOW) <= NOW + 7
