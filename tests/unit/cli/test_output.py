"""The result alone is on stdout, whoever else writes there."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_okta_workflows.cli.output import Output, printable, quiet_log, results_only_on_stdout

NOISY = """
import logging, os, sys
early = sys.stdout                              # as a logger has it that was made before
logging.basicConfig(stream=sys.stdout)
from airflow_okta_workflows.cli.output import results_only_on_stdout
with results_only_on_stdout() as results:
    print("print")
    early.write("early\\n"); early.flush()
    logging.warning("logging")
    os.write(1, b"descriptor\\n")
    os.system("echo child")
    results.write("result\\n")
print("after")
"""


def test_whatever_else_writes_to_stdout_comes_out_on_stderr() -> None:
    run = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True, check=True)

    assert run.stdout == "result\nafter\n"
    assert {line.rpartition(":")[2] for line in run.stderr.splitlines()} == {
        "print",
        "early",
        "logging",
        "descriptor",
        "child",
    }


def test_a_reader_that_has_gone_ends_the_command_quietly(tmp_path: Path) -> None:
    program = "import sys; from airflow_okta_workflows.cli.main import main; sys.exit(main(sys.argv[1:]))"
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-c", program, "keygen", "--type", "p256", "--out", str(tmp_path / "key")],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)

    assert (run.returncode, run.stderr) == (1, "")


def test_only_warnings_of_the_package_are_let_through(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("airflow_okta_workflows.client")
    with caplog.at_level(logging.DEBUG):
        with quiet_log():
            log.info("asking")
            log.warning("waiting")
        log.info("asking again")

    assert caplog.messages == ["waiting", "asking again"]


@pytest.mark.parametrize(
    "name",
    [
        "airflow.models.connection.Connection",
        "airflow.sdk.definitions.connection",
        "airflow._shared.secrets_masker.secrets_masker",
        "airflow.sdk._shared.secrets_masker.secrets_masker",
        "airflow.sdk.execution_time.secrets_masker",
    ],
)
def test_airflows_warnings_about_connections_and_masks_are_not_let_through(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger(name)
    with quiet_log():
        # As Airflow resets it when it is imported.
        log.setLevel(logging.NOTSET)
        log.warning("warning")
        log.error("error")
    log.warning("warning again")

    assert caplog.messages == ["error", "warning again"]


def test_json_is_ascii_so_that_any_terminal_takes_it() -> None:
    stream = io.StringIO()
    Output(stream, as_json=True).json({"text": "Grüße \x1b[31m"})

    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue()) == {"text": "Grüße \x1b[31m"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_a_server_says_cannot_control_a_terminal() -> None:
    evil = "\x1b]0;title\x07\x9b31m\rover"
    terminal, pipe = Terminal(), io.StringIO()
    Output(terminal, as_json=False).text(evil)
    Output(pipe, as_json=False).text(evil)

    assert not set(terminal.getvalue()) & set("\x1b\x07\x9b\r")
    assert pipe.getvalue() == evil + "\n", "a file gets what the flow returned"
    assert printable("a\nb\tc") == "a\nb\tc"


def test_a_terminal_gets_colours_and_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        output = Output(stream, as_json=False)
        output.row("failed", "token", "no [bold]markup[/bold] \x1b[2J " + "word " * 20, ["Fix: [red]none"])
        output.value({"greeting": "Hello [red]"})

    assert "\x1b[1;31mfailed" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()
    assert all("[bold]markup[/bold]" in stream.getvalue() for stream in (terminal, pipe))
    assert all("[red]none" in stream.getvalue() for stream in (terminal, pipe))
    assert "\x1b" not in pipe.getvalue()
    assert pipe.getvalue().splitlines()[1] == " " * 21 + "Fix: [red]none"
    assert len(terminal.getvalue().splitlines()) > len(pipe.getvalue().splitlines()), "it wraps at the width"


def test_steps_that_are_not_the_result_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    output = Output(stream, as_json=False)
    output.row("passed", "key", "RSA 2048", to_stderr=True)
    output.say("done\x1b[31m")

    assert stream.getvalue() == ""
    assert capsys.readouterr().err == "passed   key         RSA 2048\ndone\N{REPLACEMENT CHARACTER}[31m\n"


def test_nesting_leaves_stdout_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    with results_only_on_stdout() as results:
        results.write("one\n")
    os.write(1, b"two\n")

    assert capfd.readouterr().out == "one\ntwo\n"
