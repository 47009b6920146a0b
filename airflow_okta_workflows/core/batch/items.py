"""The items of a batch: validated and encoded payloads, and their idempotency keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.flows.encoding import encode_payload, parse_text
from airflow_okta_workflows.core.flows.expressions import ExpressionError
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_okta_workflows.core.flows.expressions import Expression

_PROBLEMS_SHOWN = 5
_NO_LISTS = (str, bytes, bytearray, memoryview, Mapping, set, frozenset)
"""Types that can be iterated over but are not lists of payloads. The order of a set, and with it the key of each item,
differs from one try of a task to the next."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One invocation of a batch.

    :param index: the position among the payloads, from 0
    :param key: the idempotency key of the item's first run
    :param body: the encoded payload
    """

    index: int
    key: str
    body: bytes = field(repr=False)


def parse_items(payloads: Any, batch_key: str, item_key: Expression | None) -> list[BatchItem]:
    """Validate and encode all payloads of a batch.

    The key of an item is derived from the key of the batch and the item's name: what ``item_key`` selects from the
    payload, or without ``item_key`` the position and the payload. It stays the same over all tries of a task.

    :param payloads: JSON values, or a string of a JSON list of them
    :param batch_key: the idempotency key of the batch, a UUID
    :param item_key: selects a value that is unique among the payloads, or None
    :raises CoreError: if any payload cannot be sent; the message names the first few
    """
    if isinstance(payloads, (str, bytes)):
        payloads = parse_text(payloads, "payloads")
    if isinstance(payloads, _NO_LISTS) or not isinstance(payloads, Iterable) or _has_members(payloads):
        fix = "OKW-1534: Use .to_dict('records')." if hasattr(type(payloads), "to_dict") else ""
        raise configuration_error(
            f"payloads is of type {type(payloads).__name__}, not a list.",
            fix or "OKW-1504: Give a list of payloads, the XCom of a task that returns one, or a callable that does.",
        )
    namespace = UUID(batch_key)
    items: list[BatchItem] = []
    problems: list[str] = []
    places: dict[str, int] = {}
    for index, payload in enumerate(payloads):
        try:
            body = encode_payload(payload, "POST")
            if body is None or body == b"null":
                raise configuration_error("It is null.", "OKW-1503: Give {} for an empty payload.")
            name = _name(index, body, item_key)
        except CoreError as error:
            problems.append(f"Payload {index}: {error.one_line}")
            continue
        if (first := places.setdefault(name, index)) != index:
            problems.append(f"Payloads {first} and {index} have the same item_key.")
        items.append(BatchItem(index, str(uuid5(namespace, name)), body))
    if problems:
        more = [f"And {len(problems) - _PROBLEMS_SHOWN} more."] if len(problems) > _PROBLEMS_SHOWN else []
        raise configuration_error(
            f"{len(problems)} of {index + 1} payloads cannot be sent.",
            "OKW-1502: Correct them, as the lines below say. Nothing was sent.",
            detail="\n".join([*problems[:_PROBLEMS_SHOWN], *more]),
        )
    return items


def check_unchanged(items: Sequence[BatchItem], earlier: Iterable[str]) -> None:
    """Raise if a checkpointed item is missing, since the items that were already sent could then not be recognized.

    :param items: the items of this try
    :param earlier: the keys of the items in the checkpoints of earlier tries
    :raises CoreError: if one of these keys is not among the items
    """
    gone = len(set(earlier).difference(item.key for item in items))
    if gone:
        raise configuration_error(
            f"The payloads have changed since an earlier try of this task: {gone} that were sent are not among them.",
            "OKW-1501: Nothing was sent now. Give the same payloads to each try, such as the XCom of an earlier"
            " task; or name what tells one payload from another, item_key='email', and those that were sent are known"
            " by it. To start over, clear the task.",
        )


def _name(index: int, body: bytes, item_key: Expression | None) -> str:
    if item_key is None:
        return f"{index}:{hashlib.sha256(body).hexdigest()}"
    try:
        # Search the encoded payload: JMESPath would select nothing from a tuple or a string of JSON.
        value = item_key.search(json.loads(body))
    except ExpressionError:
        raise configuration_error(f"item_key {shown(item_key.text)} cannot be evaluated over it.") from None
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        given = "an empty text" if value == "" else type(value).__name__
        raise configuration_error(
            f"item_key {shown(item_key.text)} gives {given}, neither a string nor a whole number."
        )
    return json.dumps(value)


def _has_members(value: object) -> bool:
    """Return whether a value can be iterated over but is an object or a table: a model, or a frame of pandas."""
    return any(hasattr(type(value), name) for name in ("to_dict", "model_dump", "__fields__"))
