"""Validation and encoding of what a caller sends to a flow.

What becomes of values that JSON does not know is in the table ``VALUE_RULES`` of
:mod:`airflow_okta_workflows.core.flows.values`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.flows.expressions import has_template
from airflow_okta_workflows.core.numbers import check_number, seconds
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    from airflow_okta_workflows.core.errors import CoreError
    from airflow_okta_workflows.core.flows.values import NoJsonFormError

METHODS = ("GET", "POST")
RESERVED_PREFIX = "x-okta-workflows"
"""Prefix that Okta reserves in names of headers, query parameters and top-level keys of the body."""

_TOKEN = lazy_pattern(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_FORBIDDEN_VALUE = lazy_pattern(r"[\x00-\x08\x0a-\x1f\x7f]")
_LARGE = 10**18
_CONTAINERS = (dict, list, tuple)
_PLAIN = (dict, list, str, int, float, bool, type(None))
_SHORTEST_RESPONSE, _LONGEST_RESPONSE = 0.001, 86_400.0
_JSON_TYPE = lazy_pattern(r"application/json(?:\s*;\s*charset\s*=\s*[\"']?utf-?8[\"']?)?\s*;?", re.IGNORECASE)
_PYTHON = lazy_pattern(r"'|\b(?:None|True|False)\b")
_FROM_TEMPLATE = (
    'Give a dict or a task\'s output; a template needs "{{ … | tojson }}", or a DAG with'
    " render_template_as_native_obj=True."
)
_NOTHING_GIVEN = 'OKW-1508: Check the task that it comes from. For an empty payload, use "{{ … or {} | tojson }}".'
_NOTHING = ("it is empty", "it is 'None'")
"""What a template renders to if its value is missing."""
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
        raise configuration_error(
            f"A flow cannot be invoked with the method {shown(method, 20)}.", "OKW-1516: Use POST or GET."
        )
    return upper


def check_names(mapping: Mapping[Any, Any], what: str) -> None:
    """Raise if a name is not a string or is reserved by Okta.

    :param mapping: headers, query parameters, or a payload
    :param what: which of them, for the error message
    :raises CoreError: for such a name
    """
    for name in mapping:
        if not isinstance(name, str):
            raise configuration_error(
                f"Names in {what} must be strings, not {type(name).__name__}.", "OKW-1515: Use strings as names."
            )
        if name.lower().startswith(RESERVED_PREFIX):
            raise configuration_error(
                f"A name in {what} begins with {RESERVED_PREFIX}, which is reserved by Okta.",
                "OKW-1514: Use another name.",
            )


def check_headers(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the caller's headers as strings, without those whose value is None.

    A number or another scalar becomes a string as in JSON.

    :param headers: the headers, or None
    :raises CoreError: for a reserved name, a name that the hook or HTTP sets, or a name or value that HTTP does not
        allow
    """
    if not headers:
        return {}
    _require_mapping(headers, "headers")
    check_names(headers, "headers")
    checked: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        text = _text_form(value, "header", name)
        if not _TOKEN.fullmatch(name):
            raise configuration_error(
                f"The name of the header {shown(name)} has a character that HTTP does not allow.",
                "OKW-1513: Use letters, digits and hyphens, without a colon or a space.",
            )
        if text is None:
            continue
        text = text.strip()
        if name.lower() == "content-type" and _JSON_TYPE.fullmatch(text):
            continue  # equal to what the hook sends
        if why := _SET_BY_THE_HOOK.get(name.lower()):
            raise configuration_error(f"The header {shown(name)} cannot be set.", f"OKW-1531: {why}")
        # A newline in a value would start another header (CWE-113).
        if _FORBIDDEN_VALUE.search(text):
            raise configuration_error(
                f"The value of the header {shown(name)} has a character that HTTP does not allow.",
                "OKW-1512: Remove newlines and control characters.",
            )
        if not text.isascii():
            # Recipients decode it as Latin-1 or as UTF-8 (RFC 9110, section 5.5); Okta does not document which.
            raise configuration_error(
                f"The value of the header {shown(name)} has a character outside ASCII.",
                "OKW-1511: Send it in the payload or the query, or percent-encoded.",
            )
        if name.lower() in seen:
            raise configuration_error(
                f"The header {shown(name)} is given twice.", "OKW-1510: Names differ in case only: leave one of them."
            )
        seen.add(name.lower())
        checked[name] = text
    return checked


def check_timeout(timeout: Any) -> float | None:
    """Return the time-out of a response in seconds; None selects the connection's default.

    :param timeout: the caller's value: seconds, or a ``timedelta``
    :raises CoreError: if it is not from 0.001 to 86,400 seconds
    """
    if timeout is None:
        return None
    number = seconds(timeout)
    check_number(number, "timeout", least=_SHORTEST_RESPONSE, most=_LONGEST_RESPONSE)
    return float(number)


def check_query(query: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Return the query parameters as strings: the values of each name.

    A list gives one parameter per item, a bool is written in lower case, and None omits the parameter. Another scalar
    becomes a string as in JSON.

    :param query: the parameters, or None
    :raises CoreError: for a reserved name, or a value that a query cannot represent
    """
    if not query:
        return {}
    _require_mapping(query, "query")
    check_names(query, "query")
    checked: dict[str, list[str]] = {}
    for name, value in query.items():
        texts = [_text_form(item, "query parameter", name) for item in _query_items(value, name)]
        checked[name] = [text for text in texts if text is not None]
    return checked


def encode_query(query: Mapping[str, Any] | None) -> str:
    """Return the query string without its question mark; empty if there are no parameters.

    :param query: the parameters, or None; see :func:`check_query`
    :raises CoreError: for a reserved name, or a value that a query cannot represent
    """
    try:
        return urlencode([(name, text) for name, texts in check_query(query).items() for text in texts])
    except UnicodeEncodeError:
        raise configuration_error(
            "The query has a character that UTF-8 cannot encode.", "OKW-1509: Remove it."
        ) from None


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
        payload = parse_text(payload if issubclass(type(payload), str) else str(payload), "The payload")
    value = payload
    problem: Any = None
    try:
        value = payload if type(payload) in _PLAIN else _json_form(payload)
        if isinstance(value, Mapping):
            check_names(value, "payload")
        _check_keys(value)
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError):  # ValueError: NaN, a circle, UTF-8, or a value without a JSON form
        from airflow_okta_workflows.core.flows.values import find_problem

        problem = find_problem(payload, "payload")
    raise configuration_error(f"The payload is not JSON: {problem.what}.", f"OKW-1532: {problem.fix}")


def require_given(payload: Any) -> None:
    """Raise if a payload that was given when the DAG was parsed is None now.

    :param payload: the payload, rendered
    :raises CoreError: if it is None
    """
    if payload is None:
        raise configuration_error(
            "The payload is None: its template or XCom gave nothing.",
            _NOTHING_GIVEN,
        )


def parse_text(text: str | bytes, what: str) -> Any:
    """Return the value of a string of JSON.

    :param text: the string, often rendered from a template
    :param what: the argument, for the error message
    :raises CoreError: if it is not JSON; the message does not quote it
    """
    try:
        return json.loads(text)
    except RecursionError:
        problem = "nested too deeply"
    except json.JSONDecodeError as error:
        problem = _not_json(error)
    except ValueError:
        problem = "it is not UTF-8, or a number is too long"
    if problem in _NOTHING:
        raise configuration_error(f"{what} is a string that is not JSON ({problem}).", _NOTHING_GIVEN)
    raise configuration_error(
        f"{what} is a string that is not JSON ({problem}).", f"OKW-1507: {_FROM_TEMPLATE}\n{_OTHER_BODY}"
    )


def _not_json(error: json.JSONDecodeError) -> str:
    """Return why a string is not JSON; the string is often a Python value that a template has rendered."""
    text = error.doc.strip()
    if not text:
        return "it is empty"
    if text in ("None", "True", "False"):
        return f"it is {text!r}"
    if text[0] in "[{(" and _PYTHON.search(text):
        return "it is a dict or list as Python prints it: | tojson is missing"
    return f"{error.msg} at line {error.lineno}, column {error.colno}"


def check_as_parsed(
    method: str, payload: Any, query: Mapping[str, Any] | None, headers: Mapping[str, Any] | None
) -> None:
    """Check what is known of a request when a DAG is parsed, before templates and XComs have values.

    :param method: the method
    :param payload: the payload; only its top-level names are checked
    :param query: the query parameters; only their names are checked
    :param headers: the headers; values that are rendered later are not checked
    :raises CoreError: if the request could never be sent
    """
    checked = check_method(method)
    if payload is not None:
        _require_post(checked)
    if isinstance(payload, Mapping):
        check_names(payload, "payload")
    if isinstance(query, Mapping):
        check_names(query, "query")
    if isinstance(headers, Mapping):
        check_names(headers, "headers")
        check_headers({name: value for name, value in headers.items() if not _is_rendered_later(value)})


def _is_rendered_later(value: object) -> bool:
    if isinstance(value, str):
        return has_template(value)
    return value is not None and type(value) not in (bool, int, float, bytes, list, dict, tuple, set)


def _require_post(method: str) -> None:
    if method == "GET":
        raise configuration_error("GET takes no payload.", "OKW-1506: Use query, or the method POST.")


def _json_form(value: object) -> Any:
    # Imported only for a value that JSON does not know, which few payloads contain.
    from airflow_okta_workflows.core.flows.values import json_form

    form = json_form(value)
    _check_keys(form)
    return form


def _check_keys(value: object) -> None:
    """Raise a ValueError for a dict with two keys that have one name in JSON: a receiver would use only one of them."""
    waiting, seen = [value], set()
    while waiting:
        container = waiting.pop()
        kind = type(container)  # a lazy proxy is looked at when it is converted
        if not issubclass(kind, _CONTAINERS) or id(container) in seen:
            continue
        seen.add(id(container))  # it may contain itself
        items: Any = container
        if issubclass(kind, dict):
            # A loop, since a generator takes longer, and a batch has a hundred thousand payloads.
            for key in items:
                if type(key) is not str:
                    _require_distinct(items)
                    break
            items = items.values()
        waiting.extend([item for item in items if isinstance(item, _CONTAINERS)])


def _require_distinct(keys: dict[Any, Any]) -> None:
    from airflow_okta_workflows.core.flows.values import repeated_key

    if repeated_key(keys):
        raise ValueError("two keys have one name")


# Created once: json.dumps would create it again for each payload.
_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_json_form)


def _text_form(value: object, what: str, name: str) -> str | None:
    if value is None or type(value) is str:
        return value
    if type(value) is bool or (type(value) is int and abs(value) < _LARGE):
        return str(value).lower()  # as text_form does, without its import
    from airflow_okta_workflows.core.flows.values import NoJsonFormError, text_form

    try:
        return text_form(value)
    except NoJsonFormError as error:
        problem = error
    raise _no_text_form(what, name, problem)


def _query_items(value: object, name: str) -> list[Any] | tuple[Any, ...]:
    if value is None or isinstance(value, (str, int, float)):
        return (value,)
    if isinstance(value, (list, tuple)):
        return value
    from airflow_okta_workflows.core.flows.values import NoJsonFormError, json_form

    try:
        form = json_form(value)
    except NoJsonFormError as error:
        problem = error
    else:
        return form if isinstance(form, list) else (value,)
    raise _no_text_form("query parameter", name, problem)


def _no_text_form(what: str, name: str, problem: NoJsonFormError) -> CoreError:
    return configuration_error(f"The {what} {shown(name)} {problem.what}.", f"OKW-1533: {problem.fix}")


def _require_mapping(value: object, what: str) -> None:
    if not isinstance(value, Mapping):
        hint = " A template gives a string: write one for each value instead." if isinstance(value, str) else ""
        raise configuration_error(f"{what} is of type {type(value).__name__}.", f"OKW-1505: Give a dict.{hint}")
