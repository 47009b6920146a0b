"""Paths of the benchmarks' files."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".bench"
"""Folder of disposable files: the peers' environments, the log of the last run."""
LOG = CACHE / "last-run.log"
PAGE = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
