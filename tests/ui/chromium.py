"""Search for the browser of these tests, and its installation where possible; ``make test-ui`` runs this first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SKIPPED = """
########################################################################################
# SKIPPED: the tests of Airflow's UI. There is no Chromium, and it cannot be installed #
# here. Install Chromium or Chrome, or name it: make test-ui CHROMIUM=/path/to/it      #
########################################################################################
"""


def find_chromium() -> str | None:
    """Return the path of Chromium or Chrome, which the variable ``CHROMIUM`` can set; None if there is none."""
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def install_chromium() -> None:
    """Install Debian's Chromium if this is root on a system with apt-get; otherwise do nothing."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    print("== installing chromium", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "chromium", "fonts-liberation"]):
        subprocess.run(["apt-get", "-qq", *arguments], env=environment, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    if find_chromium() is None and "CHROMIUM" not in os.environ:
        install_chromium()
    if find_chromium() is None:
        sys.exit(_SKIPPED)
