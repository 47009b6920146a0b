from __future__ import annotations

import inspect
import json
import pickle
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_okta_workflows import exceptions
from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.http.types import Headers

NO_RETRY = {"OktaConfigurationError", "OktaTokenRefusedError", "OktaFlowResponseError", "OktaFlowOutcomeUnknownError"}
CLASSES: list[type[exceptions.OktaWorkflowsError]] = [
    one
    for one in vars(exceptions).values()
    if isinstance(one, type)
    and issubclass(one, exceptions.OktaWorkflowsError)
    and one.__module__ == exceptions.__name__
]
DATA: dict[str, Any] = {
    "detail": "More.",
    "hint": "OKW-1234: Change it.",
    "problems": ("One thing.", "Another."),
    "error": "invalid_client",
    "error_description": "The client_assertion token is expired.",
    "status_code": 401,
    "flow": "onboard",
    "idempotency_key": "k1",
    "response": FlowResponse(409, Headers(), {"message": "there is one"}, "e1", 0.5),
    "retry_after": 7.5,
    "path": "s3://hr/leavers.csv",
}


@pytest.mark.parametrize("error", CLASSES)
def test_the_tree_tells_airflow_what_may_follow(error: type[Exception]) -> None:
    assert issubclass(error, exceptions.OktaWorkflowsError)
    assert issubclass(error, AirflowException)
    assert issubclass(error, AirflowFailException) is (error.__name__ in NO_RETRY)
    assert error.__name__ in (exceptions.__doc__ or ""), "the tree at the top of the module is the whole tree"


@pytest.mark.parametrize("kind", ErrorKind)
def test_each_fault_has_its_exception(kind: ErrorKind) -> None:
    error = exceptions.error_from(CoreError(kind, "What happened.", "Change it."))

    assert str(error) == "What happened.\nWhat to change: Change it."
    assert (error.message, error.hint, error.code) == ("What happened.", "Change it.", "")


def test_a_message_has_what_to_change_and_its_code_on_the_second_line() -> None:
    given = CoreError(ErrorKind.CONFIGURATION, "What happened.", "OKW-1234: Change it.", detail="More.\nAnd more.")
    error = exceptions.error_from(given)

    assert str(error) == str(given) == "What happened.\nWhat to change (OKW-1234): Change it.\nMore.\nAnd more."
    assert (error.hint, error.code) == ("Change it.", "OKW-1234")
    assert given.one_line == "What happened. Change it. (OKW-1234)"


def test_what_to_change_fits_into_airflows_log_pane() -> None:
    command = "airflow-" * 20
    given = CoreError(ErrorKind.CONFIGURATION, "What happened.", f"OKW-1234: {'Change it. ' * 12}Run {command}.\nLook.")
    first, *change, last = str(given).splitlines()

    assert (first, last) == ("What happened.", "Look.")
    assert change[0].startswith("What to change (OKW-1234): Change it.")
    assert all(line.startswith("  ") for line in change[1:])
    assert [line for line in change if len(line) > 100] == [f"  {command}."], "what a user copies stays in one piece"
    assert given.one_line == f"What happened. {'Change it. ' * 12}Run {command}. Look. (OKW-1234)"
    assert str(CoreError(ErrorKind.CONFIGURATION, "What happened.")) == "What happened."


def test_a_hint_of_several_lines_is_one_in_a_list() -> None:
    assert CoreError(ErrorKind.CONFIGURATION, "What happened.", "Change this.\nAnd that.").one_line == (
        "What happened. Change this. And that."
    )


def test_data_is_carried_through_pickling_and_nothing_else_is_taken() -> None:
    error = exceptions.OktaFlowRateLimitedError("slow", flow="onboard", idempotency_key="k", retry_after=5.0)

    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.flow, copy.idempotency_key, copy.retry_after) == ("slow", "onboard", "k", 5.0)
    with pytest.raises(TypeError, match="no attribute 'token'"):
        exceptions.OktaWorkflowsError("x", token="t")


def test_an_error_does_not_lead_to_the_frames_that_hold_secrets() -> None:
    with pytest.raises(exceptions.OktaConfigurationError) as caught, exceptions.raise_provider_errors():
        raise CoreError(ErrorKind.CONFIGURATION, "x")

    assert caught.value.__suppress_context__
    assert caught.value.__context__ is not None
    assert caught.value.__context__.__traceback__ is None


# ---- from the triggerer to the worker


def declared(error: type[exceptions.OktaWorkflowsError]) -> set[str]:
    """Return the attributes that a class and its bases declare, but for those of Airflow."""
    return (
        {name for base in error.__mro__ if base in CLASSES for name in inspect.get_annotations(base)}
        - {"message", "code"}
        - {
            "message",
            "code",
        }
    )


@pytest.mark.parametrize("error", CLASSES)
def test_each_error_survives_as_json_with_all_that_it_carries(error: type[exceptions.OktaWorkflowsError]) -> None:
    data = {name: DATA[name] for name in declared(error)}
    bare, full = error("What happened."), error("What happened.", **data)

    for one in (bare, full):
        copy = exceptions.error_from_json(json.loads(json.dumps(one.to_json())))
        assert type(copy) is error
        assert str(copy) == str(one)
        assert vars(copy) == vars(one)


def test_each_attribute_is_among_those_that_were_tried() -> None:
    assert set().union(*map(declared, CLASSES)) == set(DATA)


def test_a_response_goes_without_its_headers() -> None:
    response = FlowResponse(500, Headers({"Set-Cookie": "canary"}), None, None, 0.1)
    described = json.dumps(exceptions.OktaFlowFailedError("x", response=response).to_json())

    assert "canary" not in described
    copy = exceptions.error_from_json(json.loads(described))
    assert isinstance(copy, exceptions.OktaFlowFailedError)
    assert copy.response == FlowResponse(500, Headers(), None, None, 0.1)


def test_an_error_of_a_later_version_is_one_of_the_provider() -> None:
    copy = exceptions.error_from_json(
        {"class": "OktaFlowPostponedError", "message": "Later.", "data": {"hint": "Wait.", "flow": "f", "new": 1}}
    )

    assert type(copy) is exceptions.OktaWorkflowsError
    assert (str(copy), copy.hint) == ("Later.\nWhat to change: Wait.", "Wait.")
    assert not hasattr(copy, "new")


@pytest.mark.parametrize("data", [{"new": 1}, {"new": {"a": 1}, "response": {"weather": "fine"}}, None, {}])
def test_data_of_a_later_version_is_left_out(data: Any) -> None:
    copy = exceptions.error_from_json({"class": "OktaFlowFailedError", "message": "x", "data": data, "more": 1})

    assert isinstance(copy, exceptions.OktaFlowFailedError)
    assert copy.response is None
    assert not hasattr(copy, "new")
