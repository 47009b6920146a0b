"""Validation and encoding of what a caller sends to a flow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.numbers import check_number
from airflow_okta_workflows.core.secret import shown

METHODS = ("GET", "POST")
RESERVED_PREFIX = "x-okta-workflows"
"""Prefix that Okta reserves in names of headers, query parameters and top-level keys of the body."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_NO_LISTS = (str, bytes, bytearray, memoryview)
_FORBIDDEN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SHORTEST_RESPONSE, _LONGEST_RESPONSE = 0.001, 86_400.0
_JSON_TYPE = re.compile(r"application/json(?:\s*;\s*charset\s*=\s*\"?utf-?8\"?)?", re.IGNORECASE)
_HTTP = "HTTP itself sets it."
_OTHER_BODY = (
    "Other bodies, such as a form or XML, are not supported: send the text as a member of a JSON object, or use"
    " HttpOperator with this connection."
)
_SET_BY_THE_HOOK = {
    "authorization": "The hook sets it, from the connection.",
    "idempotency-key": "Pass the key as idempotency_key.",
    "content-type": f"A payload is JSON: leave it out, or set it to application/json. {_OTHER_BODY}",
    "x-api-client-token": "A flow with a client token cannot be invoked here: in its API Endpoint card, choose 'Secure"
    " with OAuth 2.0' instead. Then it needs no client token.",
    "proxy-authorization": "Write the login into http_proxy of the connection: http://user:password@host:port.",
    # Content-Length and the like frame the message. If two hosts disagree on where it ends, one may see two requests.
    **dict.fromkeys(
        (
            "accept-encoding", "connection", "content-encoding", "content-length", "expect", "host", "keep-alive",
            "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        ),
        _HTTP,
    ),
}  # fmt: skip


def check_method(method: object) -> str:
    """Return the method in upper case.

    :param method: the caller's value
    :raises CoreError: if it is neither GET nor POST, the only methods that invoke a flow
    """
    upper = method.upper() if isinstance(method, str) else ""
    if upper not in METHODS:
        raise configuration_error(f"A flow cannot be invoked with the method {shown(method, 20)}.", "Use POST or GET.")
    return upper


def check_names(mapping: Mapping[Any, Any], what: str) -> None:
    """Raise if a name is not a string or is reserved by Okta.

    :param mapping: headers, query parameters, or a payload
    :param what: which of them, for the error message
    :raises CoreError: for such a name
    """
    for name in mapping:
        if not isinstance(name, str):
            raise configuration_error(f"A name in {what} is no text but {type(name).__name__}.", "Use texts as names.")
        if name.lower().startswith(RESERVED_PREFIX):
            raise configuration_error(
                f"The name {shown(name)} in {what} is reserved by Okta.",
                f"Use one that does not begin with {RESERVED_PREFIX}.",
            )


def check_headers(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the caller's headers as strings, without those whose value is None.

    :param headers: the headers, or None
    :raises CoreError: for a reserved name, a name that the hook or HTTP sets, or a name or value that HTTP does not
        allow
    """
    if not headers:
        return {}
    _require_mapping(headers, "headers")
    check_names(headers, "headers")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        text = "" if value is None else str(value).strip()
        if name.lower() == "content-type" and _JSON_TYPE.fullmatch(text):
            continue  # equal to what the hook sends
        if why := _SET_BY_THE_HOOK.get(name.lower()):
            raise configuration_error(f"The header {shown(name)} cannot be set.", why)
        # A newline in a value would start another header (CWE-113).
        if not _TOKEN.fullmatch(name) or _FORBIDDEN_VALUE.search(text):
            raise configuration_error(
                f"The header {shown(name)} has a character that HTTP does not allow.",
                "Remove newlines and control characters.",
            )
        if not text.isascii():
            # Recipients decode it as Latin-1 or as UTF-8 (RFC 9110, section 5.5); Okta does not document which.
            raise configuration_error(
                f"The value of the header {shown(name)} has a character outside ASCII.",
                "Send it in the payload or the query, or percent-encoded.",
            )
        if name.lower() in {other.lower() for other in checked}:
            raise configuration_error(
                f"The header {shown(name)} is there twice.", "Names differ in case only: leave one of them."
            )
        if value is not None:
            checked[name] = text
    return checked


def check_timeout(seconds: Any) -> float | None:
    """Return the time-out of a response in seconds; None selects the connection's default.

    :param seconds: the caller's value
    :raises CoreError: if it is not a number from 0.001 to 86,400
    """
    if seconds is None:
        return None
    check_number(seconds, "timeout", least=_SHORTEST_RESPONSE, most=_LONGEST_RESPONSE)
    return float(seconds)


def encode_query(query: Mapping[str, Any] | None) -> str:
    """Return the query string without its question mark; empty if there are no parameters.

    A list gives one parameter per item, a bool is written in lower case, and None omits the parameter.

    :param query: the parameters, or None
    :raises CoreError: for a reserved name, or a value that a query cannot represent
    """
    if not query:
        return ""
    _require_mapping(query, "query")
    check_names(query, "query")
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, bool):
                pairs.append((name, "true" if item else "false"))
            elif isinstance(item, (str, int, float)):
                pairs.append((name, str(item)))
            elif item is not None:
                raise configuration_error(
                    f"The query parameter {shown(name)} is {type(item).__name__}.",
                    "Use a text, a number, true or false.",
                )
    try:
        return urlencode(pairs)
    except UnicodeEncodeError:
        raise configuration_error("The query has a character that UTF-8 cannot encode.", "Remove it.") from None


def encode_payload(payload: Any, method: str) -> bytes | None:
    """Return the body of an invocation: JSON in UTF-8, or None for no body.

    A string is parsed as JSON, because a template renders to a string.

    :param payload: a JSON value, a string of JSON, or None for no body
    :param method: the method, as :func:`check_method` returned it
    :raises CoreError: if the payload is not JSON, uses a reserved name, or the method is GET
    """
    if payload is None:
        return None
    _require_post(method)
    if isinstance(payload, str):
        payload = _parse_payload(payload)
    if isinstance(payload, Mapping):
        check_names(payload, "payload")
    where = None
    try:
        return json.dumps(payload, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
        where = _not_json(payload)
    raise configuration_error(
        f"The payload is not JSON: {where}.", "Use texts, numbers, true, false, null, lists and dicts."
    )


def check_as_parsed(
    method: str, payload: Any, query: Mapping[str, Any] | None, headers: Mapping[str, Any] | None
) -> None:
    """Check what is known of a request when a DAG is parsed, before templates and XComs have values.

    :param method: the method
    :param payload: the payload; only its top-level names are checked
    :param query: the query parameters; only their names are checked
    :param headers: the headers; checked only if all values are strings
    :raises CoreError: if the request could never be sent
    """
    checked = check_method(method)
    if payload is not None:
        _require_post(checked)
    if isinstance(payload, Mapping):
        check_names(payload, "payload")
    if isinstance(query, Mapping):
        check_names(query, "query")
    if isinstance(headers, Mapping) and all(isinstance(value, str) for value in headers.values()):
        check_headers(headers)


def _require_post(method: str) -> None:
    if method == "GET":
        raise configuration_error("GET carries no payload.", "Use query, or the method POST.")


def _plain(value: object) -> object:
    """Return a mapping as a dict and a sequence as a list: Airflow passes a mapped task's XComs as a lazy sequence."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, _NO_LISTS):
        return list(value)
    raise TypeError


def _parse_payload(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        position = "nested too deeply"
    except json.JSONDecodeError as error:
        position = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError:
        position = "a number is too long"
    raise configuration_error(
        f"The payload is a text that is not JSON ({position}).",
        f'Give a dict, or JSON text such as {{"email": "{{{{ params.email }}}}"}}. {_OTHER_BODY}',
    )


def _not_json(value: Any, path: str = "payload", depth: int = 0) -> str:
    """Describe where the first item is that JSON cannot represent, without quoting it; return empty if none is."""
    if depth > 50:
        return f"{path} is nested too deeply"
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, (str, int, float, bool, type(None))):
                return f"a key of {path} is {type(name).__name__}"
            if found := _not_json(item, f"{path}[{shown(name)}]", depth + 1):
                return found
        return ""
    if isinstance(value, Sequence) and not isinstance(value, _NO_LISTS):
        return next(
            filter(None, (_not_json(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))),
            "",
        )
    if isinstance(value, float) and value - value != 0:
        return f"{path} is {value}"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"{path} has a character that UTF-8 cannot encode"
        return ""
    if value is None or isinstance(value, (bool, int, float)):
        return ""
    return f"{path} is {type(value).__name__}" + (" (use .isoformat())" if hasattr(value, "isoformat") else "")


def _require_mapping(value: object, what: str) -> None:
    if not isinstance(value, Mapping):
        raise configuration_error(f"{what} is {type(value).__name__}.", "Give a dict.")
