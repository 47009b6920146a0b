"""A retry policy for Airflow 3.3+: wait as long as the flow's host says, and do not try what cannot help."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

try:
    from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
except ImportError as error:
    raise ImportError(
        "OktaFlowRetryPolicy needs retry policies, which Airflow has since 3.3. Leave retry_policy out here: the task's"
        " retries and retry_delay hold without it, and what no retry can help fails at once all the same."
    ) from error

from airflow_okta_workflows.exceptions import OktaFlowRateLimitedError, OktaWorkflowsError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class OktaFlowRetryPolicy(RetryPolicy):
    """Decide about a retry by what an error of this provider says.

    A rate limit is waited for as long as the host asked; configuration errors and unknown outcomes fail at once; all
    else is left to the task's own ``retries`` and ``retry_delay``. Give it as ``retry_policy=OktaFlowRetryPolicy()``.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002  # Airflow's signature
        max_tries: int,  # noqa: ARG002  # Airflow's signature
        context: Context | None = None,  # noqa: ARG002  # Airflow's signature
    ) -> RetryDecision:
        """Return whether to try again, and when.

        :param exception: what the task failed with
        :param try_number: the try that failed, from 1
        :param max_tries: how many there may be
        :param context: the task's context
        """
        if isinstance(exception, OktaFlowRateLimitedError) and exception.retry_after is not None:
            delay = timedelta(seconds=exception.retry_after)
            return RetryDecision.retry(delay=delay, reason="the flow's rate limit")
        if isinstance(exception, OktaWorkflowsError) and isinstance(exception, AirflowFailException):
            return RetryDecision.fail(reason=exception.hint or "a retry cannot help")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the policy for the serialized DAG; it has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OktaFlowRetryPolicy:  # noqa: ARG003  # Airflow's signature
        """Return the policy from a serialized DAG.

        :param data: what :meth:`serialize` returned
        """
        return cls()
