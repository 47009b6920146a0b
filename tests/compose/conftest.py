"""Fixtures of the tests of the stacks, which end at once where there is no Docker engine."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Fail instead of skipping where there is no engine, because these tests run only on request."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or error
            pytest.exit(f"{' '.join(command)}: {reason}. These tests need a running Docker engine with Compose.", 1)
