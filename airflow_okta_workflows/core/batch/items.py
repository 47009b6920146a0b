"""The items of a batch: validated and encoded payloads, and their idempotency keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.batch.sources import Row
from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.flows.encoding import encode_payload, parse_text
from airflow_okta_workflows.core.flows.expressions import ExpressionError
from airflow_okta_workflows.core.flows.idempotency_key import packed_key
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.core.uuids import named_uuid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from airflow_okta_workflows.core.flows.expressions import Expression

PROBLEMS_SHOWN = 5
GIVE_A_LIST = "OKW-1504: Give a list of payloads, the XCom of a task that returns one, or a callable that does."
_NO_LISTS = (str, bytes, bytearray, memoryview, Mapping, set, frozenset)
"""Types that can be iterated over but are not lists of payloads. The order of a set, and with it the key of each item,
differs from one try of a task to the next."""


@dataclass(slots=True)
class BatchItem:
    """One invocation of a batch.

    :param index: the position among the payloads, from 0
    :param key: the idempotency key of the item's first run
    :param body: the encoded payload
    :param name: the value of ``item_key``; None without one
    """

    index: int
    key: str
    body: bytes = field(repr=False)
    name: str | int | None = None


@dataclass(frozen=True, slots=True)
class BadItem:
    """A payload that cannot be sent.

    :param index: the position among the payloads, from 0
    :param problem: why, with the line of a file or the position in a list
    :param name: the value of ``item_key``, if it is known
    """

    index: int
    problem: str
    name: str | int | None = None


def list_rows(payloads: Any) -> Iterator[Row]:
    """Return the rows of payloads that are in memory.

    :param payloads: JSON values, or a string of a JSON list of them
    :raises CoreError: if they are not a list
    """
    if isinstance(payloads, (str, bytes)):
        payloads = parse_text(payloads, "payloads")
    if isinstance(payloads, _NO_LISTS) or not isinstance(payloads, Iterable) or _has_members(payloads):
        fix = "OKW-1534: Give the frame itself, or .tolist() of a column." if hasattr(type(payloads), "to_dict") else ""
        raise configuration_error(
            f"payloads is of type {type(payloads).__name__}, not a list.",
            fix or GIVE_A_LIST,
        )
    return (Row(number, payload) for number, payload in enumerate(payloads))


def parse_items(
    rows: Iterable[Row], batch_key: str, item_key: Expression | None, unit: str = "Payload"
) -> Iterator[BatchItem | BadItem]:
    """Validate and encode the payloads of a batch, one at a time.

    The key of an item is derived from the key of the batch and the item's name: what ``item_key`` selects from the
    payload, or without ``item_key`` the position and the payload. It stays the same over all tries of a task.

    :param rows: the payloads
    :param batch_key: the idempotency key of the batch, a UUID
    :param item_key: selects a value that is unique among the payloads, or None
    :param unit: what a row's number counts, for messages
    """
    namespace = packed_key(batch_key)
    places: dict[str, int | str] = {}
    for index, row in enumerate(rows):
        name = None
        try:
            if row.problem:
                raise row.problem
            body = encode_payload(row.payload, "POST")
            if body is None or body == b"null":
                raise configuration_error("It is null.", "OKW-1503: Give {} for an empty payload.")
            if item_key is None:
                key = named_uuid(namespace, f"{index}:{hashlib.sha256(body).hexdigest()}")
            else:
                name = _name(body, item_key)
                key = named_uuid(namespace, json.dumps(name))
        except CoreError as error:
            yield BadItem(index, f"{unit} {row.place}: {error.one_line}")
            continue
        if key in places:
            yield BadItem(index, f"{unit}s {places[key]} and {row.place} have the same item_key.", name)
        else:
            places[key] = row.place
            yield BatchItem(index, key, body, name)


def bad_items_error(first: Sequence[str], bad: int, count: int) -> CoreError:
    """Return the error for payloads that cannot be sent.

    :param first: the first few problems
    :param bad: the number of payloads that cannot be sent
    :param count: the number of all payloads
    """
    more = [f"And {bad - len(first)} more."] if bad > len(first) else []
    return configuration_error(
        f"{bad} of {count} payloads cannot be sent.",
        "OKW-1502: Correct them, as the lines below say. Nothing was sent.",
        detail="\n".join([*first, *more]),
    )


def check_unchanged(missing: Collection[object]) -> None:
    """Raise if a checkpointed item is missing, since the items that were already sent could then not be recognized.

    :param missing: the keys of the items in the checkpoints of earlier tries that are not among the items of this try
    :raises CoreError: if there is one
    """
    if missing:
        raise configuration_error(
            f"The payloads have changed since an earlier try of this task: {len(missing)} that were sent are not among"
            " them.",
            "OKW-1501: Nothing was sent now. Give the same payloads to each try, such as the XCom of an earlier task."
            " To start over, clear the task; with item_key set to what identifies a payload, such as 'email', later"
            " retries recognize the sent ones.",
        )


def check_item_key(earlier: str | None, item_key: str | None) -> None:
    """Raise if ``item_key`` is not what it was, since the items that were already sent could then not be recognized.

    :param earlier: the expression of the tries whose checkpoints exist; None if they had none
    :param item_key: the expression of this try, or None
    :raises CoreError: if they differ
    """
    if earlier != item_key:
        before, now = (shown(one, 20) if one else "not set" for one in (earlier, item_key))
        raise configuration_error(
            f"item_key has changed since an earlier try of this task: it was {before} and is {now}.",
            "OKW-1565: Nothing was sent now. Set item_key as it was until this run has succeeded, so that the items"
            " that were sent are recognized. To start over, clear the task.",
        )


def _name(body: bytes, item_key: Expression) -> str | int:
    try:
        # Search the encoded payload: JMESPath would select nothing from a tuple or a string of JSON.
        value = item_key.search(json.loads(body.decode()))
    except ExpressionError:
        raise configuration_error(f"item_key {shown(item_key.text)} cannot be evaluated over it.") from None
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        given = "an empty text" if value == "" else type(value).__name__
        raise configuration_error(
            f"item_key {shown(item_key.text)} gives {given}, neither a string nor a whole number."
        )
    return value


def _has_members(value: object) -> bool:
    """Return whether a value can be iterated over but is an object or a column: a model, or a series of pandas."""
    return any(hasattr(type(value), name) for name in ("to_dict", "model_dump", "__fields__"))
