"""Hints about what to change after a flow's host refuses an invocation or a flow fails."""

from __future__ import annotations

import re
from typing import Any

from airflow_okta_workflows.core.errors import split_code
from airflow_okta_workflows.core.http.hints import PROXY_REFUSED
from airflow_okta_workflows.core.oauth.hints import DOMAIN_RULE, PROXY_CHANGES, okta_error_hint, with_suspect_clock
from airflow_okta_workflows.core.patterns import lazy_pattern

FOREIGN_REFUSAL = (
    "OKW-1405: It came with an HTML page and no execution id: look for a proxy or firewall in between that refuses,"
    " and let it pass the flow's host."
)

RUN_FAILED = "OKW-1611: Look the long-running flow up in its execution history."

CONDITION_UNFIT = "OKW-1612: Correct the status flow or the condition."

FLOW_FAILED = (
    "OKW-1582: Look it up in the flow's execution history, and correct the flow or the payload. A retry runs the flow"
    " again."
)

RESPONSE_UNREADABLE = (
    "OKW-1404: Let the flow return less, or JSON in UTF-8, with large numbers as strings; max_response_bytes is the"
    " limit. A retry would run it again, so there is none: look it up in the flow's execution history."
)

RESPONSE_REDIRECTED = (
    "OKW-1403: Set workflows_host, or the flow's URL, to where the flow really is. The token was not sent on."
)

FLOW_RATE_LIMITED = (
    "OKW-1402: A flow takes 10 invocations per second. Invoke it less often (a pool limits parallel tasks), or raise"
    " rate_limit_wait."
)

OUTCOME_UNKNOWN = (
    "OKW-1401: It may have run. Look it up in the flow's execution history before you clear the task. If running it"
    " twice does no harm, declare the flow idempotent."
)

STOPPED = "OKW-1693: Nothing, if the stop was intended. Nothing was sent after it, so a retry is safe."

NO_RESPONSE = "OKW-1406: It may have run. It is declared idempotent, so trying again is allowed."


_SECURE = (
    "In the flow's API Endpoint card, open the endpoint settings, choose 'Secure with OAuth 2.0' instead of a client"
    " token or public access, and save the flow."
)

_SWITCH_ON = "The host says that it is off: check in the Workflows Console that the flow is on."

_NOT_FOUND = (
    "Check the flow's alias: copy it again from the Invoke URL, in the settings of its API Endpoint card.\n"
    "Check workflows_host: it must be the host of that URL."
)

_SCOPE = "Grant the scope okta.workflows.invoke.manage to the app, on its Okta API Scopes tab."

_NO_API_ENDPOINT = (
    "The flow cannot be invoked as it is: its first card must be API Endpoint. Save it, switch it on, and copy its"
    " Invoke URL again."
)

_OKTA_API = (
    "Okta's API responded here, not a flow: set workflows_host, or the flow's URL, to the host of the flow's Invoke"
    " URL, such as acme.workflows.okta.com."
)

_BY_STATUS = {
    401: (
        "OKW-1421: The org does not accept its own token here. Most often the Okta domain (Host) is the wrong one of"
        " its two.\n"
        f"{DOMAIN_RULE}\n"
        f"If the flow is not secured with OAuth 2.0: {_SECURE[0].lower()}{_SECURE[1:]}"
    ),
    403: f"OKW-1422: {_SECURE}\n{_SCOPE}",
    404: (
        f"OKW-1423: {_NOT_FOUND}\nCheck in the Workflows Console that the flow is on.\n"
        'If the flow itself returned this 404, let it return 200 instead: a status flow {"status": "NOT_FOUND"}.'
    ),
    405: (
        "OKW-1424: Check the invoke URL: an alias or a host may be a placeholder.\nCheck the method: a flow takes"
        " GET and POST."
    ),
    407: PROXY_REFUSED,
    411: "OKW-1426: Something between here and the flow changes requests: look for a proxy.",
    413: "OKW-1427: The payload is too large for the flow's host: send less, or a reference to it.",
    414: "OKW-1428: The query is too long: send it as the payload, with POST.",
    415: "OKW-1429: The flow's host does not take JSON here: check the invoke URL.",
    431: "OKW-1430: The headers are too large for the flow's host: send it in the payload.",
}
"""Hints for statuses that a host returns before the flow runs."""

_BY_A_CLOCK = frozenset({400, 401, 403, 404})
"""Statuses with which a host may refuse a token that it does not take as valid now."""

_CLIENT_TOKEN = lazy_pattern(r"client[ _-]?token|not secured with oauth", re.IGNORECASE)
# A message about a flow, or the whole of a member such as ``kind``. Otherwise it may be about an account or a user.
_ABOUT_A_FLOW = lazy_pattern(r"\bflow\b|^[ \t]*not active[ \t]*$", re.IGNORECASE | re.MULTILINE)
_BY_WORDS = (
    (
        lazy_pattern(
            r"\b(?:not[ _-]?(?:active|activated|enabled)|inactive|deactivated|disabled)\b"
            r"|\b(?:switched|turned) off\b|\bnot (?:switched|turned) on\b",
            re.IGNORECASE,
        ),
        f"OKW-1431: {_SWITCH_ON}",
    ),
    (lazy_pattern(r"\binvalid[ _-]?flow\b", re.IGNORECASE), f"OKW-1432: {_NO_API_ENDPOINT}"),
    (
        lazy_pattern(r"\bnot[ _-]?found\b|\bno such\b|\bdoes not exist\b|\bunknown\b", re.IGNORECASE),
        f"OKW-1433: {_NOT_FOUND}",
    ),
)
"""Hints by what a host says of a flow; the first pattern that matches decides."""

_LONGEST_READ = 1000
"""Characters of a message that are looked at."""


def flow_hint(status: int, body: Any = None, clock_offset: float | None = None, otherwise: str = "") -> str:
    """Return what to change after a response without an execution id, which may come from before the flow.

    :param status: the HTTP status
    :param body: the body, parsed
    :param clock_offset: seconds by which the local clock is ahead of the host's; None if unknown
    :param otherwise: the hint for a response that can only be the flow's own
    """
    hint = _okta_error_hint(body) or _hint_by_words(status, body) or _BY_STATUS.get(status, otherwise)
    return with_suspect_clock(hint, clock_offset) if status in _BY_A_CLOCK else hint


def _okta_error_hint(body: Any) -> str:
    code = body.get("errorCode") if isinstance(body, dict) else None
    _, hint = split_code(okta_error_hint(code) if isinstance(code, str) else "")
    if not hint:
        return ""
    # Here the wrong host explains what a proxy would explain at the token endpoint.
    return f"OKW-1435: {_OKTA_API}" + ("" if hint.startswith(PROXY_CHANGES) else f"\n{hint}")


def _hint_by_words(status: int, body: Any) -> str:
    said = _words(body)
    if status in (401, 403) and _CLIENT_TOKEN.search(said):
        return f"OKW-1434: {_SECURE}"
    if not 400 <= status < 500 or not _ABOUT_A_FLOW.search(said):
        return ""
    return next((hint for pattern, hint in _BY_WORDS if pattern.search(said)), "")


def _words(body: Any) -> str:
    """Return the strings of an error response: of the body itself, or of its members and those of its ``error``."""
    if isinstance(body, str):
        return body[:_LONGEST_READ]
    if not isinstance(body, dict):
        return ""
    inner = body.get("error")
    members = [*body.values(), *(inner.values() if isinstance(inner, dict) else ())]
    return "\n".join(value[:_LONGEST_READ] for value in members if isinstance(value, str))
