"""What a flow answered: its body as a value, and the id of its execution."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.exchange import Headers
from airflow_okta_workflows.core.secret import may_echo, redact, redact_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.core.exchange import HttpAnswer

_CHARSET = re.compile(r"charset=\"?([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_EXECUTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
_LONGEST_LINE = 300
_LONGEST_READ = 10 * _LONGEST_LINE
"""Characters of a server's words that are looked at."""


@dataclass(frozen=True)
class FlowResponse:
    """Hold the answer of one invocation.

    ``repr`` shows neither headers nor body: they may hold personal data.

    :param status_code: the HTTP status
    :param headers: the headers, looked up without regard to case
    :param body: the JSON value, else the text, else None for an empty body
    :param execution_id: the id of the flow's execution, for its execution history; None if none was told
    :param elapsed: seconds from sending the invocation to the end of the answer
    """

    status_code: int
    headers: Headers = field(repr=False)
    body: Any = field(repr=False)
    execution_id: str | None
    elapsed: float

    def to_json(self) -> dict[str, Any]:
        """Return the answer as a JSON object, without its headers."""
        return {
            "status_code": self.status_code,
            "execution_id": self.execution_id,
            "elapsed": self.elapsed,
            "body": self.body,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FlowResponse | None:
        """Return the answer that a JSON object holds; None if it holds none.

        :param value: the object, other members in it are ignored
        """
        if not isinstance(status := value.get("status_code"), int):
            return None
        elapsed = value.get("elapsed")
        return cls(
            status_code=status,
            headers=Headers(),
            body=value.get("body"),
            execution_id=value.get("execution_id"),
            elapsed=float(elapsed) if isinstance(elapsed, (int, float)) else 0.0,
        )


def read_flow_response(answer: HttpAnswer, secrets: tuple[str, ...]) -> FlowResponse:
    """Read a flow's answer.

    A body is taken for JSON if it says so, or says nothing and looks like it; what does not parse stays text.

    :param answer: the HTTP answer
    :param secrets: the secrets that were sent: a flow that echoes its request must not carry them back
    """
    body = _read_body(answer, secrets)
    headers = Headers({redact(name, secrets): redact(value, secrets) for name, value in answer.headers.items()})
    return FlowResponse(
        status_code=answer.status,
        headers=headers,
        body=body,
        execution_id=_execution_id(headers, body),
        elapsed=answer.elapsed,
    )


def is_json(headers: Headers) -> bool:
    """Tell whether an answer says that its body is JSON (RFC 8259, and the +json suffix of RFC 6839)."""
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type.endswith(("/json", "+json"))


def parse_json(text: str) -> tuple[bool, Any]:
    """Return whether a text is JSON, and its value.

    :param text: the text, from a server and so of any form
    """
    # No error leaves: a JSONDecodeError holds the whole document.
    try:
        return True, json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False, None


def error_message(body: Any) -> str:
    """Return the sentence in which a failed flow says why, on one line of at most 300 characters, or nothing.

    Only members that are there to be read by people are looked at; nothing else of the body is shown.

    :param body: the answer's body
    """
    if not isinstance(body, dict):
        return ""
    for name in ("message", "errorSummary", "error_description", "error", "errorMessage"):
        value = body.get(name)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str) and (line := one_line(value)):
            return line
    return ""


def one_line(text: str) -> str:
    """Return a server's words as a log may have them: on one line, of at most 300 characters, all of them printable.

    :param text: the words, which could otherwise begin log lines of their own (CWE-117)
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:_LONGEST_READ]).split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def _read_body(answer: HttpAnswer, secrets: tuple[str, ...]) -> Any:
    if not answer.body.strip():
        return None
    content_type = answer.headers.get("Content-Type", "")
    charset = _CHARSET.search(content_type)
    try:
        text = answer.body.decode(charset[1] if charset else "utf-8", "replace")
    except (LookupError, UnicodeError):
        text = answer.body.decode("utf-8", "replace")
    text = text.lstrip("\ufeff")
    if is_json(answer.headers) or (not content_type and text.lstrip()[:1] in ("{", "[")):
        parsed, value = parse_json(text)
        if parsed:
            # After parsing, which undoes what an encoder has escaped; a walk over a large value is slow.
            return redact_value(value, secrets) if may_echo(text, secrets) else value
    return redact(text, secrets)


def _execution_id(headers: Headers, body: Any) -> str | None:
    """Look for the execution id where Okta puts it: a header whose name is not documented, or the body."""
    candidates: list[Any] = [value for name, value in headers.items() if "execution" in name.lower()]
    if isinstance(body, dict):
        candidates.append(body.get("execution_id"))
        if isinstance(context := body.get("context"), dict):
            candidates.append(context.get("execution_id"))
    for candidate in candidates:
        # What does not look like an id could begin log lines of its own (CWE-117).
        if isinstance(candidate, str) and _EXECUTION_ID.fullmatch(candidate.strip()):
            return candidate.strip()
    return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
