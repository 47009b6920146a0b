"""Hints about what to change after a flow's host refuses an invocation or a flow fails."""

from __future__ import annotations

from airflow_okta_workflows.core.http.hints import PROXY_REFUSED
from airflow_okta_workflows.core.oauth.hints import DOMAIN_RULE

FOREIGN_REFUSAL = (
    "It came with an HTML page and no execution id: look for a proxy or firewall in between that refuses, and let it"
    " pass the flow's host."
)

RESPONSE_UNREADABLE = (
    "Let the flow return less, or JSON in UTF-8; max_response_bytes is the limit. A retry would run it again, so there"
    " is none: look it up in the flow's execution history."
)

RESPONSE_REDIRECTED = "Set workflows_host, or the flow's URL, to where the flow really is. The token was not sent on."

FLOW_RATE_LIMITED = (
    "A flow takes 10 invocations per second. Invoke it less often (a pool limits parallel tasks), or raise"
    " rate_limit_wait."
)

OUTCOME_UNKNOWN = (
    "It may have run. Look it up in the flow's execution history before you clear the task. If running it twice"
    " does no harm, declare the flow idempotent."
)

NO_RESPONSE = "It may have run. It is declared idempotent, so trying again is allowed."


_FAILURES = {
    405: "Check the invoke URL (an alias or host that is a placeholder?) and the method: a flow takes GET and POST.",
    407: PROXY_REFUSED,
    411: "Something between here and the flow changes requests: look for a proxy.",
    413: "The payload is too large for the flow's host: send less, or a reference to it.",
    414: "The query is too long: send it as the payload, with POST.",
    415: "The flow's host does not take JSON here: check the invoke URL.",
    431: "The headers are too large for the flow's host: send it in the payload.",
}


def failure_hint(status: int) -> str:
    """Return what to change after a status that a host returns before the flow runs; empty for other statuses.

    :param status: the HTTP status of a response without an execution id
    """
    return _FAILURES.get(status, "")


def flow_hint(status: int) -> str:
    """Return what to change after a flow's host refused with 401, 403 or 404 before the flow ran.

    :param status: the HTTP status
    """
    if status == 401:
        return (
            "The org does not accept its own token here. Most often the Okta domain (Host) is the wrong one of its"
            f" two. {DOMAIN_RULE}"
        )
    if status == 403:
        return (
            "In the flow's API access settings, set 'Secure with OAuth 2.0', and check that the app has the scope"
            " okta.workflows.invoke.manage."
        )
    return (
        "Check the flow's alias (API access, Invoke URL), that the flow is on, and workflows_host. If the flow itself"
        ' returned this 404, let it return 200 instead: a status flow {"status": "NOT_FOUND"}.'
    )
