"""Errors of the core; :mod:`airflow_okta_workflows.exceptions` turns them into Airflow's exceptions."""

from __future__ import annotations

import textwrap
from enum import Enum
from typing import Any

_LONGEST_FIRST = 120
"""Characters of an error's first line, which is all that a list or an alert shows of it."""
_WIDEST = 100
"""Characters of a line that Airflow's log pane shows without scrolling in a window of 1,440 pixels."""


class ErrorKind(Enum):
    """How far a token request or an invocation got, which decides whether a retry is safe."""

    CONFIGURATION = "configuration"
    """Nothing was sent, and a retry cannot help."""
    TOKEN = "token"  # noqa: S105  # the name of a kind, not a token
    """No token could be obtained now; a retry may help."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105  # the name of a kind, not a token
    """The org refused the token request: the app or the connection has to be changed."""
    NOT_SENT = "not_sent"
    """The invocation never reached the flow's host."""
    REFUSED = "refused"
    """The flow's host refused the invocation before the flow ran."""
    RATE_LIMITED = "rate_limited"
    """The flow's host returned 429 for longer than the call may wait: the flow did not run."""
    FAILED = "failed"
    """The flow ran, or may have run, and reported that it failed."""
    BAD_RESPONSE = "bad_response"
    """A response arrived that cannot be used: a redirect, or an unreadable body."""
    NO_RESPONSE = "no_response"
    """The invocation was sent and its outcome is unknown; it is declared idempotent."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """The invocation was sent and its outcome is unknown; it is not declared idempotent."""


class CoreError(Exception):
    """One error of the core, which ``raise_provider_errors`` turns into one of the provider's exceptions.

    :param kind: how far the token request or invocation got
    :param message: what happened: one sentence of at most 120 characters
    :param hint: what to change, after its code: ``OKW-1201: Set …``; empty if there is nothing to change
    :param detail: further lines, or empty
    :param data: the attributes of the exception it becomes, such as ``flow``, ``response`` or ``retry_after``
    """

    def __init__(self, kind: ErrorKind, message: str, hint: str = "", *, detail: str = "", **data: Any) -> None:
        super().__init__(error_text(message, hint, detail))
        self.kind = kind
        self.message = message
        self.hint = hint
        self.detail = detail
        self.data = data

    @property
    def one_line(self) -> str:
        """What happened, what to change and its code, for a list or a line of a log."""
        code, fix = split_code(self.hint)
        return " ".join(filter(None, (self.message, *fix.split("\n"), code and f"({code})")))

    def copy(self) -> CoreError:
        """Return the same error without a traceback, for another caller to raise."""
        return CoreError(self.kind, self.message, self.hint, detail=self.detail, **self.data)


def configuration_error(message: str, hint: str = "", *, detail: str = "") -> CoreError:
    """Return the error for a setting or an argument that cannot work; see :class:`CoreError`."""
    return CoreError(ErrorKind.CONFIGURATION, message, hint, detail=detail)


def error_text(message: str, hint: str, detail: str) -> str:
    """Return the text of an error: what happened, what to change, and details, each on lines of its own.

    Airflow's log pane does not wrap lines, and cuts a long one at the right edge. So what to change begins the second
    line, and is wrapped; the lines on which it continues are indented. A message that is too long for the first line,
    such as one that quotes a URL or a driver, is shortened there, and stands whole before the details.

    :param message: what happened
    :param hint: what to change, after its code; may be empty
    :param detail: further lines; may be empty
    """
    code, fix = split_code(hint)
    change = f"What to change ({code}): {fix}" if code else fix and f"What to change: {fix}"
    first = _first_line(message)
    whole = message if first != message.strip() else ""
    return "\n".join(filter(None, (first, *map(_wrapped, change.split("\n")), whole, detail)))


def _first_line(message: str) -> str:
    line, *more = message.strip().splitlines() or [""]
    if len(line) <= _LONGEST_FIRST and not more:
        return line
    room = _LONGEST_FIRST - len(" …")
    if len(line) > room:
        words = line[: room + 1].rpartition(" ")[0]
        # A long word, such as a URL, is cut: otherwise hardly anything would be left.
        line = words if len(words) > room // 2 else line[:room]
    return f"{line.rstrip()} …"


def _wrapped(line: str) -> str:
    # A URL or a command stays in one piece, because a user copies it.
    return textwrap.fill(line, _WIDEST, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def split_code(hint: str) -> tuple[str, str]:
    """Return the code of a hint, such as ``OKW-1201``, and what to change; the code is empty if it has none.

    :param hint: a hint, after its code
    """
    code, colon, fix = hint.partition(": ")
    return (code, fix) if colon and code.startswith("OKW-") else ("", hint)
