"""Fixtures of the distribution tests: the files that ``make dist`` builds before it runs these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import ROOT


def built(pattern: str) -> Path:
    """Return the only file in dist/ that matches a pattern.

    :param pattern: glob pattern of its name
    """
    found = list((ROOT / "dist").glob(pattern))
    assert len(found) == 1, f"dist/ has {len(found)} files {pattern}; `make dist` builds one"
    return found[0]


@pytest.fixture(scope="session")
def wheel() -> Path:
    return built("*.whl")


@pytest.fixture(scope="session")
def sdist() -> Path:
    return built("*.tar.gz")
