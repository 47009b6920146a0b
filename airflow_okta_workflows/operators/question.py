"""Question to a person about invocations whose outcome is unknown: a required action of Airflow 3.1 and later."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.operators.on_unknown import GIVE_UP, TIMED_OUT, airflow_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.providers.common.compat.sdk import BaseOperator, Context

log = logging.getLogger(__name__)

XCOM_KEY = "okta_workflows_question"

_FIRST_WITH_WHOLE_PARAMS = (3, 1, 3)


@dataclass(frozen=True)
class Field:
    """A field that a person may fill in, with JSON.

    :param name: its name
    :param title: its label
    :param description: what to enter
    """

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class Question:
    """What a person is asked. Airflow stores it unencrypted, so it contains no payload and no response.

    :param subject: the headline
    :param body: the text in Markdown
    :param options: the answers to choose from
    :param fields: the fields to fill in
    """

    subject: str
    body: str
    options: tuple[str, ...]
    fields: tuple[Field, ...]


def framed(body: str, problem: str) -> str:
    """Return the text of a question with what precedes and follows each.

    :param body: the text in Markdown
    :param problem: why the last answer cannot be used; empty if this is the first time
    """
    last = f"**The last answer could not be used: {problem}**\n\n" if problem else ""
    return (
        f"{last}{body}\n\nAirflow keeps this text if the task asks again: after an answer that cannot be used, after a"
        f" retry, or after clearing, which changes each key. The task's XCom `{XCOM_KEY}` has the text that applies"
        " now."
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
    params = _params(question.fields)
    hitl.upsert_hitl_detail(
        ti_id=ti.id, options=[*question.options], subject=question.subject, body=question.body, params=params
    )
    # Airflow keeps the text of the first question of a task, so the current one is stored here, too.
    ti.xcom_push(key=XCOM_KEY, value=question.body)
    try:
        from airflow.sdk.exceptions import TaskAwaitingInput
    except ImportError:
        operator.defer(trigger=_trigger(ti.id, question, params, timeout), method_name=method_name, kwargs=kwargs)
    raise TaskAwaitingInput(method_name=method_name, kwargs=kwargs, timeout=timeout)


def _hitl() -> Any:
    from airflow.sdk.execution_time import hitl

    return hitl


def _trigger(ti_id: Any, question: Question, params: dict[str, Any], timeout: timedelta | None) -> Any:
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
        options=[*question.options],
        # A copy, from which the trigger takes the values.
        params={name: dict(value) if isinstance(value, dict) else value for name, value in params.items()},
        timeout_datetime=None if timeout is None else datetime.now(UTC) + timeout,
    )


def _params(fields: Iterable[Field]) -> dict[str, Any]:
    """Return the fields that a person may fill in, as this Airflow takes them."""
    if airflow_version() < _FIRST_WITH_WHOLE_PARAMS:
        return {field.name: None for field in fields}
    from airflow.sdk import Param

    return {
        field.name: Param(
            None,
            title=field.title,
            description=field.description,
            # The form takes the first type; a client of the REST API may also send the value itself.
            type=["string", "object", "array", "number", "boolean", "null"],
            format="multiline",
        ).serialize()
        for field in fields
    }


@dataclass(frozen=True)
class Answer:
    """What a person answered.

    :param choice: one of the question's options, or :data:`TIMED_OUT`; empty if the answer cannot be used
    :param entered: the values of the fields that were filled in
    :param problem: why the answer cannot be used
    """

    choice: str
    entered: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def parse_answer(event: object, options: Sequence[str]) -> Answer:
    """Return the answer in the event with which Airflow resumes the task.

    :param event: the event
    :param options: the question's options. The fields are read unless :data:`GIVE_UP` is chosen
    """
    if not isinstance(event, Mapping):
        return Answer("", problem="Airflow passed no answer.")
    if "error" in event:
        if event.get("error_type") == "timeout":
            return Answer(TIMED_OUT)
        return Answer("", problem="Airflow did not accept what was entered.")
    chosen = event.get("chosen_options")
    choice = chosen[0] if isinstance(chosen, list) and len(chosen) == 1 else None
    if choice not in options:
        return Answer("", problem=f"it has to be one of {', '.join(options)}.")
    log.info("A person answered: %s (%s)", choice, _name_of(event.get("responded_by_user")))
    entered = event.get("params_input")
    if choice == GIVE_UP or not isinstance(entered, Mapping):
        return Answer(str(choice))
    values: dict[str, Any] = {}
    for name, text in entered.items():
        try:
            values[name] = _parse(text)
        except ValueError:
            return Answer("", problem=f"{name} is not JSON. A text needs quotes.")
    return Answer(str(choice), values)


def _parse(entered: object) -> Any:
    from airflow_okta_workflows.core.http.json_values import parse_json_value

    if not isinstance(entered, str):
        return entered
    return parse_json_value(entered) if entered.strip() else None


def _name_of(user: object) -> str:
    return str(user.get("name") or "unknown user") if isinstance(user, dict) else "unknown user"


def plain(text: str) -> str:
    """Return a string on one line.

    :param text: the string
    """
    return " ".join(text.split())


def code(text: str) -> str:
    """Return a string as a code span of Markdown, which shows it as it is.

    :param text: the string
    """
    return f"`{plain(text).replace('`', chr(39))}`"
