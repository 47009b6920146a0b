"""docs/local-org.md as a new user follows it: the emulator in one shell; commands, DAGs and tests in another."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.own_airflow import own_environment
from tests.pages import SCRIPTS, blocks, files, shown, write_files

PAGE = "docs/local-org.md"
EMULATOR, *LATER = [block for block in blocks(PAGE) if block.language == "console"]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of the second shell, while the emulator runs in the first; write the files of the page."""
    write_files(PAGE, tmp_path)
    environment = own_environment(tmp_path, PATH=f"{SCRIPTS}:{os.environ['PATH']}")
    ((command, page),) = EMULATOR.commands
    with subprocess.Popen(
        shlex.split(command), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as emulator:
        assert emulator.stdout is not None
        assert emulator.stderr is not None
        export = emulator.stdout.readline()
        assert shown(export + emulator.stderr.readline() + emulator.stderr.readline(), page)
        variable, _, value = shlex.split(export)[1].partition("=")
        yield {**environment, variable: value}
        emulator.send_signal(signal.SIGINT)
        _, told = emulator.communicate(timeout=30)
    assert 'hello: POST {"name":"Ada"}' in told


@pytest.mark.timeout(400)
def test_the_page_from_top_to_bottom(environment: dict[str, str], tmp_path: Path, say: Callable[[str], None]) -> None:
    assert {"dags/first_flow.py", "dags/onboarding.py", "tests/conftest.py", "tests/test_onboarding.py"} == set(
        files(PAGE)
    )
    began = time.monotonic()
    for block in LATER:
        for command, page in block.commands:
            done = subprocess.run(
                shlex.split(command),
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=300,
            )
            assert done.returncode == 0, f"{block}: {command}\n{done.stdout[-5000:]}"
            assert shown(done.stdout, page), f"{block}: {command}\n{done.stdout[-5000:]}"
            say(f"{time.monotonic() - began:.0f} s: {command}")
