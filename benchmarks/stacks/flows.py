"""The flow for which the sensors wait."""

from typing import Any


def waiting(_request: Any) -> dict[str, str]:
    """Never come to an end."""
    return {"status": "RUNNING"}
