"""``okta-workflows invoke``: one invocation, its response on stdout and nothing else."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows.core.keys.generation import pem_of
from airflow_okta_workflows.emulator import Answer, LocalOrg, Reset, ReturnError, ReturnRaw, TooManyRequests
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.conftest import CommandLine
from tests.pages import SCRIPTS
from tests.watched_org import without_kid

PAYLOAD = {"email": "ada@example.com", "greeting": "Grüße"}


@pytest.fixture(autouse=True)
def _sigint_heeded() -> Iterator[None]:
    """Heed SIGINT, here and in the processes that are started: what runs in a shell's background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def org(okta_local_org: LocalOrg) -> LocalOrg:
    @okta_local_org.flow("echo")
    def echo(request: Any) -> Any:
        return {"body": request.body}

    return okta_local_org


def test_the_response_alone_is_on_stdout(org: LocalOrg, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("invoke", "echo", "--payload", json.dumps(PAYLOAD))

    assert ended.code == 0
    assert json.loads(ended.out) == {"body": PAYLOAD}
    assert "Grüße" in ended.out
    assert "echo returned 200" in ended.err
    assert [run.body for run in org.flows["echo"].runs] == [PAYLOAD]


def test_json_tells_all_there_is(org: LocalOrg, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("invoke", org.invoke_url("echo"), "--output", "json")

    assert ended.code == 0
    assert ended.json["flow"] == org.invoke_url("echo")
    assert ended.json["error"] is None
    response = ended.json["response"]
    assert (response["status_code"], response["body"]) == (200, {"body": None})
    assert response["execution_id"] == org.flows["echo"].runs[0].execution_id
    assert response["elapsed"] >= 0


def test_the_payload_may_come_from_a_file_or_from_stdin(
    org: LocalOrg, tmp_path: Path, okta_workflows: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "payload.json").write_text("\ufeff" + json.dumps(PAYLOAD), encoding="utf-8")
    okta_workflows("invoke", "echo", "--payload", f"@{tmp_path / 'payload.json'}")
    monkeypatch.setattr(sys, "stdin", io.StringIO("[1, 2]"))
    okta_workflows("invoke", "echo", "--payload", "-")
    okta_workflows("invoke", "echo")

    assert [(run.body, run.text) for run in org.flows["echo"].runs] == [
        (PAYLOAD, json.dumps(PAYLOAD, ensure_ascii=False, separators=(",", ":"))),
        ([1, 2], "[1,2]"),
        (None, ""),
    ]


@pytest.mark.parametrize("payload", ["{", "", "nonsense", "@/nowhere/at/all", '{"x-okta-workflows-a": 1}', "[NaN]"])
def test_a_payload_that_cannot_be_sent_is_wrong_usage(payload: str, org: LocalOrg, okta_workflows: CommandLine) -> None:
    ended = okta_workflows("invoke", "echo", "--payload", payload)

    assert (ended.code, ended.out) == (2, "")
    assert "payload" in ended.err
    assert (org.log, org.token_requests) == ([], [])


def test_a_payload_file_in_another_encoding_is_wrong_usage(tmp_path: Path, okta_workflows: CommandLine) -> None:
    (tmp_path / "latin").write_bytes('"Grüße"'.encode("latin-1"))
    ended = okta_workflows("invoke", "echo", "--payload", f"@{tmp_path / 'latin'}")

    assert ended.code == 2
    assert "UTF-8" in ended.err


@pytest.mark.parametrize(
    ("returned", "out"),
    [
        (ReturnRaw(200, "<a>1</a>"), "<a>1</a>\n"),
        (ReturnRaw(200, [1]), "[\n  1\n]\n"),
        (ReturnRaw(200, 0), "0\n"),
        (None, ""),
    ],
)
def test_the_body_is_shown_as_it_is(returned: Any, out: str, org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.flow("raw")(lambda request: returned)
    ended = okta_workflows("invoke", "raw")

    assert (ended.code, ended.out) == (0, out)


def test_a_failed_flow_ends_with_1_and_shows_what_it_said(org: LocalOrg, okta_workflows: CommandLine) -> None:
    org.flow("fails")(lambda request: ReturnError(422, "no such account"))
    as_text = okta_workflows("invoke", "fails")
    as_json = okta_workflows("invoke", "fails", "--output", "json")

    assert (as_text.code, as_json.code) == (1, 1)
    assert json.loads(as_text.out) == {"message": "no such account"}
    assert "returned 422" in as_text.err
    assert as_json.json["response"]["status_code"] == 422
    assert as_json.json["error"]["type"] == "OktaFlowFailedError"
    assert as_json.err == ""


@pytest.mark.parametrize(
    ("fault", "flow", "kind", "fix"),
    [
        (Answer(401), "echo", "OktaFlowRefusedError", "exactly one custom domain"),
        (Reset(after_run=True), "echo", "OktaFlowOutcomeUnknownError", "It may have run"),
        (Answer(400, b'{"error": "invalid_dpop_proof"}'), None, "OktaTokenRefusedError", "Proof of Possession"),
    ],
)
def test_what_goes_wrong_is_told_with_its_fix(
    fault: Any, flow: str | None, kind: str, fix: str, org: LocalOrg, okta_workflows: CommandLine
) -> None:
    org.inject(fault, flow=flow, times=2)
    ended = okta_workflows("invoke", "echo", "--output", "json")

    assert ended.code == 1
    assert ended.json["error"]["type"] == kind
    assert fix in ended.json["error"]["fix"]
    assert len(org.flows["echo"].runs) <= 1


def test_an_unknown_flow_or_connection_is_a_failed_call(org: LocalOrg, okta_workflows: CommandLine) -> None:
    flow, connection = okta_workflows("invoke", "ecko"), okta_workflows("invoke", "echo", "--conn-id", "nowhere")

    assert (flow.code, flow.out, connection.code, connection.out) == (1, "", 1, "")
    assert "It knows: echo" in flow.err
    assert "no connection 'nowhere'" in connection.err


def test_nothing_secret_is_shown(org: LocalOrg, okta_workflows: CommandLine) -> None:
    for fault in (None, Answer(401), Answer(500)):
        if fault:
            org.inject(fault, flow="echo", times=2)
        for output in ("text", "json"):
            ended = okta_workflows("invoke", "echo", "--output", output)
            for secret in (org.private_jwk["d"], *pem_of(org.private_jwk).splitlines()[1:-1], *org.tokens, "eyJ"):
                assert secret not in without_kid(ended.out + ended.err, org)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_says_whether_the_flow_was_sent_and_its_key(
    org: LocalOrg, okta_workflows: CommandLine, number: int, code: int
) -> None:
    release = threading.Event()

    @org.flow("slow")
    def slow(request: Any) -> Any:
        os.kill(os.getpid(), number)
        release.wait(30)
        return {}

    try:
        ended = okta_workflows("invoke", org.invoke_url("slow"), "--output", "json")
    finally:
        release.set()

    (key,) = (run.idempotency_key for run in org.flows["slow"].runs)
    assert (ended.code, ended.out) == (code, "")
    last = ended.err.splitlines()[-1]
    assert "was sent and may have run" in last
    assert last.endswith(f"--idempotency-key {key}")
    again = okta_workflows("invoke", "echo", "--idempotency-key", str(key))
    assert again.code == 0
    assert org.flows["echo"].runs[0].idempotency_key == key


@pytest.mark.parametrize("refusal", [TooManyRequests(retry_after=60), Answer(401)])
def test_an_interruption_of_a_wait_says_that_nothing_was_sent(
    org: LocalOrg, okta_workflows: CommandLine, refusal: Any
) -> None:
    OktaWorkflowsHook().get_access_token()
    org.inject(TooManyRequests(retry_after=60), times=9)
    org.inject(refusal, flow="echo")

    def interrupt() -> None:
        while not org.requests("echo"):
            threading.Event().wait(0.01)
        threading.Event().wait(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    ended = okta_workflows("invoke", "echo", "--idempotency-key", "my-key")

    assert ended.code == 143
    assert ended.err.splitlines()[-1] == "Interrupted: flow 'echo' was not sent (idempotency key my-key)."
    assert org.flows["echo"].runs == []


@pytest.mark.parametrize(
    ("number", "code", "sent"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, True), (signal.SIGTERM, 143, False)]
)
def test_a_process_that_is_interrupted_says_so_in_its_last_line(
    org: LocalOrg, number: int, code: int, sent: bool
) -> None:
    release = threading.Event()
    org.flow("slow")(lambda request: release.wait(60) or {})
    if not sent:
        org.inject(TooManyRequests(retry_after=60))
    command = [str(SCRIPTS / "okta-workflows"), "invoke", org.invoke_url("slow"), "--idempotency-key", "my-key"]
    began: list[Any] = org.flows["slow"].runs if sent else org.token_requests
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        while not began and it.poll() is None:
            threading.Event().wait(0.05)
        it.send_signal(number)
        out, err = it.communicate(timeout=60)
    release.set()

    assert (it.returncode, out) == (code, ""), err
    last = err.splitlines()[-1]
    if sent:
        assert "was sent and may have run" in last
        assert last.endswith("--idempotency-key my-key")
    else:
        assert last.startswith("Interrupted: flow ")
        assert last.endswith(" was not sent (idempotency key my-key).")
    assert len(org.flows["slow"].runs) == sent


@pytest.mark.parametrize(
    "body",
    [
        '{"a": 1e999}',
        '{"a": -1e999}',
        '{"a": NaN}',
        "[Infinity, -Infinity]",
        "NaN",
        '{"a": "\\ud800"}',
        '{"a": "\\u0000"}',
        "[" * 5000 + "]" * 5000,
        '{"a": 123456789012345678901234567890}',
        "\x1b[2Jplain\u2028text",
        '"text"',
        "",
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_any_body_is_shown_as_valid_json(
    body: str, content_type: str, okta_local_org: LocalOrg, okta_workflows: CommandLine
) -> None:
    okta_local_org.flow("raw")(lambda request: ReturnRaw(200, body, {"Content-Type": content_type}))
    ended = okta_workflows("invoke", "raw", "--output", "json")

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    shown = json.loads(ended.out, parse_constant=refuse)
    assert shown["response"]["status_code"] == 200
    assert bool(shown["error"]) is (ended.code == 1)
    ended.out.encode("ascii")
