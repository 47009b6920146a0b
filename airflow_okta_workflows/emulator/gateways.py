"""Faults in which a load balancer, an API gateway or a login page responds instead of the flow."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Literal

from airflow_okta_workflows.emulator.faults import Answer

Gateway = Literal["alb", "api-gateway", "cloudflare", "envoy", "kong", "nginx"]

_CLOUDFLARE = {
    520: "Web server is returning an unknown error",
    521: "Web server is down",
    522: "Connection timed out",
    523: "Origin is unreachable",
    524: "A timeout occurred",
}


def GatewayPage(gateway: Gateway, status: int = 504, *, after_run: bool = False) -> Answer:  # noqa: N802  # named like the fault classes
    """Return a fault: the error response of a gateway instead of the flow's, without an execution id.

    :param gateway: the product; ``alb`` and ``api-gateway`` are those of AWS
    :param status: the HTTP status, such as 408, 502, 503, 504, and with ``cloudflare`` 520 to 524
    :param after_run: let the flow run first
    """
    phrase = _CLOUDFLARE.get(status) or HTTPStatus(status).phrase
    headers, body = _PAGES[gateway](status, phrase)
    return Answer(status, body.encode(), headers, after_run)


def LoginPage(status: int = 200) -> Answer:  # noqa: N802  # named like the fault classes
    """Return a fault: the login page of a proxy instead of the flow's response.

    :param status: the HTTP status
    """
    page = "<!DOCTYPE html>\n<html><head><title>Log in</title></head><body><form method=post>…</form></body></html>"
    return Answer(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


def _html(status: int, phrase: str, server: str, *, rule: bool = False) -> str:
    foot = f"<hr><center>{server}</center>" if rule else ""
    title = f"{status} {phrase}"
    head, body = f"<head><title>{title}</title></head>", f"<body>\n<center><h1>{title}</h1></center>\n{foot}</body>"
    return f"<html>\n{head}\n{body}\n</html>\n"


def _alb(status: int, phrase: str) -> tuple[dict[str, str], str]:
    return {"Server": "awselb/2.0", "Content-Type": "text/html"}, _html(status, phrase, "")


def _nginx(status: int, phrase: str) -> tuple[dict[str, str], str]:
    return {"Server": "nginx", "Content-Type": "text/html"}, _html(status, phrase, "nginx", rule=True)


def _api_gateway(status: int, phrase: str) -> tuple[dict[str, str], str]:
    message = "Endpoint request timed out" if status == 504 else phrase
    return {"Content-Type": "application/json", "x-amzn-ErrorType": "InternalServerErrorException"}, json.dumps(
        {"message": message}
    )


def _kong(status: int, phrase: str) -> tuple[dict[str, str], str]:
    message = "The upstream server is timing out" if status == 504 else f"An upstream error: {phrase}"
    return {"Server": "kong", "Content-Type": "application/json; charset=utf-8", "X-Kong-Response-Latency": "3"}, (
        json.dumps({"message": message, "request_id": "0f3c7a5e9d1b48e2"})
    )


def _envoy(status: int, phrase: str) -> tuple[dict[str, str], str]:
    body = "upstream request timeout" if status == 504 else f"upstream connect error: {phrase.lower()}"
    return {"Server": "istio-envoy", "Content-Type": "text/plain", "X-Envoy-Upstream-Service-Time": "15012"}, body


def _cloudflare(status: int, phrase: str) -> tuple[dict[str, str], str]:
    page = _html(status, phrase, "cloudflare").replace("<html>", "<!DOCTYPE html>\n<html lang=en-US>", 1)
    return {"Server": "cloudflare", "Content-Type": "text/html; charset=UTF-8", "CF-RAY": "8a1b2c3d4e5f6071-FRA"}, page


_PAGES = {
    "alb": _alb,
    "api-gateway": _api_gateway,
    "cloudflare": _cloudflare,
    "envoy": _envoy,
    "kong": _kong,
    "nginx": _nginx,
}
