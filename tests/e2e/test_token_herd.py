"""Two hundred concurrent processes on one host without a token, for which the org gets one token request."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from airflow_okta_workflows.emulator import LocalOrg
from tests.integration.test_token_sharing import in_processes, invoke_echo

if TYPE_CHECKING:
    from pathlib import Path

HERD = 200
Connect = Callable[..., None]
Say = Callable[[str], None]


class RefusingOrg(LocalOrg):
    """Local org whose flows refuse the first token that it grants."""

    def grant_token(self, issuer: str, scope: str) -> str:
        token = super().grant_token(issuer, scope)
        if self.tokens_granted == 0:
            self.revoke_tokens()
        return token


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR", str(tmp_path / "tokens"))


def with_echo(org: LocalOrg) -> Iterator[LocalOrg]:
    with org:
        org.flow("echo")(lambda request: {})
        yield org


@pytest.fixture
def org() -> Iterator[LocalOrg]:
    yield from with_echo(LocalOrg(rate_limit=None, key_type="rsa2048"))


@pytest.fixture
def refusing_org() -> Iterator[LocalOrg]:
    yield from with_echo(RefusingOrg(rate_limit=None, key_type="rsa2048"))


def tell(org: LocalOrg, say: Say) -> None:
    runs, requests = len(org.flows["echo"].runs), len(org.log)
    say(f"{HERD} processes: {len(org.token_requests)} token request(s), {runs} runs, {requests} requests to the flow")


def test_cold(org: LocalOrg, connect: Connect, say: Say) -> None:
    connect(org)

    assert in_processes(HERD, invoke_echo) == [0] * HERD
    tell(org, say)
    assert len(org.token_requests) == 1
    assert len(org.flows["echo"].runs) == HERD


def test_cold_with_the_key_rotated_half_way(org: LocalOrg, connect: Connect, say: Say) -> None:
    first = json.dumps(org.connection())
    second = json.dumps({**org.connection(), "password": json.dumps(org.add_key("rsa2048"))})
    turn = iter([first, second] * HERD)
    turns = [next(turn) for _ in range(HERD)]

    def invoke_with_the_key_of_the_moment(number: int) -> None:  # pragma: no cover  # in another process
        os.environ["AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT"] = turns[number]
        invoke_echo()

    assert in_processes(HERD, invoke_with_the_key_of_the_moment) == [0] * HERD
    tell(org, say)
    assert len(org.token_requests) == 2, "one with each key"
    assert len(org.flows["echo"].runs) == HERD


def test_cold_with_the_first_token_refused(refusing_org: LocalOrg, connect: Connect, say: Say) -> None:
    connect(refusing_org)

    assert in_processes(HERD, invoke_echo) == [0] * HERD
    tell(refusing_org, say)
    assert len(refusing_org.token_requests) == 2, "the one that is refused, and one for all"
    assert len(refusing_org.flows["echo"].runs) == HERD
