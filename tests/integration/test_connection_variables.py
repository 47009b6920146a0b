"""Connections in environment variables that Airflow reads otherwise than they are meant, or not at all."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.connection.serialized import problems_of
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.airflow_features import connection_class

JWK = generate_jwk()
PEM = pem_of(JWK)
KEY = quote(PEM, safe="")
MEMBERS = {"conn_type": "okta_workflows", "host": "acme.okta.com", "login": "0oa1b2c3", "password": PEM}
JSON = json.dumps(MEMBERS)
URI = f"okta-workflows://0oa1b2c3:{KEY}@acme.okta.com/"
NAME = "AIRFLOW_CONN_MINE"


def look_up(way: str) -> Any:
    hook = OktaWorkflowsHook("mine")
    return hook.settings if way == "sync" else asyncio.run(hook.asettings())


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("value", [JSON, URI, f" {JSON}\n", URI.replace("%0A", ""), URI.replace("okta-w", "OKTA-W")])
def test_json_and_a_uri_are_read(value: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, value)

    assert look_up(way).signing_key.algorithm == "ES256"


BROKEN = {
    "underscore": (URI.replace("-", "_", 1), "okta_workflows://", "Write okta-workflows://"),
    "space in the type": (URI.replace("-", " ", 1), "no underscores and no spaces", "Write okta-workflows://"),
    "single quotes": (f"'{JSON}'", "quotes around its value", "env file"),
    "double quotes": (f'"{URI}"', "quotes around its value", "env file"),
    "byte order mark": (f"\ufeff{JSON}", "byte order mark", "UTF-8"),
    "byte order mark before a URI": (f"\ufeff{URI}", "byte order mark", "UTF-8"),
    "export": (f"export {NAME}='{JSON}'", "whole line for a shell", "what follows"),
    "name": (f"{NAME}={URI}", "whole line for a shell", "what follows"),
    "name in YAML": (f"{NAME}: {URI}", "whole line for a shell or a file", "what follows"),
    "set": (f"set {NAME}={URI}", "whole line for a shell", "what follows"),
    "PowerShell": (f"$env:{NAME}='{URI}'", "whole line for a shell", "what follows"),
    "ENV": (f"ENV {NAME} {URI}".replace(" okta", "=okta"), "whole line for a shell", "what follows"),
    "compose": (f"- {NAME}={JSON}", "whole line for a shell", "what follows"),
    "id": (f"mine={URI}", "whole line for a shell", "what follows"),
    "quotes of bash": (f"$'{URI}'", "quotes around its value", "env file"),
    "escaped quotes": (f"\\'{URI}\\'", "quotes around its value", "env file"),
    "backticks": (f"`{JSON}`", "quotes around its value", "env file"),
    "words": (f"connections add {URI}", "something before the connection", "Remove everything before"),
    "misspelled type": (URI.replace("okta-workflows", "okta_workflow"), "okta_workflow://", "Write okta-workflows://"),
    "encoded three times": (json.dumps(json.dumps(JSON)), "encoded twice", "once"),
    "raw newlines": (JSON.replace("\\n", "\n"), "raw line break", "\\n"),
    "half": (JSON[: len(JSON) // 2], "not valid JSON: Unterminated string", "okta-workflows connection"),
    "python": (str(MEMBERS), "not valid JSON: Expecting property name", "okta-workflows connection"),
    "trailing comma": (JSON[:-1] + ",}", "not valid JSON", "okta-workflows connection"),
    "encoded twice": (json.dumps(JSON), "encoded twice", "once"),
    "other names": (json.dumps({**MEMBERS, "user": "x", "type": "y"}), "no connection has: type, user", "login"),
    "id inside": (json.dumps({**MEMBERS, "conn_id": "mine"}), "no connection has: conn_id", "login"),
    "port": (json.dumps({**MEMBERS, "port": "https"}), "not a whole number", "443"),
    "type": (json.dumps({**MEMBERS, "conn_type": ["okta_workflows"]}), "conn_type", "okta_workflows"),
    "password as an object": (json.dumps({**MEMBERS, "password": JWK}), "is an object, not a string", "private_key of extra"),
    "jwk": (json.dumps(JWK), "is a JWK", "password"),
    "pem": (PEM, "is a PEM", "password"),
    "raw slash": (URI.replace(KEY, "ab/cd+ef"), "a raw '/'", "%2F"),
    "raw hash": (URI.replace(KEY, "ab#cd"), "a raw '#'", "%23"),
    "raw question mark": (URI.replace(KEY, "ab?cd"), "a raw '?'", "%23"),
    "raw slash after digits": (URI.replace(KEY, "12/cd"), "a raw '/'", "%2F"),
    "raw slash after an at": (URI.replace(KEY, "a@b/cd"), "a raw '/'", "%2F"),
    "raw bracket": (URI.replace(KEY, "a[b"), "host or port cannot be read", "percent-encoded"),
    "port in a uri": (URI.replace("okta.com", "okta.com:x"), "host or port cannot be read", "percent-encoded"),
    "host with https": (URI.replace("@acme", "@https://acme"), "a second '://'", "without https://"),
    "raw url in the query": (f"{URI}?workflows_host=https://acme.workflows.okta.com", "a second '://'", "'?'"),
    "neither": ("acme.okta.com", "neither a JSON object nor a URI", "okta-workflows connection"),
    "spaces": ("  ", "is empty", "JSON"),
}  # fmt: skip


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_variable_that_airflow_cannot_read_is_named_with_the_reason(
    kind: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, reason, fix = BROKEN[kind]
    monkeypatch.setenv(NAME, value)

    with pytest.raises(OktaConfigurationError) as caught:
        look_up(way)

    message = str(caught.value)
    assert NAME in message
    assert reason in message
    assert fix in message
    for secret in (JWK["d"], *PEM.splitlines()[1:-1], "cd+ef"):
        assert secret not in message


def test_all_problems_of_a_variable_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, f"\ufeff'{JSON[:-1]}'")

    with pytest.raises(OktaConfigurationError) as caught:
        look_up("sync")

    assert len(caught.value.problems) == 3


def test_a_variable_in_another_spelling_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_mine", JSON)

    with pytest.raises(
        OktaConfigurationError, match=r"'AIRFLOW_CONN_mine' is set, but Airflow reads 'AIRFLOW_CONN_MINE'"
    ):
        look_up("sync")


def test_without_a_variable_the_error_is_that_of_airflow() -> None:
    with pytest.raises(Exception, match="mine") as caught:
        look_up("sync")

    assert not isinstance(caught.value, OktaConfigurationError)


def read_as_uri(text: str) -> Any:
    """Return the settings of a connection that a secrets backend has given Airflow as a URI."""
    kind = connection_class()
    connection = kind.from_uri(text, conn_id="mine") if hasattr(kind, "from_uri") else kind(conn_id="mine", uri=text)
    return parse_connection(connection, connection.extra_dejson)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (JSON, "is JSON, but Airflow has read it as a URI"),
        (URI.replace("-", "_", 1), "okta_workflows://"),
        (f"'{JSON}'", "begins with a quote"),
        (f'"{URI}"', "begins with a quote"),
        (f"\ufeff{JSON}", "begins with a quote"),
        (f"export {NAME}={JSON}", "begins with a quote"),
        (f"{NAME}={URI}", "begins with a quote"),
        (f"set {NAME}={URI}", "begins with a quote"),
        (f"{NAME}: {URI}", "begins with a quote"),
        (f"$'{URI}'", "begins with a quote"),
        (f"\\'{URI}\\'", "begins with a quote"),
        (URI.replace("okta-workflows", "okta_workflow"), "okta_workflow://"),
    ],
)
def test_a_connection_that_was_misread_elsewhere_says_so(text: str, reason: str) -> None:
    with pytest.raises(OktaConfigurationError) as caught:
        read_as_uri(text)

    assert reason in str(caught.value)
    assert JWK["d"] not in str(caught.value)


PIECES = st.sampled_from(["{", "}", '"', "'", ":", "://", "okta-workflows", "okta_workflows", "@", "/", "?", "#", "=",
                          "export ", NAME, "\ufeff", "conn_type", "[", "%", "\n", "acme.okta.com", "\udcef"])  # fmt: skip
TEXTS = st.lists(PIECES | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS.map("".join))
def test_any_text_of_a_variable_is_settings_or_an_error(text: str) -> None:
    logging.disable(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NAME, text)
        # An empty variable is none, and any other error would fail the test by itself.
        with suppress(OktaConfigurationError, *([] if text else [Exception])):
            OktaWorkflowsHook("mine").settings  # noqa: B018  # raises
    logging.disable(logging.NOTSET)


@given(TEXTS.map("".join))
@example("okta-workflowsokta-workflowsokta_workflows://")
def test_each_problem_of_a_text_is_one_line_with_its_fix(text: str) -> None:
    for problem in problems_of(text, NAME):
        assert "\n" not in problem.message
        assert len(problem.message) <= 120
        assert problem.hint


def test_an_error_of_another_backend_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hook(OktaWorkflowsHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            raise PermissionError("denied")

    monkeypatch.setenv(NAME, JSON)

    with pytest.raises(PermissionError, match="denied"):
        Hook("mine").settings  # noqa: B018  # raises
