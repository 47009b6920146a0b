"""The picture at the end of the demo: a row for each wanted run, also where there is no terminal and no color."""

from __future__ import annotations

import io
import json
import os
import pty
from contextlib import suppress
from typing import Any

import pytest

from airflow_okta_workflows.emulator import SeenRequest
from demo.picture import WIDTH, RanTask, draw, parse_tasks, wanted_runs

KEYS = ("237d41d5-8e4c", "9a0b1c2d-1111", "5e6f7a8b-2222")


def request(flow: str, key: str, sent: Any, returned: Any, at: float, duration: float = 0.02, status: int = 200) -> Any:
    return SeenRequest(
        flow,
        "POST",
        {"idempotency-key": key},
        json.dumps(sent),
        status,
        json.dumps(returned),
        ran=True,
        received_at=at,
        duration=duration,
    )


REQUESTS = [
    request("hello", KEYS[0], {"name": "Ada"}, {"name": "Ada", "greeting": "Hello, Ada!"}, 10.0),
    request("provision", KEYS[1], {"account": "a"}, {"status": "RUNNING"}, 20.0),
    request("provision_status", "poll-1", {"idempotency_key": KEYS[1]}, {"status": "RUNNING"}, 22.0),
    request("provision_status", "poll-2", {"idempotency_key": KEYS[1]}, {"status": "SUCCEEDED"}, 25.0),
    request("review", KEYS[2], {"id": 7}, {"message": "locked"}, 30.0, 0.5, 409),
]
TASKS = [
    RanTask("first", "hello", 9, 11),
    RanTask("second", "provision", 24, 26),
    RanTask("second", "review [0]", 29, 31),
    RanTask("third", "no flow", 40, 41),
]


class Terminal(io.StringIO):
    """A terminal of 120 columns that keeps what it shows."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise io.UnsupportedOperation


def picture(requests: list[Any] = REQUESTS, tasks: list[RanTask] = TASKS) -> str:
    output = io.StringIO()
    draw(requests, tasks, output)
    return output.getvalue()


def row(task: str, drawn: str) -> str:
    (line,) = [line for line in drawn.splitlines() if line.split()[:1] == [task]]
    return " ".join(line.split())


def test_each_dag_with_a_flow_has_a_table() -> None:
    drawn = picture()

    assert "first: 1 wanted run, 1 key\n" in "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"
    assert "second: 2 wanted runs, 2 keys" in drawn
    assert "third" not in drawn
    assert row("hello", drawn) == "hello hello Ada 200 greeting: Hello, Ada! 20 ms 237d41d5"
    assert row("review", drawn) == "review [0] review 7 409 message: locked 500 ms 5e6f7a8b"


def test_what_a_status_flow_was_asked_belongs_to_the_run() -> None:
    run = wanted_runs(REQUESTS)[1]

    assert (run.key, len(run.polls), run.ended) == (KEYS[1], 2, 25.02)
    drawn = picture()
    assert row("provision", drawn) == "provision provision a 200 status: RUNNING 20 ms 9a0b1c2d"
    assert row("provision_status", drawn) == "provision_status 2 polls 200 status: SUCCEEDED 5.0 s 9a0b1c2d"


def test_an_invocation_that_is_repeated_under_its_key_is_one_run() -> None:
    again = request("hello", KEYS[0], {"name": "Ada"}, {"greeting": "Hello again"}, 10.5)

    (run,) = wanted_runs([REQUESTS[0], again])
    assert run.invocation is again


def test_without_a_terminal_it_is_plain_and_of_a_fixed_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    drawn = picture([request("echo", KEYS[0], {"text": "x" * 300}, {"text": "y" * 300}, 10.0)])

    assert "\x1b" not in drawn
    assert max(map(len, drawn.splitlines())) == WIDTH
    assert "…" in drawn


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_a_terminal_shows_colors_unless_they_are_not_wanted(
    no_color: str, colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("COLORTERM", raising=False)
    monkeypatch.setenv("NO_COLOR", no_color)
    if not no_color:
        monkeypatch.delenv("NO_COLOR")
    output = Terminal()
    draw(REQUESTS, TASKS, output)

    assert ("\x1b[32m200" in output.getvalue()) is colored
    assert ("\x1b[36m" in output.getvalue()) is colored


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 110, 0, 0))
        draw(REQUESTS[:1], TASKS, terminal)
    parts = []
    # A terminal passes on what was written in parts, and ends in an error on Linux.
    with suppress(OSError):
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    shown = b"".join(parts).decode()

    assert "237d41d5" in shown
    assert max(len(line.rstrip("\r")) for line in shown.splitlines() if "─" in line and "\x1b" not in line) == 110


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"account": {"id": "00u1", "status": "STAGED"}}', "account: 00u1 STAGED"),
        ('{"members": [1, 2, 3], "full": true}', "members: 3 of them, full: true"),
        ('"text"', '"text"'),
        ("<html>\n  down", "<html> down"),
        ("", ""),
    ],
)
def test_a_body_becomes_a_line(body: str, shown: str) -> None:
    seen = request("echo", KEYS[0], {}, {}, 10.0)
    seen.response = body

    assert f"200 {shown} ".rstrip() in picture([seen])


def test_the_tasks_are_read_as_they_were_written() -> None:
    lines = "".join(
        json.dumps({"dag": "d", "task": "t", "map_index": index, "started": 1.5, "ended": 2.5}) + "\n"
        for index in (-1, 0)
    )

    assert parse_tasks(lines) == [RanTask("d", "t", 1.5, 2.5), RanTask("d", "t [0]", 1.5, 2.5)]
