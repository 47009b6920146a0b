"""`make demo` succeeds, prints each flow that the org received, and ends in a table for each DAG."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(200)
def test_the_demo_runs_each_dag() -> None:
    done = subprocess.run(["make", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=175, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    for flow in (
        "hello",
        "create_account",
        "add_to_group",
        "provision",
        "provision_status",
        "send_welcome",
    ):
        assert f"\n  {flow} " in done.stdout
    for dag, runs in (("first_flow", 1), ("onboarding", 6), ("access_review", 11), ("offboarding", 6)):
        word = "wanted run, 1 key" if runs == 1 else f"wanted runs, {runs} keys"
        assert f"okta_{dag}: {runs} {word}" in done.stdout
    assert "\x1b" not in done.stdout
    assert "1 token request(s)" in done.stdout
    assert "To run them against your own org:" in done.stdout
