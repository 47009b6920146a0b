"""Question to a person about an invocation whose outcome is unknown: a required action of Airflow 3.1 and later."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaConfigurationError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

log = logging.getLogger(__name__)

FAIL: Literal["fail"] = "fail"
ASK: Literal["ask"] = "ask"
"""Values of ``on_unknown``."""

RAN, NOT_RUN, GIVE_UP = "It ran", "It did not run: invoke it", "Fail"
"""The answers."""
OPTIONS = [RAN, NOT_RUN, GIVE_UP]
BODY_FIELD = "response"
"""The field in which a person may enter what the flow returned."""
TIMED_OUT = "timed out"
"""What stands for an answer if there is none in time."""
XCOM_KEY = "okta_workflows_question"

_FIRST_WITH_QUESTIONS = (3, 1)
_FIRST_WITH_WHOLE_PARAMS = (3, 1, 3)


def check_on_unknown(on_unknown: object, *, has_status: bool) -> None:
    """Raise if ``on_unknown`` cannot work.

    :param on_unknown: the argument
    :param has_status: whether there is a status flow
    :raises OktaConfigurationError: for another value, with a status flow, and where Airflow has no required actions
    """
    if on_unknown not in (FAIL, ASK):
        raise OktaConfigurationError(
            f"on_unknown is {shown(on_unknown, 20)}.", hint="OKW-1642: Set it to 'fail' or 'ask'."
        )
    if on_unknown == FAIL:
        return
    if has_status:
        raise OktaConfigurationError(
            "on_unknown='ask' and status exclude each other.",
            hint="OKW-1643: Leave on_unknown out. The status flow is asked instead of a person.",
        )
    if _airflow_version() < _FIRST_WITH_QUESTIONS:
        from airflow import __version__ as version

        raise OktaConfigurationError(
            f"on_unknown='ask' needs Airflow 3.1 or later, and this is {version}.",
            hint="OKW-1644: Leave on_unknown out, or give the flow a status flow: status=StatusFlow(…).",
        )


def _airflow_version() -> tuple[int, ...]:
    from airflow import __version__
    from packaging.version import Version

    return Version(__version__).release


@dataclass(frozen=True)
class Question:
    """What a person is asked.

    :param flow: the flow as the task names it
    :param key: the idempotency key
    :param sent_at: when the invocation was sent, as text; None if that is not known
    :param host: the URL of the flow's host
    :param console: the URL of the Workflows console
    :param message: what happened, in one sentence
    :param problem: why the last answer cannot be used; empty if this is the first time
    """

    flow: str
    key: str
    sent_at: str | None
    host: str
    console: str
    message: str
    problem: str = ""

    @property
    def subject(self) -> str:
        """The headline."""
        return f"Did flow {_plain(self.flow)} run?"

    @property
    def body(self) -> str:
        """The text in Markdown. Airflow stores it unencrypted, so it contains no payload."""
        problem = f"**The last answer could not be used: {self.problem}**\n\n" if self.problem else ""
        return (
            f"{problem}The flow was invoked, and no response arrived. It may have run.\n\n"
            f"- Flow: {_code(self.flow)}\n"
            f"- Idempotency key: {_code(self.key)}\n"
            f"- Sent: {self.sent_at or 'in an earlier try'}\n"
            f"- Host: {_code(self.host)}\n"
            f"- What happened: {_code(self.message)}\n\n"
            f"Open the [Workflows console]({self.console}) and the flow, and look in its execution history for a run"
            " at that time. Its request has the header `Idempotency-Key` with the key above.\n\n"
            f"- **{RAN}**: the flow is not invoked again. Enter the body that it returned as JSON under"
            f" `{BODY_FIELD}`, or nothing for an empty one. The task's conditions apply to it.\n"
            f"- **{NOT_RUN}**: the flow is invoked now, under the same key.\n"
            f"- **{GIVE_UP}**: the task fails, and is not retried.\n\n"
            "Airflow keeps this text if the task asks again: after an answer that is not JSON, after a retry, or after"
            f" clearing, which changes the key. The task's XCom `{XCOM_KEY}` has the text that applies now."
        )


def ask(
    operator: BaseOperator,
    context: Context,
    question: Question,
    *,
    method_name: str,
    kwargs: dict[str, Any],
    timeout: timedelta | None,
) -> NoReturn:
    """Create the required action, and leave the worker until it is answered.

    :param operator: the task
    :param context: its context
    :param question: the question
    :param method_name: the operator's method that gets the answer as ``event``
    :param kwargs: further arguments of that method
    :param timeout: how long to wait, or None
    """
    hitl = _hitl()
    ti: Any = context["ti"]
    params = _params()
    hitl.upsert_hitl_detail(ti_id=ti.id, options=OPTIONS, subject=question.subject, body=question.body, params=params)
    # Airflow keeps the text of the first question of a task, so the current one is stored here, too.
    ti.xcom_push(key=XCOM_KEY, value=question.body)
    log.warning("%s A person is asked, under Required Actions (idempotency key %s)", question.message, question.key)
    try:
        from airflow.sdk.exceptions import TaskAwaitingInput
    except ImportError:
        operator.defer(trigger=_trigger(ti.id, params, timeout), method_name=method_name, kwargs=kwargs)
    raise TaskAwaitingInput(method_name=method_name, kwargs=kwargs, timeout=timeout)


def _hitl() -> Any:
    from airflow.sdk.execution_time import hitl

    return hitl


def _trigger(ti_id: Any, params: dict[str, Any], timeout: timedelta | None) -> Any:
    """Return the trigger that waits for the answer on Airflow 3.1 and 3.2."""
    try:
        from airflow.providers.standard.triggers.hitl import HITLTrigger
    except ImportError:
        raise OktaConfigurationError(
            "on_unknown='ask' needs apache-airflow-providers-standard 1.9 or later, which is not installed.",
            hint="OKW-1645: Install it, or leave on_unknown out. Look the run up in the flow's execution history"
            " before you clear the task.",
        ) from None
    return HITLTrigger(
        ti_id=ti_id,
        options=OPTIONS,
        # A copy, from which the trigger takes the values.
        params={name: dict(value) if isinstance(value, dict) else value for name, value in params.items()},
        timeout_datetime=None if timeout is None else datetime.now(UTC) + timeout,
    )


def _params() -> dict[str, Any]:
    """Return the fields that a person may fill in, as this Airflow takes them."""
    if _airflow_version() < _FIRST_WITH_WHOLE_PARAMS:
        return {BODY_FIELD: None}
    from airflow.sdk import Param

    field = Param(
        None,
        title="Response (JSON)",
        description=f"Only for “{RAN}”: the body that the flow returned, as JSON. Airflow stores it unencrypted.",
        # The form takes the first type; a client of the REST API may also send the value itself.
        type=["string", "object", "array", "number", "boolean", "null"],
        format="multiline",
    )
    return {BODY_FIELD: field.serialize()}


@dataclass(frozen=True)
class Answer:
    """What a person answered.

    :param choice: one of :data:`OPTIONS`, or :data:`TIMED_OUT`; empty if the answer cannot be used
    :param body: the body that the flow returned, according to the person
    :param problem: why the answer cannot be used
    """

    choice: str
    body: Any = None
    problem: str = ""


def parse_answer(event: object) -> Answer:
    """Return the answer in the event with which Airflow resumes the task.

    :param event: the event
    """
    if not isinstance(event, Mapping):
        return Answer("", problem="Airflow handed over no answer.")
    if "error" in event:
        if event.get("error_type") == "timeout":
            return Answer(TIMED_OUT)
        return Answer("", problem="Airflow did not accept what was entered.")
    chosen = event.get("chosen_options")
    choice = chosen[0] if isinstance(chosen, list) and len(chosen) == 1 else None
    if choice not in OPTIONS:
        return Answer("", problem=f"it has to be one of {', '.join(OPTIONS)}.")
    log.info("A person answered: %s (%s)", choice, _name_of(event.get("responded_by_user")))
    if choice != RAN:
        return Answer(choice)
    try:
        return Answer(choice, _parse_body(event.get("params_input")))
    except ValueError:
        return Answer("", problem=f"{BODY_FIELD} is not JSON. A text needs quotes.")


def _parse_body(entered: object) -> Any:
    from airflow_okta_workflows.core.http.json_values import parse_json_value

    body = entered.get(BODY_FIELD) if isinstance(entered, dict) else None
    if not isinstance(body, str):
        return body
    return parse_json_value(body) if body.strip() else None


def _name_of(user: object) -> str:
    return str(user.get("name") or "unknown user") if isinstance(user, dict) else "unknown user"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    """Return a text as a code span of Markdown, which shows it as it is."""
    return f"`{_plain(text).replace('`', chr(39))}`"
