"""The status flow that the sensors poll."""

from typing import Any


def waiting(_request: Any) -> dict[str, str]:
    """Report that the job is still running."""
    return {"status": "RUNNING"}
