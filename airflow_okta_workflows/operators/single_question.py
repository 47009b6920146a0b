"""Text of the question about one invocation whose outcome is unknown."""

from __future__ import annotations

from airflow_okta_workflows.operators.on_unknown import GIVE_UP
from airflow_okta_workflows.operators.question import Field, Question, code, framed, plain

RAN, NOT_RUN = "It ran", "It did not run: invoke it"
OPTIONS = (RAN, NOT_RUN, GIVE_UP)
"""The answers."""
BODY_FIELD = "response"
"""The field in which a person may enter what the flow returned."""

_FIELDS = (
    Field(
        BODY_FIELD,
        "Response (JSON)",
        f"Only for “{RAN}”: the body that the flow returned, as JSON. Airflow stores it unencrypted.",
    ),
)


def single_question(
    flow: str, key: str, sent_at: str | None, message: str, problem: str, host: str, console: str
) -> Question:
    """Return the question.

    :param flow: the flow as the task names it
    :param key: the idempotency key
    :param sent_at: when the invocation was sent, as text; None if that is not known
    :param message: what happened, in one sentence
    :param problem: why the last answer cannot be used; empty if this is the first time
    :param host: the URL of the flow's host
    :param console: the URL of the Workflows console
    """
    body = (
        "The flow was invoked, and no response arrived. It may have run.\n\n"
        f"- Flow: {code(flow)}\n"
        f"- Idempotency key: {code(key)}\n"
        f"- Sent: {sent_at or 'in an earlier try'}\n"
        f"- Host: {code(host)}\n"
        f"- What happened: {code(message)}\n\n"
        f"Open the [Workflows console]({console}) and the flow, and look in its execution history for a run"
        " at that time. Its request has the header `Idempotency-Key` with the key above.\n\n"
        f"- **{RAN}**: the flow is not invoked again. Enter the body that it returned as JSON under"
        f" `{BODY_FIELD}`, or nothing for an empty one. The task's conditions apply to it.\n"
        f"- **{NOT_RUN}**: the flow is invoked now, under the same key.\n"
        f"- **{GIVE_UP}**: the task fails, and is not retried."
    )
    return Question(f"Did flow {plain(flow)} run?", framed(body, problem), OPTIONS, _FIELDS)
