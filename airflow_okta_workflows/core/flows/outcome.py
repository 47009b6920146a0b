"""The outcome of one invocation."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """The outcome of an invocation, as far as it is known."""

    SUCCEEDED = "succeeded"
    """The flow ran, and its response meets the task's conditions."""
    FAILED = "failed"
    """The flow ran and failed, or its response does not meet the conditions; a retry may request another run."""
    UNKNOWN = "unknown"
    """The invocation was sent, but whether the flow ran, or what it returned, is unknown."""
    NOT_SENT = "not_sent"
    """The invocation was not sent, or was refused before the flow ran."""

    # By identity, as members are compared: a batch counts each item by its outcome, and Enum's own is slow.
    __hash__ = object.__hash__
