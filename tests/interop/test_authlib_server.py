"""Tokens for our hook from an authorization server that nobody here wrote: Authlib's verdict on our assertions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_okta_workflows.core.keys.generation import KeyType, generate_jwk, pem_of, public_jwk
from airflow_okta_workflows.exceptions import OktaTokenRefusedError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.interop.authlib_server import SCOPE, AuthlibServer
from tests.interop.keys import ALGORITHMS, FORMS, KEYS, PASSPHRASE, new_key

Connect = Callable[..., None]


@pytest.fixture(scope="module")
def server() -> Iterator[AuthlibServer]:
    with AuthlibServer() as server:
        yield server


@pytest.fixture
def connect(server: AuthlibServer, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Return a function that registers a public key with the server, and defines a connection with a private one."""
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "off")
    server.saved.clear()

    def define(public: dict[str, Any], private: str, **extra: Any) -> None:
        connection = {"conn_type": "okta_workflows", "host": server.url, "password": private, "extra": extra}
        connection["login"] = server.add_client(public)
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))

    return define


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_grants_a_token_for_each_algorithm(server: AuthlibServer, connect: Connect, algorithm: str) -> None:
    key = KEYS[ALGORITHMS[algorithm]]
    # A verifier that holds the key to one algorithm.
    public = {**key.export_public(as_dict=True), "alg": algorithm}
    connect(public, key.export(), algorithm=algorithm)

    token = OktaWorkflowsHook().get_access_token()

    assert [saved["access_token"] for saved in server.saved] == [token.value]
    assert server.saved[0]["scope"] == SCOPE


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", FORMS)
def test_it_grants_a_token_for_each_form_of_a_key(
    server: AuthlibServer, connect: Connect, form: str, kind: str
) -> None:
    key = KEYS[kind]
    connect(key.export_public(as_dict=True), FORMS[form](key), key_passphrase=PASSPHRASE)

    OktaWorkflowsHook().get_access_token()

    assert len(server.saved) == 1


@pytest.mark.parametrize("key_type", ["p256", "rsa2048", "rsa4096"])
def test_it_grants_a_token_for_each_key_that_we_generate(
    server: AuthlibServer, connect: Connect, key_type: KeyType
) -> None:
    private = generate_jwk(key_type)
    for number, text in enumerate((json.dumps(private), pem_of(private)), start=1):
        connect(public_jwk(private), text)
        OktaWorkflowsHook().get_access_token()

        assert len(server.saved) == number


async def test_it_grants_a_token_on_an_event_loop(server: AuthlibServer, connect: Connect) -> None:
    key = KEYS["P-256"]
    connect(key.export_public(as_dict=True), key.export())

    token = await OktaWorkflowsHook().aget_access_token()

    assert [saved["access_token"] for saved in server.saved] == [token.value]


def test_each_token_takes_a_new_assertion(server: AuthlibServer, connect: Connect) -> None:
    key = KEYS["P-256"]
    connect(key.export_public(as_dict=True), key.export())

    for _ in range(3):
        OktaWorkflowsHook().get_access_token()

    assert len(server.saved) == 3, "the server takes no jti twice"


@pytest.mark.parametrize("kind", KEYS)
def test_it_refuses_another_key_and_we_say_what_to_change(server: AuthlibServer, connect: Connect, kind: str) -> None:
    connect(new_key(kind).export_public(as_dict=True), KEYS[kind].export())

    with pytest.raises(OktaTokenRefusedError) as caught:
        OktaWorkflowsHook().get_access_token()

    assert caught.value.error == "invalid_client"
    assert "key" in caught.value.hint
    assert server.saved == []


def test_it_refuses_another_algorithm(server: AuthlibServer, connect: Connect) -> None:
    key = KEYS["RSA"]
    connect({**key.export_public(as_dict=True), "alg": "RS512"}, key.export(), algorithm="RS256")

    with pytest.raises(OktaTokenRefusedError, match="invalid_client"):
        OktaWorkflowsHook().get_access_token()

    assert server.saved == []
