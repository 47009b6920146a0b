"""A flow's response: the body as a value, and the id of the execution."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.http.content import UnreadableError, decode_text
from airflow_okta_workflows.core.http.json_values import parse_beyond_limits, parse_json_value, storable_text
from airflow_okta_workflows.core.http.types import Headers
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import may_echo, redact, redact_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_okta_workflows.core.http.types import HttpResponse

EXECUTION_HEADER = "x-flo-instance"
"""Header from which the public clients of Azuqua, which became Okta Workflows, read the id of an execution."""

_EXECUTION_ID = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}")
UUID = lazy_pattern(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# X-Execution-Id identifies an execution; X-Execution-Time-Ms, X-Execution-Count and X-Execution-Mode only describe one.
_NAMES_EXECUTION = lazy_pattern(r"execution(?:[-_]?(?:id|uuid|key|ref))?$", re.IGNORECASE)
# X-Execution-Environment and the like identify something else, even with a UUID.
_NAMES_SOMETHING_ELSE = lazy_pattern(
    r"execution[-_]?(?:env|role|mode|policy|plan|graph|host|node|cluster|region|zone|pool|org|tenant|account|user|client)"
    r"[a-z]*(?:[-_]?id)?$",
    re.IGNORECASE,
)
# A count, a duration, a date, a version or a state does not identify an execution.
_NO_ID = lazy_pattern(
    r"[0-9]{1,5}(?:\.[0-9]*)?|[0-9]+(?:\.[0-9]*)?\s*(?:[mun\u00b5]?s|sec[a-z]*)"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?|v[0-9.]+|[^0-9]*",
    re.IGNORECASE,
)
# As in _execution_id_candidates, in a body of which only the beginning, or only the ASCII part, can be read.
_MEMBER = lazy_pattern(r'"(execution_id|execution|_error)"\s*:\s*("?)([A-Za-z0-9][A-Za-z0-9._:-]{0,199})\2(?=[\s,}\]])')

_BEFORE_A_PAGE = lazy_pattern(r"[\s\ufeff]+|<!--.*?-->|<\?.*?\?>", re.DOTALL)
_PAGE = lazy_pattern(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_LOOKED_AT = 10_000
"""Characters of a body in which a page has to begin."""


@dataclass(frozen=True)
class FlowResponse:
    """The response of one invocation.

    ``repr`` omits headers and body, which may contain personal data.

    :param status_code: the HTTP status
    :param headers: the headers, looked up without regard to case
    :param body: the JSON value; otherwise the body as a string, or None if it is empty or unreadable
    :param execution_id: the id of the flow's execution, to find it in the execution history; None if there is none
    :param elapsed: seconds from sending the invocation to the end of the response
    :param unreadable: why the body cannot be read, such as "its compressed body is cut off"; empty if it can
    """

    status_code: int
    headers: Headers = field(repr=False)
    body: Any = field(repr=False)
    execution_id: str | None
    elapsed: float
    unreadable: str = ""

    @property
    def summary(self) -> str:
        """One-line summary for the log and the CLI, such as ``returned 200 in 0.10 s (execution e1)``."""
        execution = f"execution {self.execution_id}" if self.execution_id else "no execution id"
        return f"returned {self.status_code} in {self.elapsed:.2f} s ({execution})"

    @property
    def content_type(self) -> str:
        """The content type; empty if it is not known."""
        return self.headers.get("Content-Type", "")

    def to_json(self) -> dict[str, Any]:
        """Return the response as a JSON object, without its headers."""
        return {
            "status_code": self.status_code,
            "execution_id": self.execution_id,
            "elapsed": self.elapsed,
            "body": self.body,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FlowResponse | None:
        """Return the response in a JSON object; None if there is none.

        :param value: the object; other members are ignored
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


def reported_response(body: Any) -> FlowResponse:
    """Return the response of a run that a person has looked up.

    :param body: the body, as a JSON value
    """
    return FlowResponse(200, Headers(), body, None, 0.0)


def parse_response(response: HttpResponse, secrets: tuple[str, ...]) -> FlowResponse:
    """Parse a flow's response.

    A JSON object or list is parsed whatever its content type, because the Return Raw card sends JSON under any. Other
    JSON values are parsed only if the content type says JSON. A body that does not parse stays a string, unless its
    content type says JSON and it begins as an object or list: then it is cut off or broken.

    :param response: the HTTP response
    :param secrets: the secrets that were sent, to redact if the flow echoes its request
    """
    body, unreadable = None, response.unreadable
    if not unreadable:
        try:
            body = _read_body(response, secrets)
        except UnreadableError as error:
            unreadable = str(error)
    members = _members_of_unreadable(response, secrets) if unreadable else body
    headers = response.headers
    # Redact only if needed: each header is a string of its own, and few responses echo a secret.
    if may_echo(headers.text, secrets):
        headers = Headers({redact(name, secrets): redact(value, secrets) for name, value in headers.items()})
    return FlowResponse(
        status_code=response.status,
        headers=headers,
        body=body,
        execution_id=_execution_id(headers, members),
        elapsed=response.elapsed,
        unreadable=unreadable,
    )


def is_foreign_page(response: FlowResponse) -> bool:
    """Return whether a response is an HTML page without an execution id, as a login page, proxy or gateway sends.

    :param response: the response
    """
    if response.execution_id is not None or not isinstance(response.body, str):
        return False
    # A body of UTF-16 that is read as UTF-8 has U+FFFD between its characters.
    begin = response.body[:_LOOKED_AT].replace("\ufffd", "").lstrip()
    if _media_type(response.headers) in ("text/html", "application/xhtml+xml") and begin.startswith("<"):
        return True
    # Gateways and logins do not always label their pages, or label them as what was asked for.
    at = 0
    while before := _BEFORE_A_PAGE.match(begin, at):
        at = before.end()
    return _PAGE.match(begin, at) is not None


def _read_body(response: HttpResponse, secrets: tuple[str, ...]) -> Any:
    if not response.body.strip():
        return None
    text = decode_text(response.body, response.headers.get("Content-Type", "")).lstrip("\ufeff")
    # RFC 8259, and the +json suffix of RFC 6839.
    labelled = _media_type(response.headers).endswith(("/json", "+json"))
    if (begun := text.lstrip()[:1] in ("{", "[")) or labelled:
        try:
            value = parse_json_value(text)
        except UnreadableError:
            raise
        except ValueError:
            if begun and labelled:
                raise UnreadableError("its JSON is cut off or broken") from None
        else:
            # Redact after parsing, which undoes escapes, and only if needed: walking a large value is slow.
            return redact_value(value, secrets) if may_echo(text, secrets) else value
    return storable_text(redact(text, secrets))


def _members_of_unreadable(response: HttpResponse, secrets: tuple[str, ...]) -> Any:
    """Return the JSON value of a body that cannot be used, or those members that can name an execution."""
    try:
        text = decode_text(response.body, response.headers.get("Content-Type", ""))
    except UnreadableError:
        text = response.body.decode("utf-8", "replace")
    try:
        value = parse_beyond_limits(text)
    except ValueError:
        first = {name: member for name, _, member in reversed(_MEMBER.findall(redact(text, secrets)))}
        return {**first, "_error": first.get("_error") == "true"}
    return redact_value(value, secrets) if may_echo(text, secrets) else value


def _media_type(headers: Headers) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _execution_id(headers: Headers, body: Any) -> str | None:
    """Return the id of the flow's execution from a header, the body or Okta's error object; None if there is none."""
    for candidate in _execution_id_candidates(headers, body):
        # A value that does not look like an id could forge log lines (CWE-117). The values of a repeated header are
        # joined with a comma, which no id contains.
        if isinstance(candidate, str) and _EXECUTION_ID.fullmatch(text := candidate.partition(",")[0].strip()):
            return text
    return None


def _execution_id_candidates(headers: Headers, body: Any) -> Iterator[Any]:
    yield headers.get(EXECUTION_HEADER)
    for name, value in headers.items():
        if "execution" in name.lower() and _is_named(name, value):
            yield value
    if isinstance(body, dict):
        yield body.get("execution_id")
        yield _member(body.get("context"), "execution_id")
        if body.get("_error") is True:
            yield _text_of(body.get("execution"))
            yield _text_of(_member(body.get("source"), "execution"))


def _is_named(name: str, value: str) -> bool:
    """Return whether a header contains the id of an execution rather than other information about one."""
    text = value.partition(",")[0].strip()
    if UUID.fullmatch(text):
        return not _NAMES_SOMETHING_ELSE.search(name)
    return bool(_NAMES_EXECUTION.search(name) and not _NO_ID.fullmatch(text))


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text_of(value: Any) -> Any:
    """Return an int as a string: other ids in Okta's error object, such as the flow's, are numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
