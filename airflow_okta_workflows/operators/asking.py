"""Base class of the operators that can ask a person about invocations whose outcome is unknown."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaFlowOutcomeUnknownError, raise_provider_errors
from airflow_okta_workflows.operators.base import FlowOperator
from airflow_okta_workflows.operators.on_unknown import ASK, TIMED_OUT, check_on_unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.operators.question import Answer, Question

_TRIGGER_FAILED = "__fail__"
"""The method that Airflow names if a task cannot be resumed."""


class AskingOperator(FlowOperator):
    """Base class of the two invoke operators, with the question to a person.

    :param on_unknown: ``fail``: the task fails if the outcome of an invocation is unknown; ``ask``: a person decides,
        in Airflow's Required Actions (Airflow 3.1+)
    """

    def __init__(self, *, on_unknown: Literal["fail", "ask"] = "fail", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_on_unknown(on_unknown, has_status=self.status is not None)
        self.on_unknown = on_unknown

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task; if Airflow could not wait for the answer, never as if nothing had been sent.

        :param next_method: the method to resume with
        :param next_kwargs: its arguments
        :param context: the task's context
        """
        if next_method != _TRIGGER_FAILED or self.on_unknown != ASK or self.idempotent:
            return super().resume_execution(next_method, next_kwargs, context)
        if context.get("task_state_store") is not None:
            # The checkpoint says that the outcome is unknown, so this asks again.
            return self.execute(context)
        raise self._unanswered("Airflow could not wait for an answer", self._key(context))

    def _key(self, context: Context) -> str | None:  # noqa: ARG002  # the operator with one key needs it
        """Return the idempotency key of the one invocation, or None if there are several."""
        return None

    @property
    def _asks(self) -> bool:
        """Whether a person may be asked now: not by a task that was stopped, whose next try asks."""
        return self.on_unknown == ASK and not self._runtime.stop.requested

    def _execution_deadline(self) -> float | None:
        if self.execution_timeout is None:
            return None
        return self._runtime.clock() + self.execution_timeout.total_seconds()

    def _ask(
        self,
        context: Context,
        build: Callable[[str, str], Question],
        *,
        key: str | None,
        deadline: float | None,
        kwargs: dict[str, Any],
    ) -> Any:
        """Create the required action, and leave the worker until :meth:`answer_complete` gets the answer.

        :param context: the task's context
        :param build: returns the question, given the URLs of the flow's host and of the Workflows console
        :param key: the idempotency key, or None if there are several
        :param deadline: when ``execution_timeout`` is over, in seconds since the epoch, or None
        :param kwargs: further arguments of :meth:`answer_complete`
        """
        from airflow_okta_workflows.core.addresses import console_url
        from airflow_okta_workflows.operators.question import ask

        left = None if deadline is None else deadline - self._runtime.clock()
        if left is not None and left <= 0:
            raise self._unanswered("execution_timeout leaves no time for an answer", key)
        with raise_provider_errors(), NoFrames():
            origin = self.hook.settings.find_flow(self.flow).origin
        return ask(
            self,
            context,
            build(origin.url, console_url(origin, None)),
            method_name="answer_complete",
            kwargs={**kwargs, "deadline": deadline},
            timeout=None if left is None else timedelta(seconds=left),
        )

    def _require_in_time(self, answer: Answer, key: str | None = None) -> None:
        if answer.choice == TIMED_OUT:
            raise self._unanswered("nobody has answered within execution_timeout", key)

    def _unanswered(self, why: str, key: str | None = None) -> OktaFlowOutcomeUnknownError:
        return OktaFlowOutcomeUnknownError(
            f"Flow {shown(self.flow)} was invoked, its outcome is unknown, and {why}.",
            hint="OKW-1646: Look it up in the flow's execution history before you clear the task. execution_timeout"
            " also limits the wait for an answer.",
            detail=f"Idempotency key: {key}" if key else "",
            flow=self.flow,
            idempotency_key=key,
        )
