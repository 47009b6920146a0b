"""``okta-workflows keygen``: a pair that Okta takes, and a private half that only its owner can read."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from airflow_okta_workflows.core.keys.generation import generate_jwk
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import load_signing_key
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.airflow_features import PROVIDER_COMMANDS, needs
from tests.conftest import CommandLine


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize(
    ("key_type", "description"), [("rsa2048", "RSA 2048"), ("rsa4096", "RSA 4096"), ("p256", "EC P-256")]
)
@pytest.mark.parametrize("name", ["key.jwk", "key.pem"])
def test_the_private_half_goes_into_the_file_and_the_public_one_to_stdout(
    key_type: str, description: str, name: str, tmp_path: Path, okta_workflows: CommandLine
) -> None:
    ended = okta_workflows("keygen", "--type", key_type, "--out", str(tmp_path / name), "--output", "json")
    text = (tmp_path / name).read_text()
    key = load_signing_key(parse_key_text(text), kid=ended.json["kid"])
    public = jwt.PyJWK(ended.json["public_jwk"], algorithm=key.algorithm)

    assert (ended.code, ended.err) == (0, "")
    assert key.description == description
    assert jwt.decode(key.sign({"sub": "x"}), public) == {"sub": "x"}
    assert ended.json["private_key_file"] == str(tmp_path / name)
    assert ended.json["type"] == key_type
    assert set(ended.json["public_jwk"]) <= {"kid", "use", "kty", "e", "n", "crv", "x", "y"}
    assert ("PRIVATE KEY" in text) is (name == "key.pem")
    assert parse_key_text(text).kid == (None if name == "key.pem" else ended.json["kid"])


def test_the_file_is_private_whatever_the_umask(umask: int, tmp_path: Path, okta_workflows: CommandLine) -> None:
    okta_workflows("keygen", "--type", "p256", "--out", str(tmp_path / "key"))

    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_the_file_is_private_before_there_is_a_key(
    tmp_path: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    def look_and_generate(key_type: Any) -> dict[str, Any]:
        modes.append(stat.S_IMODE((tmp_path / "key").stat().st_mode))
        return generate_jwk(key_type)

    monkeypatch.setattr("airflow_okta_workflows.cli.keygen.generate_jwk", look_and_generate)
    okta_workflows("keygen", "--type", "p256", "--out", str(tmp_path / "key"))

    assert modes == [0o600]


def test_an_existing_file_is_never_overwritten(tmp_path: Path, okta_workflows: CommandLine) -> None:
    path = tmp_path / "key"
    path.write_text("the only copy")
    ended = okta_workflows("keygen", "--out", str(path))

    assert (ended.code, ended.out) == (1, "")
    assert "never overwritten" in ended.err
    assert path.read_text() == "the only copy"


@needs(PROVIDER_COMMANDS)
@pytest.mark.parametrize("code", [0, 1])
def test_airflow_s_parser_runs_it_too_and_ends_with_its_code(
    code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from airflow.cli.cli_parser import get_parser

    if code:
        (tmp_path / "key").write_text("the only copy")
    args = get_parser().parse_args(["okta-workflows", "keygen", "--out", str(tmp_path / "key"), "--output", "json"])
    with pytest.raises(SystemExit) as end:
        args.func(args)

    assert end.value.code == code
    assert bool(capfd.readouterr().out) is (code == 0)


def test_a_link_is_not_followed(tmp_path: Path, okta_workflows: CommandLine) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    ended = okta_workflows("keygen", "--out", str(tmp_path / "key"))

    assert ended.code == 1
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("keygen", "--out", str(tmp_path / "nowhere" / "key"))

    assert (ended.code, ended.out) == (1, "")
    assert "cannot be written: No such file or directory" in ended.err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 1)])
def test_nothing_is_left_behind_if_it_does_not_get_done(
    error: BaseException, code: int, tmp_path: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(key_type: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setattr("airflow_okta_workflows.cli.keygen.generate_jwk", fail)
    ended = okta_workflows("keygen", "--out", str(tmp_path / "key"))

    assert (ended.code, ended.out) == (code, "")
    assert list(tmp_path.iterdir()) == []


def test_text_gives_the_jwk_to_paste_and_the_steps_of_a_rotation(tmp_path: Path, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("keygen", "--type", "p256", "--out", str(tmp_path / "key.pem"))
    jwk, end = json.JSONDecoder().raw_decode(ended.out)
    steps = ended.out[end:]

    assert ended.code == 0
    assert jwk["use"] == "sig"
    assert f"--key-file {tmp_path / 'key.pem'} --key-id {jwk['kid']}" in steps
    for number in range(1, 6):
        assert f"\n  {number}. " in steps
    assert "leave the old one ACTIVE" in steps
    private = parse_key_text((tmp_path / "key.pem").read_text()).secret_forms()
    assert not any(secret in ended.out + ended.err for secret in private)


def test_a_key_is_rotated_by_these_steps_without_a_refusal(
    okta_local_org: LocalOrg, tmp_path: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    org = okta_local_org
    org.flow("hello")(lambda request: {})
    new = okta_workflows("keygen", "--type", "p256", "--out", str(tmp_path / "new.jwk"), "--output", "json").json

    org.app.public_keys[new["kid"]] = jwt.PyJWK(new["public_jwk"], algorithm="ES256").key
    OktaWorkflowsHook().invoke("hello")
    printed = okta_workflows(
        *("connection", "--domain", org.url, "--client-id", org.app.client_id, "--format", "json"),
        *("--key-file", str(tmp_path / "new.jwk"), "--flow", f"hello={org.flows['hello'].alias}"),
    )
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", printed.out)
    del org.app.public_keys[org.private_jwk["kid"]]
    checked = okta_workflows("check", "--flow", "hello", "--yes")

    assert (printed.code, checked.code) == (0, 0)
    assert f"kid {new['kid']}" in checked.out
    assert [request.status for request in org.token_requests] == [200] * len(org.token_requests)
    assert len(org.flows["hello"].runs) == 2
