"""What came of each invocation of a batch, small enough to keep a hundred thousand of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.flows.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LARGEST_NOTED_RESULT = 1_024
"""Bytes of JSON; a larger result is noted without itself, so that forty items fit into what Airflow stores gladly."""
_LONGEST_ERROR = 500
_ERRORS_TOLD = 5


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What came of one invocation.

    :param outcome: what came of it
    :param status_code: the HTTP status, if there was an answer
    :param execution_id: the id of the flow's execution, if one was told
    :param result: the body, or what ``result`` selects of it
    :param error: why it did not succeed, for people
    """

    outcome: Outcome
    status_code: int | None = None
    execution_id: str | None = None
    result: Any = field(default=None, repr=False)
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object, but for index and key."""
        return {
            "outcome": self.outcome.value,
            "status_code": self.status_code,
            "execution_id": self.execution_id,
            "result": self.result,
            "error": self.short_error,
        }

    @property
    def short_error(self) -> str | None:
        """Return the error, cut off where it is longer than anybody reads."""
        if self.error is None or len(self.error) <= _LONGEST_ERROR:
            return self.error
        return self.error[: _LONGEST_ERROR - 1] + "…"

    def to_checkpoint(self) -> dict[str, Any]:
        """Return the record as it is noted: without what is None, and without a large result."""
        note = {name: value for name, value in self.to_json().items() if value is not None}
        size = len(json.dumps(self.result).encode())
        if size > LARGEST_NOTED_RESULT:
            note["result"] = None
            note["error"] = f"the result of {size} bytes was too large to be noted, and the task was then cut off"
        return note

    @classmethod
    def from_checkpoint(cls, note: Mapping[str, Any]) -> BatchRecord:
        """Read a noted record; what cannot be understood is of unknown outcome.

        :param note: what :meth:`to_checkpoint` gave
        """
        try:
            outcome = Outcome(note.get("outcome"))
        except ValueError:
            return cls(Outcome.UNKNOWN, error="noted by another version of this provider")
        return cls(outcome, note.get("status_code"), note.get("execution_id"), note.get("result"), note.get("error"))


def count(records: Iterable[BatchRecord]) -> Counter[Outcome]:
    """Return how many records there are of each outcome.

    :param records: the records
    """
    return Counter(record.outcome for record in records)


def in_words(counts: Mapping[Outcome, int]) -> str:
    """Return counts for people, such as ``590 succeeded, 7 failed, 3 unknown``.

    :param counts: how many there are of each outcome
    """
    words = {Outcome.NOT_SENT: "not sent"}
    parts = [f"{counts.get(one, 0)} {words.get(one, one.value)}" for one in Outcome if counts.get(one, 0)]
    return ", ".join(parts) or "nothing sent"


def first_errors(records: Sequence[BatchRecord]) -> list[str]:
    """Return for people what the first few ended with that did not succeed, such as ``Item 3: the flow answered 500``.

    :param records: the records, in the order of the payloads
    """
    errors = (f"Item {i}: {one.short_error}" for i, one in enumerate(records) if one.outcome is not Outcome.SUCCEEDED)
    return list(islice(errors, _ERRORS_TOLD))
