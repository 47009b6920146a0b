"""Refusals of the org, of a flow's host, and of what stands between; each over both transports."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_okta_workflows.emulator import Answer, LocalOrg, ReturnRaw
from airflow_okta_workflows.exceptions import (
    OktaFlowFailedError,
    OktaFlowNotSentError,
    OktaFlowOutcomeUnknownError,
    OktaFlowRateLimitedError,
    OktaFlowRefusedError,
    OktaTokenRefusedError,
)
from docs.tables.faults import ROWS, WAYS, Prepare, Row, far, flow, ordered, play, skewed
from tests.integration.situations.stage import Act, Stage, each, refused

HTML = {"Content-Type": "text/html"}


def fault(*rows: str | Prepare, **options: Any) -> list[Act]:
    """Return a form for each fault and transport; a fault is a row of the fault matrix, by name, or a preparation."""
    known = {row.name: row for row in reversed(ROWS)}
    found = [known[row] if isinstance(row, str) else Row("", row, None, 0, **options) for row in rows]
    return each(_play, [(row, WAYS[way]) for row in found for way in ("hook", "hook, async")])


def _play(stage: Stage, played: tuple[Row, Callable[..., Any]]) -> str:
    row, way = played
    error, _, runs, _ = play(row, way, stage.world.runtime())
    if error:
        stage.runs_elsewhere = runs
        raise error
    return f"Succeeds; the flow ran {'once' if runs == 1 else f'{runs} times'}"


def said(status: int, body: Any, *, by: str | None = "echo", times: int = 1, **headers: str) -> Prepare:
    """Return a preparation: the flow's host, or the token endpoint if ``by`` is None, returns a JSON body."""
    headers = {"Content-Type": "application/json", **headers}
    return ordered(Answer(status, json.dumps(body).encode(), headers), times, by)


def oauth(error: str, description: str, status: int = 400) -> Prepare:
    """Return a preparation: the token endpoint returns an error of OAuth."""
    return said(status, {"error": error, "error_description": description}, by=None)


def okta(status: int, code: str, by: str | None) -> Prepare:
    """Return a preparation: Okta's API returns an error object."""
    return said(status, {"errorCode": code, "errorSummary": "You do not have permission"}, by=by)


def variable(name: str, value: str) -> Callable[[Act], Act]:
    """Return a decorator of a form that sets a variable of the environment first."""

    def decorate(act: Act) -> Act:
        def with_variable(stage: Stage) -> str:
            stage.patch.setenv(name, value)
            return act(stage)

        return with_variable

    return decorate


def refused_and_skewed(org: LocalOrg) -> None:
    """Refuse the token twice, by a clock that is ahead."""
    skewed(100)(org)
    ordered(Answer(401), 2)(org)


def passed_on(request: Any) -> ReturnRaw:
    """Return the error object of another execution, with its status, as a flow that passes it on."""
    return ReturnRaw(429, {"_error": True, "flo": 247234, "execution": "e3b0c442-98fc-4c14-9afb-f4c8996fb924", "statusCode": 429})  # fmt: skip


REFUSALS = [
    refused("An app without any scope", fault(oauth("no_org_scopes_granted", "No org scopes are granted to the client.")), "OKW-1236", OktaTokenRefusedError),
    refused("An app without the scope `okta.workflows.invoke.manage`", fault("token: the scope is not granted"), "OKW-1236", OktaTokenRefusedError),
    refused("An app without a public key", fault(oauth("invalid_client", "The client does not have a JWKSet configured.", 401)), "OKW-1231", OktaTokenRefusedError),
    refused("An app with proof of possession (DPoP) on", fault("token: Proof of possession is on"), "OKW-1240", OktaTokenRefusedError),
    refused("E0000006 for the token request: a policy, a zone or ThreatInsight", fault(okta(403, "E0000006", None)), "OKW-1247", OktaTokenRefusedError),
    refused("E0000015 for the token request: a feature that the org lacks", fault(okta(401, "E0000015", None)), "OKW-1248", OktaTokenRefusedError),
    refused("A clock that is 15 minutes behind the org's", fault("token: the org's clock is 15 min ahead"), "OKW-1221", OktaTokenRefusedError),
    refused("A clock that is 15 minutes ahead of the org's", fault("token: the org's clock is 15 min behind"), "OKW-1223", OktaTokenRefusedError),
    refused("A domain that is no org's", fault("token: 403 with an empty body"), "OKW-1205", OktaTokenRefusedError),
    refused("A token that the flow's host does not accept: the wrong one of two domains", fault("401 twice"), "OKW-1421", OktaFlowRefusedError),
    refused("The same, and a clock that is off by more than a minute", fault(refused_and_skewed), "OKW-1421", OktaFlowRefusedError),
    refused("A flow that is not secured with OAuth 2.0, or an app without the scope", fault("403"), "OKW-1422", OktaFlowRefusedError),
    refused("A flow that is secured with a client token", fault("the flow has another security level"), "OKW-1434", OktaFlowRefusedError),
    refused("An alias that is not known, in Okta's words", fault(said(404, {"message": "The flow was not found"})), "OKW-1433", OktaFlowRefusedError),
    refused("A flow that is off, in Okta's words", fault("the flow is off"), "OKW-1431", OktaFlowRefusedError),
    refused("A 404 without words", fault("404"), "OKW-1423", OktaFlowRefusedError),
    refused("A flow whose first card is not API Endpoint", fault(said(400, {"kind": "Invalid Flow"})), "OKW-1432", OktaFlowFailedError),
    refused("E0000006 from the flow's host: the API of the org responds", fault(okta(403, "E0000006", "echo")), "OKW-1435", OktaFlowRefusedError),
    refused("A 405: a placeholder in the invoke URL", fault(ordered(Answer(405, b"", HTML))), "OKW-1424", OktaFlowFailedError),
    refused("A 413: a payload that is too large", fault("405, 413 and others before the flow"), "OKW-1427", OktaFlowFailedError),
    refused("A 403 with an HTML page: a firewall or a proxy", fault(ordered(Answer(403, b"<html><title>Blocked</title>", HTML))), "OKW-1405", OktaFlowRefusedError),
    refused("A flow that is invoked more often than it allows, for longer than `rate_limit_wait`", fault("429 beyond rate_limit_wait"), "OKW-1402", OktaFlowRateLimitedError),
    refused("A flow that passes on the 429 of another system, with an execution", fault(flow(function=passed_on)), "OKW-1582", OktaFlowFailedError),
    refused("A gateway's page with 504, after the flow has run", fault("a gateway's 504 after running"), "OKW-1401", OktaFlowOutcomeUnknownError),
    refused("A gateway's 504 as JSON, after the flow has run", fault("504 of an AWS API gateway, in JSON, after running"), "OKW-1401", OktaFlowOutcomeUnknownError),
    refused("A login page of a proxy, with 200", fault("200 with a login page"), "OKW-1401", OktaFlowOutcomeUnknownError),
    refused("A connection that is reset before the response", fault("reset after running"), "OKW-1401", OktaFlowOutcomeUnknownError),
    refused("A proxy that refuses the flow's host", fault("a proxy returns 403 to CONNECT"), "OKW-1301", OktaFlowNotSentError),
    refused("A proxy that wants a login", fault("a proxy returns 407 to CONNECT"), "OKW-1301", OktaFlowNotSentError),
    refused("A proxy that intercepts TLS, with a CA that this machine does not know", fault("a proxy intercepts, by a CA that is not known here"), "OKW-1303", OktaFlowNotSentError),
    refused("`ALL_PROXY` names a SOCKS proxy", [variable("ALL_PROXY", "socks5://proxy:1080")(act) for act in fault(far)], "OKW-1047", OktaFlowNotSentError),
    refused("`REQUESTS_CA_BUNDLE` names a file that does not exist", [variable("REQUESTS_CA_BUNDLE", "/etc/ssl/corporate.pem")(act) for act in fault(far)], "OKW-1302", OktaFlowNotSentError),
]  # fmt: skip
