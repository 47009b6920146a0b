from __future__ import annotations

import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_okta_workflows import exceptions
from airflow_okta_workflows.core.faults import Fault, FaultKind

NO_RETRY = {"OktaConfigurationError", "OktaTokenRefusedError", "OktaFlowAnswerError", "OktaFlowOutcomeUnknownError"}
CLASSES = [one for one in vars(exceptions).values() if isinstance(one, type) and one.__module__ == exceptions.__name__]


@pytest.mark.parametrize("error", CLASSES)
def test_the_tree_tells_airflow_what_may_follow(error: type[Exception]) -> None:
    assert issubclass(error, exceptions.OktaWorkflowsError)
    assert issubclass(error, AirflowException)
    assert issubclass(error, AirflowFailException) is (error.__name__ in NO_RETRY)
    assert error.__name__ in (exceptions.__doc__ or ""), "the tree at the top of the module is the whole tree"


@pytest.mark.parametrize("kind", FaultKind)
def test_each_fault_has_its_exception(kind: FaultKind) -> None:
    error = exceptions.error_from(Fault(kind, "What happened.", "What to change."))

    assert str(error) == "What happened. What to change."
    assert error.hint == "What to change."


def test_data_is_carried_through_pickling_and_nothing_else_is_taken() -> None:
    error = exceptions.OktaFlowRateLimitedError("slow", flow="onboard", invocation_key="k", retry_after=5.0)

    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.flow, copy.invocation_key, copy.retry_after) == ("slow", "onboard", "k", 5.0)
    with pytest.raises(TypeError, match="no attribute 'token'"):
        exceptions.OktaWorkflowsError("x", token="t")


def test_an_error_does_not_lead_to_the_frames_that_hold_secrets() -> None:
    with pytest.raises(exceptions.OktaConfigurationError) as caught, exceptions.faults_as_errors():
        raise Fault(FaultKind.CONFIGURATION, "x")

    assert caught.value.__suppress_context__
    assert caught.value.__context__ is not None
    assert caught.value.__context__.__traceback__ is None
