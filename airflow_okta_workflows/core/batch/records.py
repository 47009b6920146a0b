"""The results of a batch's invocations, compact enough for a hundred thousand of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.flows.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_CHECKPOINTED_RESULT = 1_024
"""Bytes of JSON; a checkpoint omits a larger result, so that a page of forty items fits into Airflow's default
``[state_store] max_value_storage_bytes`` of 64 KiB, beyond which it logs a warning."""
_LONGEST_ERROR = 500
_LONGEST_NAME = 80
LOOK_AT_RECORDS = "OKW-1610: Look at each record's error in the XCom 'records', or in the file at records_path."
ERRORS_TOLD = 5
"""Number of errors that the error of a task, and the XCom of a batch with ``records_path``, contain."""


@dataclass(slots=True)
class BatchRecord:
    """The result of one invocation.

    :param outcome: the outcome
    :param status_code: the HTTP status, if there was a response
    :param execution_id: the id of the flow's execution, if the response has one
    :param result: the body, or what ``result`` selects from it
    :param error: why the invocation did not succeed, as a message for people
    """

    outcome: Outcome
    status_code: int | None = None
    execution_id: str | None = None
    result: Any = field(default=None, repr=False)
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON object, without the item's index and key."""
        return {
            "outcome": self.outcome.value,
            "status_code": self.status_code,
            "execution_id": self.execution_id,
            "result": self.result,
            "error": self.short_error,
        }

    @property
    def short_error(self) -> str | None:
        """The error, truncated to 500 characters."""
        if self.error is None or len(self.error) <= _LONGEST_ERROR:
            return self.error
        return self.error[: _LONGEST_ERROR - 1] + "…"

    def to_checkpoint(self) -> dict[str, Any]:
        """Return the record as a checkpoint: a JSON object without values that are None, and without a large result."""
        checkpoint = {name: value for name, value in self.to_json().items() if value is not None}
        size = len(json.dumps(self.result).encode())
        if size > LARGEST_CHECKPOINTED_RESULT:
            checkpoint["result"] = None
            checkpoint["error"] = (
                f"the result of {size} bytes was too large for a checkpoint, and the task was then cut off"
            )
        return checkpoint

    @classmethod
    def from_checkpoint(cls, stored: Mapping[str, Any]) -> BatchRecord:
        """Return the record that a checkpoint describes; its outcome is ``UNKNOWN`` if it cannot be parsed.

        :param stored: what :meth:`to_checkpoint` returned
        """
        try:
            outcome = Outcome(stored.get("outcome"))
        except ValueError:
            return cls(Outcome.UNKNOWN, error="stored by another version of this provider")
        return cls(
            outcome, stored.get("status_code"), stored.get("execution_id"), stored.get("result"), stored.get("error")
        )


def in_words(counts: Mapping[Outcome, int]) -> str:
    """Return counts as a phrase, such as ``590 succeeded, 7 failed, 3 unknown``.

    :param counts: the number of records with each outcome
    """
    words = {Outcome.NOT_SENT: "not sent"}
    parts = [f"{counts.get(one, 0)} {words.get(one, one.value)}" for one in Outcome if counts.get(one, 0)]
    return ", ".join(parts) or "nothing sent"


def item_label(index: int | None, name: str | int | None) -> str:
    """Return what a message calls an item, such as ``Item 3`` or ``Item 3 (ada@example.com)``.

    :param index: its position among the payloads; None if it is not among those of this try
    :param name: the value of ``item_key``, or None
    """
    text = "" if name is None else str(name)
    if not text.isprintable():
        text = ascii(text)[1:-1]
    if len(text) > _LONGEST_NAME:
        text = f"{text[: _LONGEST_NAME - 1]}…"
    return f"Item{'' if index is None else f' {index}'}{f' ({text})' if text else ''}"


def error_line(record: Mapping[str, Any]) -> str:
    """Return the error of a record on one line, such as ``Item 3: Flow 'onboard' returned 500``.

    :param record: the record as a JSON object
    """
    return f"{item_label(record.get('index'), record.get('item'))}: {_gist(str(record.get('error')))}"


def _gist(error: str) -> str:
    first, *rest = error.splitlines() or [""]
    return " ".join([first, *(line for line in rest if line.startswith("The flow says"))])
