from __future__ import annotations

import pytest

from airflow_okta_workflows.core.access_token import AccessToken, TokenState
from airflow_okta_workflows.core.secret import Secret, redact

START = 1_000_000.0


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (0, TokenState.FRESH),
        (3000, TokenState.FRESH),
        (3300, TokenState.STALE),
        (3539, TokenState.STALE),
        (3540, TokenState.EXPIRED),
        (4000, TokenState.EXPIRED),
        (-60, TokenState.FRESH),
        (-61, TokenState.EXPIRED),
        (-86_400, TokenState.EXPIRED),
    ],
)
def test_a_token_of_an_hour_ages(age: float, state: TokenState) -> None:
    assert AccessToken("t", START + 3600, 3600).state(START + age) is state


def test_a_short_token_is_used_for_half_of_its_life() -> None:
    token = AccessToken("t", START + 60, 60)

    assert [token.state(START + age) for age in (0, 25, 30)] == [TokenState.FRESH, TokenState.STALE, TokenState.EXPIRED]
    assert AccessToken("t", START, 0).state(START) is TokenState.EXPIRED


def test_repr_hides_the_token() -> None:
    assert "t0ken" not in repr(AccessToken("t0ken", START))


def test_a_secret_shows_itself_to_nobody_who_does_not_ask() -> None:
    secret = Secret("s3cret")

    assert "s3cret" not in f"{secret} {secret!r}"
    assert secret.reveal() == "s3cret"
    assert secret == Secret("s3cret")
    assert secret != Secret("other")
    assert secret != "s3cret"
    assert len({secret, Secret("s3cret")}) == 1
    assert not Secret("")


def test_redact_takes_out_what_is_there() -> None:
    assert redact("a t0ken b", ("t0ken", "", "other")) == "a *** b"
