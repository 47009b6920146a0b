"""What the triggerer hands to the worker: whole to who has the key, and nothing to anybody else."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.core.encryption import encrypt
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.http.types import Headers
from airflow_okta_workflows.core.keys.generation import generate_jwk
from airflow_okta_workflows.exceptions import (
    OktaFlowFailedError,
    OktaFlowNoResponseError,
    OktaTokenRefusedError,
    OktaWorkflowsError,
)
from airflow_okta_workflows.triggers.encrypted_result import LARGEST_OUTCOME, decrypt_result, encrypt_result

if TYPE_CHECKING:
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings

KEY = "invocation-key-4711"
RESPONSE = FlowResponse(200, Headers({"X-Canary": "canary"}), {"account": "ada@example.com"}, "e-4711", 1.5)


def settings(jwk: dict[str, Any], **extra: Any) -> OktaWorkflowsSettings:
    fields = {"conn_id": "okta", "conn_type": "okta_workflows", "host": "acme.okta.com", "login": "0oaabc"}
    connection = {"password": json.dumps(jwk), "schema": None, "port": None, "extra": json.dumps(extra)}
    return parse_connection(SimpleNamespace(**fields, **connection), extra)


JWK = generate_jwk()
SETTINGS = settings(JWK)


def sealed(outcome: FlowResponse | OktaWorkflowsError = RESPONSE, key: str = KEY) -> str:
    text = encrypt_result(outcome, SETTINGS, key)
    assert text is not None
    return text


def test_a_response_arrives_without_its_headers() -> None:
    opened = decrypt_result(sealed(), settings(JWK), KEY)

    assert isinstance(opened, FlowResponse)
    assert opened == FlowResponse(200, Headers(), {"account": "ada@example.com"}, "e-4711", 1.5)


@pytest.mark.parametrize(
    "error",
    [
        OktaWorkflowsError("something", hint="Mend it."),
        OktaTokenRefusedError("refused", hint="Mend it.", error="invalid_client", status_code=401),
        OktaFlowNoResponseError("lost", flow="onboard", idempotency_key=KEY),
        OktaFlowFailedError("failed", flow="onboard", idempotency_key=KEY, response=RESPONSE),
    ],
)
def test_an_error_arrives_as_what_it_was(error: OktaWorkflowsError) -> None:
    opened = decrypt_result(sealed(error), SETTINGS, KEY)

    assert type(opened) is type(error)
    assert str(opened) == str(error)
    expected = vars(error)
    if "response" in expected:
        expected = {**expected, "response": FlowResponse.from_json(RESPONSE.to_json())}
    assert vars(opened) == expected


@pytest.mark.parametrize("outcome", [RESPONSE, OktaFlowFailedError("ada@example.com said no", response=RESPONSE)])
def test_nothing_of_it_can_be_read(outcome: Any) -> None:
    text = sealed(outcome)

    assert text.isascii()
    for hidden in ("ada@example", "account", "e-4711", "canary", "FailedError", KEY, JWK["d"]):
        assert hidden.encode() not in base64.b64decode(text)
    assert sealed(outcome) != text, "two that are alike cannot be told to be"


@pytest.mark.parametrize(
    "other", [settings(generate_jwk()), settings(JWK, key_passphrase="changed")], ids=["key", "passphrase"]
)
def test_another_key_does_not_open_it(other: OktaWorkflowsSettings) -> None:
    assert decrypt_result(sealed(), other, KEY) is None


def test_it_belongs_to_one_invocation() -> None:
    assert decrypt_result(sealed(), SETTINGS, "another") is None


def test_what_may_change_in_the_connection_does_not_matter() -> None:
    assert decrypt_result(sealed(), settings(JWK, read_timeout=10, key_id="other"), KEY)


def test_the_keys_of_other_purposes_do_not_open_it() -> None:
    assert len({SETTINGS.event_encryption_key(), SETTINGS.cache_encryption_key(), SETTINGS.token_cache_id}) == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-8],
        lambda text: text[8:],
        lambda text: text[:40],
        lambda text: "",
        lambda text: text + "!",
        lambda text: text[:20] + ("A" if text[20] != "A" else "B") + text[21:],
        lambda text: "é" + text[1:],
        lambda text: None,
        lambda text: 5,
        lambda text: {"sealed": text},
        lambda text: [text],
    ],
)
def test_what_is_damaged_does_not_open(spoil: Any) -> None:
    assert decrypt_result(spoil(sealed()), SETTINGS, KEY) is None


@given(st.text(max_size=80) | st.binary(max_size=80) | st.none() | st.integers() | st.lists(st.text()))
def test_any_event_opens_or_gives_none(value: Any) -> None:
    assert decrypt_result(value, SETTINGS, KEY) is None


@pytest.mark.parametrize(
    "outcome", [{"progress": 0.5}, {}, {"response": None}, {"response": {}}, {"response": {"status_code": "fine"}}]
)
def test_what_a_later_version_hands_over_gives_none(outcome: Any) -> None:
    text = base64.b64encode(
        encrypt(json.dumps(outcome).encode(), SETTINGS.event_encryption_key(), KEY.encode())
    ).decode()

    assert decrypt_result(text, SETTINGS, KEY) is None


def test_what_a_later_version_adds_is_left_out() -> None:
    response = {**RESPONSE.to_json(), "weather": "fine"}
    text = base64.b64encode(
        encrypt(json.dumps({"response": response}).encode(), SETTINGS.event_encryption_key(), KEY.encode())
    ).decode()

    assert decrypt_result(text, SETTINGS, KEY) == FlowResponse.from_json(RESPONSE.to_json())


@pytest.mark.parametrize("character", ["x", "é", "\N{GRINNING FACE}", "\ud800"])
def test_an_outcome_is_handed_over_up_to_a_size(character: str) -> None:
    def response(length: int) -> FlowResponse:
        return FlowResponse(200, Headers(), character * length, None, 0.0)

    most = (LARGEST_OUTCOME - len(json.dumps({"response": response(0).to_json()}))) // len(json.dumps(character)[1:-1])

    assert decrypt_result(sealed(response(most)), SETTINGS, KEY) == response(most)
    assert encrypt_result(response(most + 1), SETTINGS, KEY) is None
    assert encrypt_result(OktaFlowFailedError("failed", response=response(most)), SETTINGS, KEY) is None
