from __future__ import annotations

import datetime
import importlib
import json
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
        (OktaFlowRateLimitedError("429", retry_after=0.5), "RETRY", 0.5),
        (OktaFlowRateLimitedError("429", retry_after=0.0), "RETRY", 0),
        (OktaFlowRateLimitedError("429"), "DEFAULT", None),
        (OktaFlowRateLimitedError("429", retry_after=9_999_999_999.0), "RETRY", 3600),
        (OktaFlowRateLimitedError("429", retry_after=1e14), "RETRY", 3600),
        (OktaFlowRateLimitedError("429", retry_after=float("inf")), "RETRY", 3600),
        (OktaFlowRateLimitedError("429", retry_after=float("nan")), "DEFAULT", None),
        (OktaFlowRateLimitedError("429", retry_after=-5.0), "DEFAULT", None),
        (OktaFlowRateLimitedError("429", retry_after="soon"), "DEFAULT", None),
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
    assert decision.retry_delay == (datetime.timedelta(seconds=delay) if delay is not None else None)
    assert bool(decision.reason) is (action != "DEFAULT")


@needs(RETRY_POLICY)
def test_a_retry_that_cannot_help_shows_the_hint() -> None:
    from airflow_okta_workflows.retry_policy import OktaFlowRetryPolicy

    assert OktaFlowRetryPolicy().evaluate(OktaConfigurationError("bad", hint="Set it."), 1, 3).reason == "Set it."


@needs(RETRY_POLICY)
def test_it_survives_the_serialized_dag() -> None:
    from airflow_okta_workflows.retry_policy import OktaFlowRetryPolicy

    policy = OktaFlowRetryPolicy(max_wait=datetime.timedelta(minutes=5))

    data = json.loads(json.dumps(policy.serialize()))
    assert OktaFlowRetryPolicy.deserialize(data).max_wait == policy.max_wait == 300
    assert OktaFlowRetryPolicy.deserialize({}).max_wait == 3600, "an earlier version stored nothing"
    assert OktaFlowRetryPolicy.deserialize({**data, "later": 1}).max_wait == 300


@needs(RETRY_POLICY)
def test_the_longest_delay_can_be_set() -> None:
    from airflow_okta_workflows.retry_policy import OktaFlowRetryPolicy

    error = OktaFlowRateLimitedError("429", retry_after=90.0)

    assert OktaFlowRetryPolicy(0).max_wait == 0
    assert OktaFlowRetryPolicy(60).evaluate(error, 1, 3).retry_delay == datetime.timedelta(seconds=60)
    for value in (float("inf"), float("nan"), -1, True, "60", None):
        with pytest.raises(OktaConfigurationError, match="max_wait is"):
            OktaFlowRetryPolicy(max_wait=value)  # type: ignore[arg-type]  # what somebody may write


@lacks(RETRY_POLICY)
def test_without_retry_policies_it_says_what_to_do_instead() -> None:
    with pytest.raises(ImportError, match=r"since 3\.3\. Leave retry_policy out here"):
        importlib.import_module("airflow_okta_workflows.retry_policy")
