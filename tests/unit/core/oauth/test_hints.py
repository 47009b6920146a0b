"""The hint that follows each refusal of the token endpoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.oauth.hints import NOT_THE_ORG, token_hint
from tests.unit.core.oauth.test_token_request import NOW, REFUSALS, Talk, http_response

NO_KEY = "The client does not have a JWKSet configured."


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (400, {"error": "no_org_scopes_granted", "error_description": "anything"}, "Okta API Scopes tab"),
        (400, {"error": "NO_ORG_SCOPES_GRANTED"}, "Okta API Scopes tab"),
        (401, {"error": "invalid_client", "error_description": NO_KEY}, "Give the app a public key"),
        (401, {"error": "invalid_client", "error_description": "No JWKS found."}, "Give the app a public key"),
        (403, {"errorCode": "E0000006", "errorSummary": "You do not have permission"}, "System Log"),
        (403, {"errorCode": "E0000006"}, "network zones"),
        (401, {"errorCode": "E0000015", "errorSummary": "You do not have permission"}, "lacks a feature"),
        (405, {"errorCode": "E0000022"}, "another method than POST"),
        (415, {"errorCode": "E0000021"}, "Content-Type"),
        (401, {"errorCode": "E0000011"}, "Look up E0000011"),
        (400, {"errorCode": "e0000003"}, "Look up E0000003"),
        (400, {"error": "access_denied", "error_description": "Policy evaluation failed for this request."}, "custom authorization server"),
        (400, {"error": "invalid_scope"}, "custom authorization server"),
    ],
)  # fmt: skip
def test_a_refusal_by_the_org_leads_to_its_cause(status: int, body: dict[str, str], advice: str) -> None:
    hint = Talk(http_response(status, body)).refusal().hint

    assert advice in hint
    assert NOT_THE_ORG not in hint


@pytest.mark.parametrize(
    "spell",
    [
        str.upper,
        lambda text: text.removesuffix("."),
        lambda text: f"  {text.replace(' ', '  ')} (request id 7)",
        lambda text: text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
    ],
)
@pytest.mark.parametrize(("error", "description"), [refusal[1:3] for refusal in REFUSALS if refusal[2] != "anything"])
def test_a_description_is_recognized_in_another_spelling(spell: object, error: str, description: str) -> None:
    assert callable(spell)

    assert token_hint(error, spell(description), None) == token_hint(error, description, None)


@pytest.mark.parametrize("body", [{"errorCode": "E000006"}, {"errorCode": "EUNKNOWN"}, {"error": "E 0000006"}, {}])
def test_what_is_no_error_code_of_okta_is_not_the_org(body: dict[str, str]) -> None:
    assert Talk(http_response(403, body)).refusal().hint == NOT_THE_ORG


@pytest.mark.parametrize(("status", "error", "description", "_"), REFUSALS)
@pytest.mark.parametrize(
    ("skew", "said"),
    [(-61, "61 s behind the org's"), (61, "61 s ahead of the org's"), (4000, "4000 s ahead of"), (59, ""), (-60, "")],
)
def test_a_clock_that_is_off_by_more_than_a_minute_is_named(
    skew: float, said: str, status: int, error: str, description: str, _: str
) -> None:
    body = {"error": error, "error_description": description}
    hint = Talk(http_response(status, body), now=NOW + skew).refusal().hint

    assert said in hint
    assert hint.count("Set this machine's clock") <= 1
    assert ("NTP" in hint) is bool(said) or "token" in description


@pytest.mark.parametrize(
    ("offset", "end"),
    [
        (90.0, "(NTP); it is 90 s ahead of the org's."),
        (1.0, "(NTP); it is 1 s ahead of the org's."),
        # The org says otherwise than the clocks.
        (-5.0, "(NTP); it is ahead of the org's (it is 5 s behind the org's)."),
        (None, "(NTP); it is ahead of the org's."),
    ],
)
def test_a_clock_that_is_ahead_is_said_to_be_so_once(offset: float | None, end: str) -> None:
    said = "The client_assertion token must be issued before the current time."

    assert token_hint("invalid_client", said, offset).endswith(end)


def test_three_conditions_are_three_lines() -> None:
    hint = token_hint(
        "invalid_client",
        "Client authentication failed. Either the client or the client credentials are invalid.",
        None,
    )

    lines = hint.splitlines()
    assert ["ACTIVE in this org" in lines[0], "Client ID" in lines[1], "Public Keys" in lines[2]] == [True] * 3
    assert len(lines) == 3


@given(
    st.text() | st.none(),
    st.text() | st.none(),
    st.floats(allow_nan=False, allow_infinity=False) | st.none(),
)
def test_any_refusal_has_a_hint(error: str | None, description: str | None, offset: float | None) -> None:
    hint = token_hint(error, description, offset)

    assert all(line.endswith(".") for line in hint.splitlines())
