"""``okta-workflows connection``: what it prints works, and what does not work is not printed."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.core.keys.generation import pem_of
from airflow_okta_workflows.emulator import LocalOrg
from tests.airflow_features import connection_class
from tests.conftest import CommandLine, Ended

PASSPHRASE = "correct horse"
VARIABLE = "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT"


@pytest.fixture
def org(okta_local_org: LocalOrg, monkeypatch: pytest.MonkeyPatch) -> LocalOrg:
    okta_local_org.flow("hello")(lambda request: {"greeting": "Hello!"})
    monkeypatch.delenv(VARIABLE)
    return okta_local_org


Build = Callable[..., Ended]


@pytest.fixture
def build(org: LocalOrg, tmp_path: Path, okta_workflows: CommandLine) -> Build:
    def call(*arguments: str, key: str | bytes | None = None, domain: str | None = None) -> Ended:
        path = tmp_path / "key"
        text = json.dumps(org.private_jwk) if key is None else key
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        given = ("--domain", domain or org.url, "--client-id", org.app.client_id, "--key-file", str(path))
        return okta_workflows("connection", *given, *arguments)

    return call


def encrypted(org: LocalOrg) -> bytes:
    key: Any = serialization.load_pem_private_key(pem_of(org.private_jwk).encode(), None)
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )
    return pem


def der(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


SHAPES: dict[str, Callable[[dict[str, Any]], str | bytes]] = {
    "jwk": json.dumps,
    "jwk over lines": lambda jwk: json.dumps(jwk, indent=4),
    "pem": pem_of,
    "crlf": lambda jwk: pem_of(jwk).replace("\n", "\r\n"),
    "escaped newlines": lambda jwk: pem_of(jwk).replace("\n", "\\n"),
    "newlines lost": lambda jwk: pem_of(jwk).replace("\n", " "),
    "quoted": lambda jwk: f'"{pem_of(jwk)}"',
    "base64 around": lambda jwk: base64.b64encode(pem_of(jwk).encode()),
    "der": lambda jwk: der(pem_of(jwk)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_line_for_the_shell_works_whatever_the_key_looked_like(
    shape: str, org: LocalOrg, build: Build, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = org.private_jwk["kid"]
    ended = build("--key-id", kid, "--flow", f"hello={org.flows['hello'].alias}", key=SHAPES[shape](org.private_jwk))
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 1, "newline troubles end here"
    show = f'{sys.executable} -c \'import os; print(os.environ["{VARIABLE}"], end="")\''
    by_shell = subprocess.run(["sh", "-c", ended.out + show], capture_output=True, text=True, check=True, env={})

    monkeypatch.setenv(VARIABLE, by_shell.stdout)
    checked = okta_workflows("check", "--flow", "hello", "--yes", "--output", "json")

    assert checked.code == 0
    assert checked.json["response"]["body"] == {"greeting": "Hello!"}
    assert f"kid {kid}" in checked.out


def test_json_is_what_airflow_takes(org: LocalOrg, build: Build) -> None:
    ended = build("--format", "json", "--flow", "hello=abc", "--flow", f"bye={org.invoke_url('hello')}")
    connection = connection_class().from_json(ended.out, conn_id="x")
    settings = parse_connection(connection, connection.extra_dejson)

    assert ended.code == 0
    assert settings.domain.url == org.url
    assert settings.client_id == org.app.client_id
    assert {name: flow.alias for name, flow in settings.flows.items()} == {
        "hello": "abc",
        "bye": org.flows["hello"].alias,
    }
    assert "key_file" not in connection.extra_dejson, "the key itself travels, not the path of this machine"


def test_the_steps_and_the_warning_go_to_stderr(org: LocalOrg, build: Build) -> None:
    ended = build("--flow", f"hello={org.flows['hello'].alias}")

    assert re.findall(r"^passed +(\w+)", ended.err, re.MULTILINE) == [
        *("fields", "key", "domain", "metadata", "clock", "token", "flows"),
    ]
    assert "holds the private key" in ended.err
    assert org.private_jwk["d"] in ended.out
    assert org.private_jwk["d"] not in ended.err
    assert org.log == [], "no flow is invoked"


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("acme.okta.com", "acme.okta.com"),
        ("https://ACME.okta.com/oauth2/v1/token", "acme.okta.com"),
        ("acme.okta.com:8443", "acme.okta.com:8443"),
        ("127.0.0.1:8099", "http://127.0.0.1:8099"),
        ("https://127.0.0.1:8099", "https://127.0.0.1:8099"),
    ],
)
def test_the_domain_is_put_in_order(given: str, host: str, org: LocalOrg, build: Build) -> None:
    ended = build("--offline", "--format", "json", domain=given)

    assert ended.json["host"] == host
    assert org.token_requests == []


def test_a_custom_domain_comes_with_its_workflows_host(org: LocalOrg, build: Build) -> None:
    without = build("--offline", domain="login.acme.com")
    with_it = build(
        "--offline", "--format", "json", "--workflows-host", "acme.workflows.okta.com", domain="login.acme.com"
    )

    assert (without.code, with_it.code) == (1, 0)
    assert "workflows_host is missing" in without.err
    assert with_it.json["extra"] == {"insecure_http": False, "workflows_host": "acme.workflows.okta.com"}


def test_what_is_wrong_is_listed_at_once_and_nothing_is_printed(org: LocalOrg, okta_workflows: CommandLine) -> None:
    ended = okta_workflows(
        "connection", "--domain", "acme-admin.okta.com", "--client-id", " ", "--key-file", "/nowhere/key"
    )

    assert (ended.code, ended.out) == (1, "")
    assert "3 problems" in ended.err
    for fix in ("acme.okta.com", "Client ID", "/nowhere/key"):
        assert fix in ended.err


def test_a_connection_that_gets_no_token_is_not_printed(org: LocalOrg, build: Build) -> None:
    org.app.proof_of_possession = True
    ended = build()

    assert (ended.code, ended.out) == (1, "")
    assert "Proof of Possession" in ended.err


def test_a_connection_that_fails_its_own_check_is_not_printed(
    org: LocalOrg, build: Build, okta_workflows: CommandLine, tmp_path: Path
) -> None:
    domain = f"http://localhost:{org.port}"
    ended = build("--format", "json", domain=domain)
    offline = build("--format", "json", "--offline", domain=domain)
    (tmp_path / "offline.json").write_text(offline.out)

    assert (ended.code, ended.out) == (1, "")
    assert "failed   metadata" in ended.err
    assert "the connection does not work yet" in ended.err
    assert offline.code == 0
    assert okta_workflows("check", "--file", str(tmp_path / "offline.json")).code == 1


@pytest.mark.parametrize(("response", "code"), [(f"{PASSPHRASE}\n", 0), ("wrong\n", 1), ("", 1)])
def test_the_passphrase_of_a_key_is_read_from_stdin(
    response: str, code: int, org: LocalOrg, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(response))
    ended = build("--format", "json", "--key-id", org.private_jwk["kid"], key=encrypted(org))

    assert ended.code == code
    assert PASSPHRASE not in ended.err
    if code == 0:
        assert ended.json["extra"]["key_passphrase"] == PASSPHRASE
        assert "ENCRYPTED" in ended.json["password"]


def test_the_passphrase_is_asked_for_on_a_terminal_and_not_shown(org: LocalOrg, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(encrypted(org))
    main, side = pty.openpty()
    arguments = ["--domain", org.url, "--client-id", org.app.client_id, "--key-file", str(tmp_path / "key.pem")]
    with subprocess.Popen(
        [Path(sys.executable).parent / "okta-workflows", "connection", *arguments, "--format", "json"],
        stdin=side,
        stdout=subprocess.PIPE,
        stderr=side,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(side)
        shown = b""
        while b"Passphrase of the key: " not in shown:
            shown += os.read(main, 1024)
        os.write(main, PASSPHRASE.encode() + b"\n")
        assert process.stdout is not None
        printed = process.stdout.read()
        while b"keep it out of logs" not in shown:
            shown += os.read(main, 65_536)
    os.close(main)

    assert process.returncode == 0, shown.decode()
    assert json.loads(printed)["extra"]["key_passphrase"] == PASSPHRASE
    assert PASSPHRASE.encode() not in shown
    assert b"\x1b[32mpassed" in shown, "the steps are in colours, though stdout is a pipe"


def test_a_kid_may_begin_as_an_option_does(org: LocalOrg, build: Build) -> None:
    assert build("--offline", "--format", "json", "--key-id=-kid").json["extra"]["key_id"] == "-kid"


def test_the_variable_has_the_name_of_the_connection(org: LocalOrg, build: Build) -> None:
    line = build("--conn-id", "okta_test").out

    assert shlex.split(line)[1].partition("=")[0] == "AIRFLOW_CONN_OKTA_TEST"


def test_a_key_file_can_stay_where_the_key_is(
    org: LocalOrg, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").write_text("")
    ended = build("--keep-key-file", "--offline", "--ca-file", "ca.pem", "--format", "json")

    assert ended.code == 0
    paths = {"key_file": str(tmp_path / "key"), "verify": str(tmp_path / "ca.pem")}
    assert ended.json["extra"] == {"insecure_http": False, **paths}
    assert "password" not in ended.json
    assert "holds no secret" in ended.err
    assert org.private_jwk["d"] not in ended.out + ended.err


def test_the_passphrase_of_a_key_that_stays_is_told_of(
    org: LocalOrg, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSPHRASE}\n"))
    ended = build("--keep-key-file", "--key-id", org.private_jwk["kid"], key=encrypted(org))

    assert ended.code == 0
    assert "holds the key's passphrase" in ended.err


def test_only_what_is_added_can_replace(org: LocalOrg, build: Build) -> None:
    ended = build("--replace")

    assert (ended.code, ended.out) == (2, "")
    assert "--replace requires --add" in ended.err


@pytest.mark.parametrize("conn_id", ["okta-test", "okta.test", "okta test"])
def test_an_id_that_no_shell_can_set_needs_json(conn_id: str, org: LocalOrg, build: Build) -> None:
    as_line, as_json = build("--conn-id", conn_id), build("--conn-id", conn_id, "--format", "json")

    assert (as_line.code, as_line.out, as_json.code) == (2, "", 0)
    assert "--format json" in as_line.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["--domain", "d"], ["--domain", "d", "--client-id", "c", "--key-file", "k", "--flow", "hello"]],
)
def test_wrong_usage_ends_with_2(arguments: list[str], okta_workflows: CommandLine) -> None:
    ended = okta_workflows("connection", *arguments)

    assert (ended.code, ended.out) == (2, "")
