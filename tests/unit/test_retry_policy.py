from __future__ import annotations

import datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, RetryAction

from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaFlowRateLimitedError,
)
from airflow_okta_workflows.retry_policy import OktaFlowRetryPolicy


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (OktaFlowRateLimitedError("429", retry_after=90.0), RetryAction.RETRY, 90),
        (OktaFlowRateLimitedError("429"), RetryAction.DEFAULT, None),
        (OktaConfigurationError("bad", hint="Mend it."), RetryAction.FAIL, None),
        (OktaFlowOutcomeUnknownError("unknown"), RetryAction.FAIL, None),
        (OktaFlowFailedError("500"), RetryAction.DEFAULT, None),
        (AirflowException("other"), RetryAction.DEFAULT, None),
        (ValueError("other"), RetryAction.DEFAULT, None),
    ],
)
def test_it_decides_by_what_the_error_says(error: Exception, action: RetryAction, delay: Any) -> None:
    decision = OktaFlowRetryPolicy().evaluate(error, 1, 3)

    assert decision.action is action
    assert decision.retry_delay == (datetime.timedelta(seconds=delay) if delay else None)
    assert action is not RetryAction.FAIL or decision.reason


def test_it_survives_the_serialized_dag() -> None:
    policy = OktaFlowRetryPolicy()

    assert isinstance(OktaFlowRetryPolicy.deserialize(policy.serialize()), OktaFlowRetryPolicy)
