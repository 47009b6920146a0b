"""Where the benchmarks keep things."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".bench"
"""What may be thrown away: the peers' environments, the log of the last run."""
LOG = CACHE / "last-run.log"
PAGE = ROOT / "docs" / "performance.md"
