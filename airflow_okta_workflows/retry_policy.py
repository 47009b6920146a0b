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

from airflow_okta_workflows.core.numbers import YEAR, check_number
from airflow_okta_workflows.exceptions import OktaFlowRateLimitedError, OktaWorkflowsError, raise_provider_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class OktaFlowRetryPolicy(RetryPolicy):
    """Decide about a retry by what an error of this provider says.

    A rate limit is waited for as long as the host asked, up to a bound; configuration errors and unknown outcomes fail
    at once; everything else is left to the task's own ``retries`` and ``retry_delay``. Give it as
    ``retry_policy=OktaFlowRetryPolicy()``.

    :param max_wait: the longest delay that a host may ask for, in seconds or as a ``timedelta``
    :raises OktaConfigurationError: if that is no number of seconds
    """

    def __init__(self, max_wait: timedelta | float = 3600.0) -> None:
        seconds = max_wait.total_seconds() if isinstance(max_wait, timedelta) else max_wait
        with raise_provider_errors():
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

        :param exception: what the task failed with
        :param try_number: the try that failed, from 1
        :param max_tries: how many there may be
        :param context: the task's context
        """
        asked = exception.retry_after if isinstance(exception, OktaFlowRateLimitedError) else None
        # Not if it is NaN, or comes of a version that stores something else there.
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

        :param data: what :meth:`serialize` returned; an earlier version stored nothing
        """
        return cls(**{name: value for name, value in data.items() if name == "max_wait"})
