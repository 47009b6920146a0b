"""The okta SDK from the package index, in its own virtual environment because its pins differ from ours."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.places import CACHE

REQUIREMENTS = Path(__file__).with_name("okta_sdk_requirements.txt")
SCRIPT = Path(__file__).with_name("okta_sdk_script.py")


def sdk_version() -> str:
    """Return the pinned version of the SDK."""
    lines = REQUIREMENTS.read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("okta=="))


def sdk_python() -> Path:
    """Return the interpreter that has the SDK; build its environment if it is missing.

    :raises RuntimeError: if the environment cannot be built
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / f"okta-sdk-{digest}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        uv = [sys.executable, "-m", "uv", "--quiet"]
        for command in (
            [*uv, "venv", "--clear", "--python", sys.executable, str(folder)],
            [*uv, "pip", "install", "--compile-bytecode", "--python", str(python), "--requirement", str(REQUIREMENTS)],
        ):
            built = subprocess.run(command, capture_output=True, text=True, check=False)
            if built.returncode != 0:
                raise RuntimeError(f"the okta SDK could not be installed: {built.stderr[-2000:]}")
        done.touch()
    return python
