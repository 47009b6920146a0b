"""The event that a callback reports: what happened, to which task or DAG run.

Airflow calls the same callback in different places with different contexts: in the task's process, in the DAG processor
if that process died, in the triggerer if a deadline was missed. An event is read from what all of these contexts have,
so that it gets the same idempotency key wherever it is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.secret import first_line, redact, without_keys

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLBACKS = {
    "failure": ("on_failure_callback", "failed"),
    "retry": ("on_retry_callback", "up_for_retry"),
    "success": ("on_success_callback", "success"),
    "skipped": ("on_skipped_callback", "skipped"),
    "execute": ("on_execute_callback", "running"),
    "hitl": ("notifiers", "running"),
}
"""For each kind of event of a task: the task's attribute that has the callbacks, and the task's state."""
_BY_STATE = {state: kind for kind, (_, state) in reversed(_CALLBACKS.items()) if kind != "hitl"}


@dataclass(frozen=True)
class Event:
    """What happened, to which task or DAG run.

    :param kind: failure, retry, success, skipped, execute or hitl of a task; dag_failure, dag_success or deadline of a
        DAG run; sla_miss of a DAG; unknown
    :param position: the notifier's place among the callbacks for this kind of event; None if it is not one of them
        itself, but is called by one
    :param mark: distinguishes the event from another of the same kind in a DAG run of the same id
    """

    kind: str
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    state: str | None = None
    log_url: str | None = None
    reason: str | None = None
    deadline: str | None = None
    position: int | None = None
    mark: str = ""

    @property
    def name(self) -> str:
        """What happened, for a line of a log."""
        mapped = f"[{self.map_index}]" if self.map_index is not None and self.map_index >= 0 else ""
        task = f".{self.task_id}{mapped}" if self.task_id else ""
        attempt = f", try {self.try_number}" if self.try_number is not None else ""
        return f"{self.kind} of {self.dag_id}{task} ({self.run_id}{attempt})"

    @property
    def identity(self) -> tuple[Any, ...] | None:
        """What distinguishes the event from all others; None if too little is known of it."""
        if self.dag_id is None or self.run_id is None:
            return None
        return (self.kind, self.dag_id, self.run_id, self.mark, self.task_id, self.map_index, self.try_number)

    def payload(self, exception: object, clean: Callable[[str], str]) -> dict[str, Any]:
        """Return the payload of a notification. It has the same members for each kind of event.

        :param exception: what the task failed with: an exception, or a message of Airflow; None for nothing
        :param clean: redacts a string
        """
        return {
            "event": self.kind,
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
            "try_number": self.try_number,
            "state": self.state,
            "log_url": self.log_url,
            "exception_class": type(exception).__name__ if isinstance(exception, BaseException) else None,
            "exception_message": None if exception is None else first_line(exception, clean),
            "reason": self.reason,
            "deadline": self.deadline,
        }


def read_event(context: Mapping[str, Any], notifier: object) -> Event:
    """Return the event that a callback was called for.

    :param context: the context that Airflow gave to the callback
    :param notifier: the notifier as it is in the DAG file
    """
    if isinstance(context.get("deadline"), Mapping):
        return _deadline_event(context)
    if "blocking_tis" in context:
        return Event("sla_miss", _member(context.get("dag"), "dag_id"))
    if "reason" in context:
        return _dag_event(context, notifier)
    return _task_event(context, notifier)


def _deadline_event(context: Mapping[str, Any]) -> Event:
    run, deadline = context.get("dag_run"), context["deadline"]
    moment = deadline.get("deadline_time")
    return Event(
        "deadline",
        _member(run, "dag_id"),
        _member(run, "dag_run_id") or _member(run, "run_id"),
        state=_text(_member(run, "state")),
        deadline=_text(moment.isoformat() if hasattr(moment, "isoformat") else moment),
        # A DAG may have several deadlines.
        mark=str(deadline.get("id") or moment),
    )


def _dag_event(context: Mapping[str, Any], notifier: object) -> Event:
    # The context may also have a task instance: any one of the run's, which differs from case to case.
    dag, run, reason = context.get("dag"), context.get("dag_run"), _text(context.get("reason"))
    name = "success" if reason == "success" else "failure"
    attribute, state = _CALLBACKS[name]
    return Event(
        f"dag_{name}",
        _member(dag, "dag_id"),
        _text(context.get("run_id")) or _member(run, "run_id"),
        state=state,
        reason=reason,
        position=_position(dag, attribute, notifier),
        # A run that is cleared can fail again.
        mark=f"{_start(run)} {_member(run, 'clear_number') or 0}",
    )


def _task_event(context: Mapping[str, Any], notifier: object) -> Event:
    ti = context.get("ti") or context.get("task_instance")
    if ti is None:
        return Event("unknown")
    task = context.get("task") or getattr(ti, "task", None)
    kind = _task_kind(context, ti, task, notifier)
    attribute, state = _CALLBACKS[kind]
    map_index = getattr(ti, "map_index", None)
    return Event(
        kind,
        _text(getattr(ti, "dag_id", None)),
        _text(getattr(ti, "run_id", None)),
        _text(getattr(ti, "task_id", None)),
        -1 if map_index is None else map_index,
        getattr(ti, "try_number", None),
        state,
        _text(getattr(ti, "log_url", None)),
        position=_position(task, attribute, notifier),
        mark=_start(context.get("dag_run")),
    )


def _task_kind(context: Mapping[str, Any], ti: Any, task: Any, notifier: object) -> str:
    """Return the kind of event, which the context does not name."""
    kinds = [kind for kind, (name, _) in _CALLBACKS.items() if _position(task, name, notifier) is not None]
    if not kinds:
        # The user's own function calls the notifier.
        kinds = [kind for kind, (name, _) in _CALLBACKS.items() if _callbacks(task, name)]
    if len(kinds) == 1:
        return kinds[0]
    state = _text(getattr(ti, "state", None))
    kind = _BY_STATE.get(state or "", "")
    if kind and (not kinds or kind in kinds):
        return kind
    # The DAG processor of Airflow 3 reports only tasks that died. It has neither their state nor their start.
    died = state is None and getattr(ti, "start_date", None) is None
    if died or context.get("exception") is not None:
        retried = (getattr(ti, "try_number", None) or 0) <= (getattr(ti, "max_tries", None) or 0)
        return "retry" if retried and (not kinds or "retry" in kinds) else "failure"
    return "hitl" if "hitl" in kinds and "execute" not in kinds else "execute"


def _position(owner: Any, attribute: str, notifier: object) -> int | None:
    found = [place for place, one in enumerate(_callbacks(owner, attribute)) if one is notifier]
    return found[0] if found else None


def _callbacks(owner: Any, attribute: str) -> list[Any]:
    callbacks = getattr(owner, attribute, None)
    if isinstance(callbacks, (list, tuple)):
        return list(callbacks)
    return [callbacks] if callbacks else []


def _start(run: Any) -> str:
    """Return when a run began: it differs if a run is deleted and created again under the same id."""
    start = _member(run, "start_date")
    # Not as text: the worker and the DAG processor write time zones differently.
    return str(start.timestamp()) if hasattr(start, "timestamp") else str(start or "")


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _text(value: Any) -> str | None:
    """Return a string; the value of an enum rather than its name, which Airflow's states would give."""
    return None if value is None else str(getattr(value, "value", value))


def cleaner(secrets: tuple[str, ...]) -> Callable[[str], str]:
    """Return a function that redacts what Airflow masks, the given secrets, and words that may be part of a key.

    :param secrets: the secrets of the connection
    """
    from airflow.providers.common.compat.sdk import redact as redact_masked

    return lambda text: without_keys(redact(str(redact_masked(text)), secrets))
