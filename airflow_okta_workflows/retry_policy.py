"""A retry policy for Airflow 3.3+: wait as long as the flow's host asks, and fail at once if no retry can help."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

try:
    from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
except ImportError as error:
    raise ImportError(
        "OktaFlowRetryPolicy needs retry policies, which Airflow has since 3.3. Leave retry_policy out here: without"
        " it, the task's retries and retry_delay apply, and errors that no retry can help still fail at once."
    ) from error

from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.numbers import YEAR, check_number
from airflow_okta_workflows.exceptions import OktaFlowRateLimitedError, OktaWorkflowsError, raise_provider_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class OktaFlowRetryPolicy(RetryPolicy):
    """Retry policy that acts on the errors of this provider.

    After a rate limit it waits as long as the host asked, up to ``max_wait``. Errors that no retry can help, such as
    configuration errors and unknown outcomes, fail the task at once. For all other errors the task's own ``retries``
    and ``retry_delay`` apply. Pass it to a task as ``retry_policy=OktaFlowRetryPolicy()``.

    :param max_wait: the longest delay after a rate limit, in seconds or as a ``timedelta``
    :raises OktaConfigurationError: if ``max_wait`` is not a number of seconds from 0 to a year
    """

    def __init__(self, max_wait: timedelta | float = 3600.0) -> None:
        seconds = max_wait.total_seconds() if isinstance(max_wait, timedelta) else max_wait
        with raise_provider_errors(), NoFrames():
            check_number(seconds, "max_wait", least=0, most=YEAR)
        self.max_wait = float(seconds)

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002  # Airflow's signature
        max_tries: int,  # noqa: ARG002  # Airflow's signature
        context: Context | None = None,  # noqa: ARG002  # Airflow's signature
    ) -> RetryDecision:
        """Return whether to try again, and when.

        :param exception: the error that failed the task
        :param try_number: the number of the failed try, from 1
        :param max_tries: the maximum number of tries
        :param context: the task's context
        """
        asked = exception.retry_after if isinstance(exception, OktaFlowRateLimitedError) else None
        # Excludes NaN, and values of another type that another version of this provider stored.
        if isinstance(asked, (int, float)) and asked >= 0:
            delay = timedelta(seconds=min(asked, self.max_wait))
            return RetryDecision.retry(delay=delay, reason="the flow's rate limit")
        if isinstance(exception, OktaWorkflowsError) and isinstance(exception, AirflowFailException):
            return RetryDecision.fail(reason=exception.hint or "a retry cannot help")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the policy's settings for the serialized DAG."""
        return {"max_wait": self.max_wait}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OktaFlowRetryPolicy:
        """Return the policy from a serialized DAG.

        :param data: what :meth:`serialize` returned; empty if an earlier version of this provider serialized it
        """
        return cls(**{name: value for name, value in data.items() if name == "max_wait"})
