"""``okta-workflows check --file`` with each file in which connections are kept."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # Airflow brings it, without its types
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.cli.commands import COMMANDS
from airflow_okta_workflows.cli.connection_file import connection_in_file
from airflow_okta_workflows.cli.runner import UsageError
from airflow_okta_workflows.core.keys.generation import pem_of
from airflow_okta_workflows.emulator import LocalOrg
from tests.airflow_features import connection_class
from tests.conftest import CommandLine, Ended

VARIABLE = "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT"
FORMATS = next(
    dict(argument.options)["choices"]
    for command in COMMANDS
    for argument in command.arguments
    if command.name == "connection" and "--format" in argument.flags
)


@pytest.fixture
def org(okta_local_org: LocalOrg, monkeypatch: pytest.MonkeyPatch) -> LocalOrg:
    okta_local_org.flow("hello")(lambda request: {"greeting": "Hello!"})
    monkeypatch.delenv(VARIABLE)
    return okta_local_org


Check = Callable[..., Ended]


@pytest.fixture
def check(tmp_path: Path, okta_workflows: CommandLine) -> Check:
    def run(text: str | bytes, *arguments: str, name: str = "mine.txt") -> Ended:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return okta_workflows("check", "--file", str(tmp_path / name), "--output", "json", *arguments)

    return run


def model(connection: dict[str, Any]) -> Any:
    return connection_class().from_json(json.dumps(connection), conn_id="okta")


def exported(connection: dict[str, Any]) -> dict[str, Any]:
    """Return a connection as ``airflow connections export`` writes it: all members, and extra as a string."""
    rest = {"description": None, "port": None, "schema": None}
    return {**rest, **connection, "extra": json.dumps(connection["extra"])}


WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "json": lambda one: json.dumps(one, indent=2),
    "yaml": yaml.safe_dump,
    "uri": lambda one: model(one).get_uri() + "\n",
    "env": lambda one: f"export AIRFLOW_CONN_OKTA={shlex.quote(json.dumps(one))}\n",
    "env without quotes": lambda one: f"# connections\n\nAIRFLOW_CONN_OKTA={json.dumps(one)}\n",
    "env with a uri": lambda one: f"AIRFLOW_CONN_OKTA='{model(one).get_uri()}'",
    "exported json": lambda one: json.dumps({"okta": exported(one)}),
    "exported yaml": lambda one: yaml.dump({"okta": exported(one)}),
    "exported env of uris": lambda one: f"okta={model(one).get_uri()}\n",
    "exported env of json": lambda one: f"okta={json.dumps(exported(one))}\n",
    "file of a secrets backend": lambda one: json.dumps({"okta": model(one).get_uri()}),
    "file of a secrets backend with lists": lambda one: yaml.safe_dump({"okta": [model(one).get_uri()]}),
    "compose environment": lambda one: yaml.safe_dump({"AIRFLOW_CONN_OKTA": json.dumps(one)}),
    "extra_dejson": lambda one: json.dumps({"okta": {**{k: v for k, v in one.items() if k != "extra"}, "extra_dejson": one["extra"]}}),
    "byte order mark": lambda one: "\ufeff" + json.dumps(one),
}  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("key", ["jwk", "pem"])
def test_a_connection_in_each_format_passes(writer: str, key: str, org: LocalOrg, check: Check) -> None:
    connection = org.connection()
    if key == "pem":
        connection["password"] = pem_of(org.private_jwk)
    ended = check(WRITERS[writer](connection), "--flow", "hello", "--yes")

    assert ended.code == 0, ended
    assert ended.json["connection"] in ("okta", "mine")
    assert ended.json["response"]["body"] == {"greeting": "Hello!"}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("keep", [(), ("--keep-key-file",)])
def test_what_the_command_connection_prints_passes(
    kind: str, keep: tuple[str, ...], org: LocalOrg, check: Check, okta_workflows: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(json.dumps(org.private_jwk))
    given = ("--domain", org.url, "--client-id", org.app.client_id, "--key-file", str(tmp_path / "key"), *keep)
    printed = okta_workflows("connection", *given, "--flow", f"hello={org.flows['hello'].alias}", "--format", kind)

    ended = check(printed.out)
    assert ended.code == 0, ended
    assert {step["result"] for step in ended.json["steps"]} == {"passed"}


def test_what_the_local_org_prints_and_keeps_passes(org: LocalOrg, check: Check, tmp_path: Path) -> None:
    from airflow_okta_workflows.emulator.kept_connection import keep_connection

    ((variable, value),) = org.environment().items()
    keep_connection(tmp_path / "kept.json", org.connection())

    for text in (f"export {variable}={shlex.quote(value)}", (tmp_path / "kept.json").read_text()):
        ended = check(text)
        assert ended.code == 0, ended
        assert ended.json["connection"] == "okta_workflows_default"
        assert {step["result"] for step in ended.json["steps"]} == {"passed"}


def test_of_several_connections_the_one_of_our_type_is_checked(org: LocalOrg, check: Check) -> None:
    other = {"conn_type": "http", "host": "x"}
    several = {"other": other, "okta": exported(org.connection()), "uri": "http://x"}

    assert check(json.dumps(several)).json["connection"] == "okta"
    assert check(json.dumps(several), "--conn-id", "okta").code == 0
    assert check(json.dumps(several), "--conn-id", "other").code == 1
    two = check(json.dumps({**several, "second": org.connection()}))
    assert (two.code, two.out) == (2, "")
    assert "'okta', 'second': name one of them with --conn-id" in two.err.replace("'other', ", "").replace(
        "'uri', ", ""
    )
    default = {**several, "okta_workflows_default": org.connection()}
    assert check(json.dumps(default)).json["connection"] == "okta_workflows_default"
    assert check(json.dumps(several), "--conn-id", "nowhere").code == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a connection as JSON, YAML, URI or variable"),
        ('{"conn_type": "okta_workflows",', "is not valid JSON: Expecting property name"),
        ('{"conn_type": "okta_workflows", "password": "a\nb"}', "raw line break"),
        ("okta=okta-workflows://0oa:a/b@acme.okta.com", "a raw '/'"),
        ("okta_workflows://0oa:ab@acme.okta.com", "Write okta-workflows://"),
        ('{"conn_type": "okta_workflows", "user": "x"}', "no connection has: user"),
        ('{"conn_type": "okta_workflows", "port": "x"}', "not a whole number"),
        ("{}", "contains no connection"),
        ("a: b: c", "is not a connection"),
        (b"\xff\xfe{\x00", "is not a connection"),
        ("AIRFLOW_CONN_X=just words", "neither a JSON object nor a URI"),
    ],
)
def test_a_file_that_airflow_could_not_read_says_why(text: str | bytes, reason: str, check: Check) -> None:
    ended = check(text)

    assert (ended.code, ended.out) == (2, "")
    assert "mine.txt" in ended.err
    assert reason in ended.err


@given(st.text() | st.lists(st.sampled_from(["{", "}", '"', "a", "=", ":", "\n", "-", "://", "AIRFLOW_CONN_X", " ", "[", "&a", "*a", "!", "'"])).map("".join))  # fmt: skip
def test_any_file_is_a_connection_or_wrong_usage(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode("utf-8", "replace"))
    with suppress(UsageError):
        connection_in_file(str(path), None)
