"""What the tests of the stacks share; they need an engine, and say so at once."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Fail, and do not skip, where there is no engine: whoever asks for these tests wants them run."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or error
            pytest.exit(f"{' '.join(command)}: {reason}. These tests need a running Docker engine with Compose.", 1)
