from __future__ import annotations

import datetime
import importlib
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaFlowRateLimitedError,
)
from tests.airflow_features import RETRY_POLICY, lacks, needs


@needs(RETRY_POLICY)
@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (OktaFlowRateLimitedError("429", retry_after=90.0), "RETRY", 90),
        (OktaFlowRateLimitedError("429"), "DEFAULT", None),
        (OktaConfigurationError("bad", hint="Mend it."), "FAIL", None),
        (OktaFlowOutcomeUnknownError("unknown"), "FAIL", None),
        (OktaFlowFailedError("500"), "DEFAULT", None),
        (AirflowException("other"), "DEFAULT", None),
        (ValueError("other"), "DEFAULT", None),
    ],
)
def test_it_decides_by_what_the_error_says(error: Exception, action: str, delay: Any) -> None:
    from airflow_okta_workflows.retry_policy import OktaFlowRetryPolicy

    decision = OktaFlowRetryPolicy().evaluate(error, 1, 3)

    assert decision.action.name == action
    assert decision.retry_delay == (datetime.timedelta(seconds=delay) if delay else None)
    assert action != "FAIL" or decision.reason


@needs(RETRY_POLICY)
def test_it_survives_the_serialized_dag() -> None:
    from airflow_okta_workflows.retry_policy import OktaFlowRetryPolicy

    policy = OktaFlowRetryPolicy()

    assert isinstance(OktaFlowRetryPolicy.deserialize(policy.serialize()), OktaFlowRetryPolicy)


@lacks(RETRY_POLICY)
def test_without_retry_policies_it_says_what_to_do_instead() -> None:
    with pytest.raises(ImportError, match=r"since 3\.3\. Leave retry_policy out here"):
        importlib.import_module("airflow_okta_workflows.retry_policy")
