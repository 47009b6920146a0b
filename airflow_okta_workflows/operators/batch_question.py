"""The one question about all items of a batch whose outcome is unknown, and what the answer makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.spool import SpooledMapping
from airflow_okta_workflows.core.batch.records import BatchRecord
from airflow_okta_workflows.core.flows.idempotency_key import derive_key
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.flows.response import reported_response
from airflow_okta_workflows.operators.on_unknown import GIVE_UP
from airflow_okta_workflows.operators.question import Field, Question, code, framed, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_okta_workflows.checkpoints.batch import ItemCheckpoint
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.operators.batch_items import BatchItems
    from airflow_okta_workflows.operators.batch_records import BatchRecords

RAN, NOT_RUN = "They ran", "They did not run: invoke them"
OPTIONS = (RAN, NOT_RUN, GIVE_UP)
"""The answers."""
EXCEPT_FIELD, BODIES_FIELD = "except", "responses"
"""The fields for the items to which the answer does not apply, and for what the flow returned."""

_FIELDS = (
    Field(
        EXCEPT_FIELD,
        "All but these (JSON)",
        "The numbers of the items for which the opposite is true, such as [3, 17].",
    ),
    Field(
        BODIES_FIELD,
        "Responses (JSON)",
        'The body that the flow returned, by the number of the item, such as {"3": {"id": "00u1"}}. Airflow stores it'
        " unencrypted.",
    ),
)
_LONGEST_LIST = 40_000
"""Characters of the list of items, since some databases limit the text to 64 KiB."""


def batch_question(
    flow: str, items: Sequence[tuple[int, str, str | None]], problem: str, host: str, console: str
) -> Question:
    """Return the question.

    :param flow: the flow as the task names it
    :param items: index, idempotency key and time of sending (as text; None if it is not known) of each unknown item
    :param problem: why the last answer cannot be used; empty if this is the first time
    :param host: the URL of the flow's host
    :param console: the URL of the Workflows console
    """
    body = (
        f"The flow was invoked for each of these {len(items)} items, and no response arrived. Each may have run."
        f"\n\n- Flow: {code(flow)}\n- Host: {code(host)}\n\n{_listed(items)}\n\n"
        f"Open the [Workflows console]({console}) and the flow, and look in its execution history for runs at these"
        " times. Their requests have the header `Idempotency-Key` with the keys above.\n\n"
        f"- **{RAN}**: the flow is not invoked again for them. Enter the bodies that it returned as JSON under"
        f' `{BODIES_FIELD}`, such as `{{"3": {{"id": "00u1"}}}}`; without one it is empty. The task\'s conditions apply'
        " to each.\n"
        f"- **{NOT_RUN}**: the flow is invoked for them now, under the same keys.\n"
        f"- If some ran and some did not, enter under `{EXCEPT_FIELD}` the numbers of the items of which the opposite"
        " is true, such as `[3, 17]`.\n"
        f"- **{GIVE_UP}**: these items stay unknown."
    )
    return Question(f"Did flow {plain(flow)} run for {len(items)} items?", framed(body, problem), OPTIONS, _FIELDS)


def _listed(items: Sequence[tuple[int, str, str | None]]) -> str:
    lines: list[str] = []
    length = 0
    for index, key, sent_at in items:
        line = f"- Item {index}: {code(key)}, sent {sent_at or 'in an earlier try'}"
        length += len(line)
        if length > _LONGEST_LIST:
            lines.append(f"- And {len(items) - len(lines)} more, which the task's XCom `records` has as `unknown`.")
            break
        lines.append(line)
    return "\n".join(lines)


def sort_answers(choice: str, entered: Mapping[str, Any], unknown: Iterable[int]) -> tuple[dict[int, Any], str]:
    """Return the body of each item that ran, by its index, and why the answer cannot be used (empty if it can).

    The unknown items without a body did not run.

    :param choice: :data:`RAN` or :data:`NOT_RUN`
    :param entered: the values of the fields
    :param unknown: the indices of the unknown items
    """
    excepted, bodies = entered.get(EXCEPT_FIELD), entered.get(BODIES_FIELD)
    excepted = [] if excepted is None else excepted
    bodies = {} if bodies is None else bodies
    known = set(unknown)
    if not isinstance(excepted, list) or not all(type(index) is int and index in known for index in excepted):
        return {}, f"{EXCEPT_FIELD} is not a list of numbers of these items."
    ran = known.difference(excepted) if choice == RAN else set(excepted)
    if not isinstance(bodies, Mapping) or not set(bodies) <= {str(index) for index in ran}:
        return {}, f"{BODIES_FIELD} is not an object with a body for each number of an item that ran."
    return {index: bodies.get(str(index)) for index in ran}, ""


@dataclass(frozen=True)
class Answered:
    """What is settled after a person was asked about the unknown items of a batch; all other items are sent.

    :param records: the records that are kept, by the keys of the items' first runs
    :param reported: the responses that the person has looked up, by the same keys
    """

    records: Mapping[str, BatchRecord]
    reported: Mapping[str, FlowResponse]


def read_answers(
    items: BatchItems, earlier: Mapping[str, ItemCheckpoint], told: BatchRecords, bodies: Mapping[str, Any]
) -> Answered:
    """Return what is settled after a person was asked.

    :param items: the items
    :param earlier: the checkpoints of the process that has asked
    :param told: the records of that process
    :param bodies: the bodies of the runs that the person has looked up, by idempotency key
    """
    # A checkpoint has the key of the first run; a record has the key of the run that was sent.
    first_keys = {
        derive_key(key, checkpoint.ordinal if (checkpoint := earlier.get(key)) else 0): key
        for key in map(items.key, items.indices())
    }
    records: SpooledMapping[BatchRecord] = SpooledMapping(BatchRecord.from_checkpoint)
    reported: dict[str, FlowResponse] = {}
    for record in told:
        key = first_keys.get(record["key"])
        if key is None:
            continue
        if record["outcome"] != Outcome.UNKNOWN.value:
            records.add(key, record)
        elif record["key"] in bodies:
            reported[key] = reported_response(bodies[record["key"]])
    return Answered(records, reported)
