"""Description of the machine and the package versions, without which a figure means nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "airflow-provider-okta-workflows",
    "apache-airflow",
    "apache-airflow-providers-http",
    "aiohttp",
    "requests",
    "PyJWT",
    "cryptography",
)


def describe_machine() -> str:
    """Return the processor, its core count, the memory, the operating system and the Python version."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory,"
        f" {platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def describe_versions() -> str:
    """Return the versions of the measured packages."""
    return ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
