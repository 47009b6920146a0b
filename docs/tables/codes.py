"""The codes of errors in docs/troubleshooting.md: a link target for each, and those that no other table has."""

from __future__ import annotations

import re

from airflow_okta_workflows.connection import http_guard
from airflow_okta_workflows.core.batch.items import GIVE_A_LIST
from airflow_okta_workflows.core.batch.records import LOOK_AT_RECORDS
from airflow_okta_workflows.core.flows import hints as flow_hints
from airflow_okta_workflows.core.flows.hints import flow_hint
from airflow_okta_workflows.core.http.hints import CLIENT_CERTIFICATE
from airflow_okta_workflows.core.oauth.hints import TRY_LATER, clock_hint, okta_error_hint, token_hint
from airflow_okta_workflows.diagnostics import FASTER_KEY, FIELD_WARNINGS

OTHER_CODES = (
    (
        "The org, or a gateway in front of it, has a problem: a 5xx, or `temporarily_unavailable`.",
        TRY_LATER,
    ),
    (
        "The org refuses the client assertion, and this machine's clock differs from the org's.",
        clock_hint(60).replace("60", "…"),
    ),
    (
        "Okta's error object has a code that the provider does not know.",
        okta_error_hint("E0000999").replace("E0000999", "…"),
    ),
    ("The org knows no such scope.", token_hint("invalid_scope", "another text", None)),
    ("A proxy has changed the token request.", okta_error_hint("E0000021")),
    ("The same.", okta_error_hint("E0000022")),
    ("`check`: a key takes long to decrypt, in each process.", FASTER_KEY),
    ("`check`: Airflow's http provider would send the secrets of this connection to its host.", http_guard.FIX),
    ("`check`: a field has another name or a doubtful value.", FIELD_WARNINGS.format("…")),
    ("The flow's host returned 411.", flow_hint(411)),
    ("It returned 414.", flow_hint(414)),
    ("It returned 415.", flow_hint(415)),
    ("It returned 431.", flow_hint(431)),
    ("The flow's host requires a client certificate, with TLS 1.3.", CLIENT_CERTIFICATE),
    ("The payloads of a batch are not a list.", GIVE_A_LIST),
    ("Items of a batch did not succeed.", LOOK_AT_RECORDS),
    ("A condition of a status flow cannot be evaluated.", flow_hints.CONDITION_UNFIT),
)
"""What it means, and what to change, for each code that depends on the case at run time."""

_TARGET = re.compile(r'<a id="okw-\d{4}"></a>')
_CODE_SPAN_OR_CODE = re.compile(r"``.*?``|`[^`]*`|OKW-\d{4}")


def with_targets(page: str) -> str:
    """Return the page with a link target, such as ``okw-1240``, at the first row of each code.

    :param page: the page
    """
    seen = set()

    def target(found: re.Match[str]) -> str:
        code = found[0]
        if code.startswith("`") or code in seen:
            return code
        seen.add(code)
        return f'<a id="{code.lower()}"></a>{code}'

    lines = _TARGET.sub("", page).split("\n")
    return "\n".join(_CODE_SPAN_OR_CODE.sub(target, line) if line.startswith("| ") else line for line in lines)
