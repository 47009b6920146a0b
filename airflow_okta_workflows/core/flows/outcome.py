"""What came of one invocation."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """What came of an invocation, as far as it is known."""

    SUCCEEDED = "succeeded"
    """The flow ran, and its answer satisfies."""
    FAILED = "failed"
    """The flow ran and failed, or its answer does not satisfy: another run may be asked for."""
    UNKNOWN = "unknown"
    """It was sent, and nobody knows whether the flow has run, or what it answered."""
    NOT_SENT = "not_sent"
    """It was not sent, or was refused before the flow ran."""
