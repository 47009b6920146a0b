"""A virtual environment with only Airflow, outside the source tree, as a user of the wheel has it."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pages import ROOT, SCRIPTS

CONSTRAINTS = ROOT / "constraints.txt"


class BareEnvironment:
    """Virtual environment of this Python with Airflow as constraints.txt pins it.

    Its processes inherit no variables from this one, and run in a separate folder.

    :param folder: an empty folder
    """

    def __init__(self, folder: Path) -> None:
        self._scripts = folder / "venv" / "bin"
        self.home = folder / "home"
        self.home.mkdir()
        self._uv("venv", "--python", sys.executable, str(folder / "venv"))
        self.install("apache-airflow")

    def install(self, what: str | Path) -> None:
        """Install a package.

        :param what: its name or its file
        """
        python = str(self._scripts / "python")
        self._uv("pip", "install", "--python", python, "--constraint", str(CONSTRAINTS), str(what))

    def fits(self) -> str:
        """Return the output of ``uv pip check``, which fails if a package lacks a dependency."""
        return self._uv("pip", "check", "--python", str(self._scripts / "python"))

    def packages(self) -> set[str]:
        """Return the names of the installed packages."""
        listed = self._uv("pip", "list", "--format", "freeze", "--python", str(self._scripts / "python"))
        return {line.partition("==")[0].partition(" @ ")[0] for line in listed.splitlines()}

    def run(self, *command: str, **variables: str) -> str:
        """Run one of its programs, require exit code 0, and return what it printed to stdout.

        :param command: the program's name and its arguments
        :param variables: further environment variables
        """
        program, *arguments = command
        done = subprocess.run(
            [self._scripts / program, *arguments],
            cwd=self.home,
            env={**self._environment(), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def emulator(self) -> Iterator[dict[str, str]]:
        """Run ``okta-workflows emulator``, and yield the variable that it tells the user to set."""
        command: list[str | Path] = [self._scripts / "okta-workflows", "emulator"]
        with subprocess.Popen(
            command, cwd=self.home, env=self._environment(), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                (exported,) = re.findall(r"^export (.+)$", process.stdout.readline())
                name, _, value = shlex.split(exported)[0].partition("=")
                yield {name: value}
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=30)
        assert process.returncode == 0

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self._scripts}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }

    def _uv(self, *arguments: str) -> str:
        done = subprocess.run([SCRIPTS / "uv", *arguments], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr
