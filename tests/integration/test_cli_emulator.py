"""``okta-workflows emulator``: the line it prints is a connection that works for as long as it runs."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_okta_workflows.cli.main import main, standalone_parser
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of, public_jwk
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.emulator.kept_connection import keep_connection
from airflow_okta_workflows.emulator.public_keys import parse_public_keys
from airflow_okta_workflows.emulator.sample_flows import sample_flows
from airflow_okta_workflows.exceptions import OktaFlowFailedError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

VARIABLE = "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT"
RunEmulator = Callable[..., int]


@pytest.fixture
def run_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunEmulator]:
    """Run the emulator in this process, on its main thread, and a function beside it once it has printed a line."""
    stdout = os.dup(1)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def run(*arguments: str, talk: Callable[[str], None], end: signal.Signals = signal.SIGINT) -> int:
        reading, writing = os.pipe()
        failures: list[BaseException] = []

        def beside() -> None:
            with os.fdopen(reading) as printed:
                try:
                    talk(printed.readline())
                except BaseException as error:
                    failures.append(error)
                finally:
                    os.kill(os.getpid(), end)
                    printed.read()

        thread = threading.Thread(target=beside)
        os.dup2(writing, 1)
        os.close(writing)
        try:
            thread.start()
            return main(["emulator", *arguments])
        finally:
            os.dup2(stdout, 1)
            thread.join()
            for failure in failures:
                raise failure

    yield run
    os.close(stdout)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def export(line: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    command, assignment = shlex.split(line)
    variable, _, value = assignment.partition("=")
    assert (command, variable) == ("export", VARIABLE)
    monkeypatch.setenv(variable, value)
    connection: dict[str, Any] = json.loads(value)
    return connection


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_the_sample_flows_until_it_is_told_to_stop(
    end: signal.Signals, run_emulator: RunEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    def talk(line: str) -> None:
        seen.update(export(line, monkeypatch))
        hook = OktaWorkflowsHook()
        seen["response"] = hook.invoke("hello", {"name": "Ada"}).body
        with pytest.raises(OktaFlowFailedError):
            hook.invoke("create_account", {})
        hook.close()

    assert run_emulator(talk=talk, end=end) == 0
    assert seen["response"] == {"greeting": "Hello, Ada!"}
    assert set(seen["extra"]["flows"]) == set(sample_flows())
    told = capsys.readouterr().err
    assert "token request\n  -> 200 granted" in told
    assert 'hello: POST {"name":"Ada"}\n  -> 200 {"greeting": "Hello, Ada!"}' in told
    assert '-> 400 {"message": "email is missing"}' in told
    assert "has ended: 2 flow requests, 1 token requests" in told
    assert seen["password"] not in told
    assert "refused" in OktaWorkflowsHook().test_connection()[1], "the port is free again"


def test_it_behaves_as_a_profile_says(
    tmp_path: Path, run_emulator: RunEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"status": 451, "type": "application/json", "body": {"message": "not here"}}
    (tmp_path / "conformance.json").write_text(json.dumps({"format": 1, "rules": {"F7": {"seen": changed}}}))
    seen: list[OktaFlowFailedError] = []

    def talk(line: str) -> None:
        export(line, monkeypatch)
        hook = OktaWorkflowsHook()
        with pytest.raises(OktaFlowFailedError) as caught:
            hook.invoke("0123456789abcdef0123456789abcdef")
        seen.append(caught.value)
        hook.close()

    assert run_emulator("--profile", str(tmp_path / "conformance.json"), talk=talk) == 0
    assert seen[0].response is not None
    assert (seen[0].response.status_code, seen[0].response.body) == (451, {"message": "not here"})


def test_json_holds_all_a_script_needs(run_emulator: RunEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(first: str) -> None:
        assert first == "{\n"

    assert run_emulator("--output", "json", talk=talk) == 0


FLOWS = """
from airflow_okta_workflows.emulator import ReturnError, flow

@flow("onboard", alias="0123456789abcdef0123456789abcdef")
def onboard(request):
    if "email" not in request.body:
        return ReturnError(400, "email is missing")
    return {"account": request.body["email"]}

@flow(security="client_token")
def closed(request):
    return {}
"""


def test_it_runs_flows_of_the_user_s_own(
    tmp_path: Path, run_emulator: RunEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my_flows.py"
    path.write_text(FLOWS)
    seen: dict[str, Any] = {}

    def talk(line: str) -> None:
        seen.update(export(line, monkeypatch))
        seen["response"] = OktaWorkflowsHook().invoke("onboard", {"email": "ada@example.com"}).body

    with monkeypatch.context() as context:
        context.setattr(sys, "path", list(sys.path))
        assert run_emulator("--flows", str(path), talk=talk) == 0
    assert seen["response"] == {"account": "ada@example.com"}
    assert seen["extra"]["flows"]["onboard"] == "0123456789abcdef0123456789abcdef"
    assert set(seen["extra"]["flows"]) == {"onboard", "closed"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "FileNotFoundError"),
        ("x = 1\n", "defines no function that could be a flow"),
        ("def broken(:\n", "SyntaxError"),
        ("\nraise RuntimeError('mine')\n", 'my_flows.py", line 2'),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("import sys\nsys.exit()\n", 'my_flows.py", line 2'),
        ("import pytest\npytest.fail('mine')\n", "mine"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(
    text: str | None, told: str, tmp_path: Path, okta_workflows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "my_flows.py"
    if text is not None:
        path.write_text(text)
    ended = okta_workflows("emulator", "--flows", str(path))

    assert (ended.code, ended.out) == (1, "")
    assert told in ended.err
    assert "importlib" not in ended.err


def test_a_port_that_is_taken_is_told(okta_workflows: Any) -> None:
    with LocalOrg() as org:
        ended = okta_workflows("emulator", "--port", str(org.port))

    assert (ended.code, ended.out) == (1, "")
    assert f"cannot listen on 127.0.0.1:{org.port}" in ended.err
    assert "in use" in ended.err


def test_the_process_ends_cleanly_on_ctrl_c() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    script = Path(sys.executable).parent / "okta-workflows"
    with subprocess.Popen(
        [script, "emulator", "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=30)

    assert process.returncode == 0
    assert f"http://127.0.0.1:{port}" in line
    assert rest == ""
    assert "Traceback" not in told
    assert "The local org has ended" in told


def test_a_kept_connection_stays_good_and_is_not_printed(
    tmp_path: Path, run_emulator: RunEmulator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "okta" / "connections.json"
    found: list[Any] = []

    def talk(line: str) -> None:
        assert line == "{\n"
        assert path.stat().st_mode & 0o777 == 0o600
        (connection,) = json.loads(path.read_text()).values()
        monkeypatch.setenv(VARIABLE, json.dumps(connection))
        hook = OktaWorkflowsHook()
        found.append((connection["login"], connection["password"], connection["extra"]["flows"], hook.invoke("hello")))
        hook.close()

    for _ in range(2):
        assert run_emulator("--connections", str(path), "--output", "json", talk=talk) == 0
    first, again = found
    assert first[:3] == again[:3], "the connection is the same after another start"
    assert again[3].body == {"greeting": "Hello, world!"}
    told = capfd.readouterr()
    assert f"Its connection is in {path}" in told.err
    secret = json.loads(first[1])["d"]
    assert secret not in told.err + told.out


@pytest.mark.parametrize(
    "text", ["", "[]", '{"other": {}}', '{"okta_workflows_default": {"login": "x", "password": "p"}}']
)
def test_a_file_that_holds_something_else_is_not_overwritten(text: str, tmp_path: Path, okta_workflows: Any) -> None:
    path = tmp_path / "connections.json"
    path.write_text(text)

    ended = okta_workflows("emulator", "--connections", str(path))

    assert (ended.code, ended.out) == (1, "")
    assert "does not hold a connection okta_workflows_default" in ended.err
    assert "Name another file, or remove it" in ended.err
    assert path.read_text() == text


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, okta_workflows: Any) -> None:
    (tmp_path / "file").write_text("")

    for name in ("file/connections.json", "."):
        ended = okta_workflows("emulator", "--connections", str(tmp_path / name))

        assert (ended.code, ended.out) == (1, "")
        assert "cannot be" in ended.err


def test_it_serves_a_custom_domain_over_tls(
    tmp_path: Path, run_emulator: RunEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "org.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "org.key"))
    seen: dict[str, Any] = {}

    def talk(line: str) -> None:
        connection = export(line, monkeypatch)
        connection["extra"]["verify"] = str(tmp_path / "ca.pem")
        monkeypatch.setenv(VARIABLE, json.dumps(connection))
        seen.update(connection)
        hook = OktaWorkflowsHook()
        seen["response"] = hook.invoke("hello").body
        hook.close()

    tls = ("--tls-cert", str(tmp_path / "org.pem"), "--tls-key", str(tmp_path / "org.key"))
    assert run_emulator("--custom-domain", "localhost", *tls, talk=talk) == 0
    assert seen["host"].startswith("https://localhost:")
    assert seen["extra"]["workflows_host"].startswith("https://127.0.0.1:")
    assert seen["response"] == {"greeting": "Hello, world!"}


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path, okta_workflows: Any) -> None:
    nothing = tmp_path / "org.pem"
    nothing.write_text("")

    assert "go together" in okta_workflows("emulator", "--tls-cert", str(nothing)).err
    ended = okta_workflows("emulator", "--tls-cert", str(nothing), "--tls-key", str(nothing))
    assert (ended.code, ended.out) == (1, "")
    assert "cannot be used for TLS" in ended.err


@pytest.fixture
def own_key(tmp_path: Path) -> tuple[Path, Path]:
    """The files of a private key and of its public half."""
    private, public = tmp_path / "my key.jwk", tmp_path / "public.jwk"
    jwk = generate_jwk("rsa2048")
    private.write_text(json.dumps(jwk))
    public.write_text(json.dumps(public_jwk(jwk)))
    return private, public


def in_own_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).parent / "okta-workflows"
    return subprocess.run([script, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_the_setup_is_rehearsed_with_the_users_own_key(
    own_key: tuple[Path, Path], run_emulator: RunEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private, public = own_key
    other = tmp_path / "other.pem"
    other.write_text(pem_of(generate_jwk("rsa2048")))
    ended: dict[str, Any] = {}

    def talk(line: str) -> None:
        printed = export(line, monkeypatch)
        arguments = ["--domain", printed["host"], "--client-id", printed["login"], "--format", "json"]
        arguments += ["--flow", f"hello={printed['extra']['flows']['hello']}", "--key-file"]
        ended["printed"] = printed
        ended["wrong"] = in_own_process("connection", *arguments, str(other), "--key-id", printed["extra"]["key_id"])
        ended["right"] = in_own_process("connection", *arguments, str(private))

    assert run_emulator("--public-key", str(public), "--client-id", "0oaMine1", talk=talk) == 0
    assert ended["printed"]["login"] == "0oaMine1"
    assert ended["wrong"].returncode == 1
    assert "The client_assertion signature is invalid." in ended["wrong"].stderr
    assert ended["right"].returncode == 0, ended["right"].stderr
    assert json.loads(ended["right"].stdout)["host"] == ended["printed"]["host"]


def test_a_custom_domain_is_rehearsed_under_localhost(
    own_key: tuple[Path, Path], run_emulator: RunEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = own_key
    found: dict[str, Any] = {}

    def talk(line: str) -> None:
        printed = export(line, monkeypatch)
        hook = OktaWorkflowsHook()
        found["printed"], found["unchanged"] = printed, hook.test_connection()
        monkeypatch.setenv(VARIABLE, json.dumps({**printed, "password": private.read_text()}))
        hook = OktaWorkflowsHook()
        found["body"] = hook.invoke("hello").body
        found["async"] = asyncio.run(hook.ainvoke("hello")).body
        hook.close()

    assert run_emulator("--public-key", str(public), "--custom-domain", "login.localhost", talk=talk) == 0
    assert found["printed"]["host"].startswith("http://login.localhost:")
    assert found["printed"]["password"] == "<your private key: a JWK or a PEM>"
    assert found["unchanged"][0] is False
    assert "The private key is a placeholder: '<your private key: a JWK or a PEM>'" in found["unchanged"][1]
    assert found["body"] == found["async"] == {"greeting": "Hello, world!"}


def test_it_prints_the_command_that_builds_the_connection(
    own_key: tuple[Path, Path], run_emulator: RunEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = own_key

    assert run_emulator("--public-key", str(public), talk=lambda line: None) == 0
    told = capsys.readouterr().err
    (command,) = [line for line in told.splitlines() if line.startswith("  okta-workflows")]
    args = standalone_parser().parse_args(shlex.split(command)[1:])
    assert (args.command, args.key_file) == ("connection", "KEY")
    assert args.key_id == json.loads(public.read_text())["kid"]
    assert {name for name, _ in args.flow} == set(sample_flows())
    assert "once your private key replaces <your private key: a JWK or a PEM>" in told
    assert json.loads(private.read_text())["d"] not in told


def test_a_private_key_is_refused_with_the_command_for_its_public_half(
    own_key: tuple[Path, Path], okta_workflows: Any, tmp_path: Path
) -> None:
    private, _ = own_key
    pem = tmp_path / "key.pem"
    pem.write_text(pem_of(json.loads(private.read_text())))
    as_jwk = okta_workflows("emulator", "--public-key", str(private))
    as_pem = okta_workflows("emulator", "--public-key", str(pem))

    assert [(ended.code, ended.out) for ended in (as_jwk, as_pem)] == [(1, "")] * 2
    assert f"' '{private}'" in as_jwk.err, "the name is quoted for the shell"
    assert f"openssl pkey -in {pem} -pubout" in as_pem.err
    assert json.loads(private.read_text())["d"] not in as_jwk.err + as_pem.err
    for ended in (as_jwk, as_pem):
        command = ["bash", "-c", ended.err.partition("prints: ")[2]]
        if shutil.which(command[-1].split()[0]):
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert set(parse_public_keys(printed)) == {json.loads(private.read_text())["kid"]}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--public-key", "/nowhere"], 1, "cannot be read"),
        (["--public-key", "."], 1, "cannot be read"),
        (["--public-key", "/dev/null"], 1, "This is not a public key"),
        (["--client-id", "acme"], 2, "begins with 0oa"),
        (["--client-id", "0oa 1"], 2, "begins with 0oa"),
        (["--connections", "c.json", "--public-key", "p"], 2, "leave out --public-key"),
        (["--connections", "c.json", "--client-id", "0oa1"], 2, "--client-id"),
    ],
)
def test_an_app_that_cannot_be_is_told(arguments: list[str], code: int, said: str, okta_workflows: Any) -> None:
    ended = okta_workflows("emulator", *arguments)

    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_a_connections_file_is_private_and_nothing_is_left_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "connections.json"
    old = tmp_path / f".connections.json.{os.getpid()}"
    old.write_text("left by a process that was killed")
    old.chmod(0o666)
    keep_connection(path, {"password": "k"})
    left = [old.name, path.name]

    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == left
    with pytest.raises(TypeError, match="serializable"):
        keep_connection(path, {"password": object()})
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError, match="directory"):
        keep_connection(tmp_path / "directory", {"password": "k"})
    assert sorted(file.name for file in tmp_path.iterdir()) == [*left, "directory"]
    assert json.loads(path.read_text()) == {"okta_workflows_default": {"password": "k"}}
