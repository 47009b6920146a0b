"""Every fault that the local org can inject, for each way to invoke a flow; used by tests and docs/reliability.md.

``python -m docs.tables.faults docs/reliability.md`` plays all faults and writes the table into the page.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from airflow_okta_workflows.emulator import (
    Answer,
    Drip,
    GatewayPage,
    HtmlError,
    Interim,
    Latency,
    LocalOrg,
    LocalProxy,
    LoginPage,
    Reset,
    ReturnError,
    ReturnRaw,
    StatusTable,
    TooManyRequests,
    Truncate,
    TruncatedGzip,
)
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowNoResponseError,
    OktaFlowNotSentError,
    OktaFlowOutcomeUnknownError,
    OktaFlowRateLimitedError,
    OktaFlowRefusedError,
    OktaFlowResponseError,
    OktaTokenError,
    OktaTokenRefusedError,
    OktaWorkflowsError,
)

Prepare = Callable[[LocalOrg], dict[str, Any] | None]


def ordered(fault: Any, times: int = 1, flow: str | None = "echo") -> Prepare:
    """Return a preparation that injects a fault into a flow, or into the token endpoint if ``flow`` is None."""

    def prepare(org: LocalOrg) -> None:
        org.inject(fault, flow=flow, times=times)

    return prepare


def refused_port(org: LocalOrg) -> dict[str, Any]:
    """Point the flow at a port that refuses connections."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    return {"flows": {"echo": f"http://127.0.0.1:{port}/api/flo/x/invoke"}}


def elsewhere(url: str) -> Prepare:
    """Return a preparation that points the flow at another host."""
    return lambda org: {"flows": {"echo": f"{url}/api/flo/x/invoke"}}


def far(org: LocalOrg) -> dict[str, Any]:
    """Point the flow at a host that only the proxy can reach."""
    return {"flows": {"echo": "https://flows.example/api/flo/x/invoke"}, "connect_timeout": 0.5}


def app(**changes: Any) -> Prepare:
    """Return a preparation that changes settings of the app."""

    def prepare(org: LocalOrg) -> None:
        vars(org.app).update(changes)

    return prepare


def flow(**changes: Any) -> Prepare:
    """Return a preparation that changes attributes of the flow."""

    def prepare(org: LocalOrg) -> None:
        vars(org.flows["echo"]).update(changes)

    return prepare


def skewed(seconds: float) -> Prepare:
    """Return a preparation that sets the org's clock ahead, or back if ``seconds`` is negative."""

    def prepare(org: LocalOrg) -> None:
        org.clock_skew = seconds

    return prepare


@dataclass(frozen=True)
class Row:
    """One fault and its result.

    :param name: the fault, in words
    :param prepare: injects it, and returns further fields of the connection's extra
    :param error: class of the error; None for a response
    :param runs: how often the flow runs
    :param idempotent: whether the flow is declared idempotent
    :param options: further arguments of the invocation
    :param proxy: options of the proxy between the worker and the flow; None for no proxy
    """

    name: str
    prepare: Prepare
    error: type[OktaWorkflowsError] | None
    runs: int
    idempotent: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    proxy: dict[str, Any] | None = None


HTML = {"Content-Type": "text/html"}
ROWS = [
    Row("nothing", lambda org: None, None, 1),
    Row("the connection is refused", refused_port, OktaFlowNotSentError, 0),
    Row("the name does not resolve", elsewhere("https://no-such-host.invalid"), OktaFlowNotSentError, 0),
    Row("the host is not allowed", lambda org: None, OktaConfigurationError, 0, options={"flow": "https://other.example/api/flo/x/invoke"}),
    Row("plain HTTP to another machine", elsewhere("http://other.example"), OktaConfigurationError, 0),
    Row("a reserved name", lambda org: None, OktaConfigurationError, 0, options={"payload": {"x-okta-workflows-a": 1}}),
    Row("latency", ordered(Latency(0.01)), None, 1),
    Row("longer than the time-out, before running", ordered(Latency(30)), OktaFlowOutcomeUnknownError, 0, options={"timeout": 0.2}),
    Row("longer than the time-out, after running", ordered(Latency(30, after_run=True)), OktaFlowOutcomeUnknownError, 1, options={"timeout": 0.2}),
    Row("interim responses (103)", ordered(Interim(times=3)), None, 1),
    Row("a head that never ends", ordered(Drip("head")), OktaFlowOutcomeUnknownError, 1, options={"timeout": 0.3}),
    Row("a body that never ends", ordered(Drip("body")), OktaFlowOutcomeUnknownError, 1, options={"timeout": 0.3}),
    Row("a chunk's extension that never ends", ordered(Drip("chunks")), OktaFlowOutcomeUnknownError, 1, options={"timeout": 0.3}),
    Row("trailers that never end", ordered(Drip("trailers")), OktaFlowOutcomeUnknownError, 1, options={"timeout": 0.3}),
    Row("interim responses without end", ordered(Drip("interim")), OktaFlowOutcomeUnknownError, 1, options={"timeout": 0.3}),
    Row("a proxy returns 403 to CONNECT", far, OktaFlowNotSentError, 0, proxy={"behavior": "refuse"}),
    Row("a proxy returns 407 to CONNECT", far, OktaFlowNotSentError, 0, proxy={"login": "me:secret"}),
    Row("a proxy returns 502 to CONNECT", far, OktaFlowNotSentError, 0, proxy={"behavior": "refuse", "status": 502}),
    Row("a proxy hangs", far, OktaFlowNotSentError, 0, proxy={"behavior": "hang"}),
    Row("a proxy cuts the handshake", far, OktaFlowNotSentError, 0, proxy={"behavior": "cut"}),
    Row("a proxy intercepts, by a CA that is not known here", far, OktaFlowNotSentError, 0, proxy={"behavior": "intercept"}),
    Row("reset before running", ordered(Reset()), OktaFlowOutcomeUnknownError, 0),
    Row("reset after running", ordered(Reset(after_run=True)), OktaFlowOutcomeUnknownError, 1),
    Row("reset after running", ordered(Reset(after_run=True)), None, 2, idempotent=True),
    Row("reset after running, each time", ordered(Reset(after_run=True), 3), OktaFlowNoResponseError, 3, idempotent=True),
    Row("response cut off after an execution id", ordered(Truncate()), OktaFlowResponseError, 1, idempotent=True),
    Row("a gateway's 502", ordered(HtmlError(502)), OktaFlowOutcomeUnknownError, 0),
    Row("a gateway's 504 after running", ordered(HtmlError(504, after_run=True)), OktaFlowOutcomeUnknownError, 1),
    Row("a gateway's 503, twice", ordered(HtmlError(503), 2), None, 1, idempotent=True),
    Row("408 of nginx after running", ordered(GatewayPage("nginx", 408, after_run=True)), OktaFlowOutcomeUnknownError, 1),
    Row("502 of an AWS load balancer", ordered(GatewayPage("alb", 502)), OktaFlowOutcomeUnknownError, 0),
    Row("503 of Envoy", ordered(GatewayPage("envoy", 503)), OktaFlowOutcomeUnknownError, 0),
    Row("504 of an AWS API gateway, in JSON, after running", ordered(GatewayPage("api-gateway", 504, after_run=True)), OktaFlowOutcomeUnknownError, 1),
    Row("504 of Kong, in JSON, twice", ordered(GatewayPage("kong", 504), 2), None, 1, idempotent=True),
    Row("524 of Cloudflare after running", ordered(GatewayPage("cloudflare", 524, after_run=True)), OktaFlowOutcomeUnknownError, 1),
    Row("500 with an HTML page", ordered(HtmlError(500)), OktaFlowOutcomeUnknownError, 0),
    Row("200 with a login page", ordered(LoginPage()), OktaFlowOutcomeUnknownError, 0),
    Row("500 without a page", ordered(Answer(500, b"oops", HTML)), OktaFlowFailedError, 0, idempotent=True),
    Row("503 of the flow itself", flow(function=lambda request: ReturnError(503, "x")), OktaFlowFailedError, 1, idempotent=True),
    Row("429 of the flow itself", flow(function=lambda request: ReturnRaw(429, "x")), OktaFlowFailedError, 1, idempotent=True),
    Row("405, 413 and others before the flow", ordered(Answer(413, b"<h1>Too large</h1>", HTML)), OktaFlowFailedError, 0),
    Row("Return Error 409", flow(function=lambda request: ReturnError(409, "x")), OktaFlowFailedError, 1),
    Row("429 with Retry-After, twice", ordered(TooManyRequests(retry_after=3), 2), None, 1),
    Row("429 with X-Rate-Limit-Reset", ordered(TooManyRequests(reset_in=2)), None, 1),
    Row("429 without headers, thrice", ordered(TooManyRequests(), 3), None, 1),
    Row("429 beyond rate_limit_wait", ordered(TooManyRequests(retry_after=500)), OktaFlowRateLimitedError, 0),
    Row("401 once", ordered(Answer(401)), None, 1),
    Row("401 twice", ordered(Answer(401), 2), OktaFlowRefusedError, 0),
    Row("403", ordered(Answer(403)), OktaFlowRefusedError, 0),
    Row("404", ordered(Answer(404)), OktaFlowRefusedError, 0),
    Row("the flow is off", flow(active=False), OktaFlowRefusedError, 0),
    Row("the flow has another security level", flow(security="client_token"), OktaFlowRefusedError, 0),
    Row("a redirect", ordered(Answer(302, b"", {"Location": "http://127.0.0.1:1/"})), OktaFlowResponseError, 0, idempotent=True),
    Row("a response over max_response_bytes", ordered(Answer(200, b"x" * 20_001)), OktaFlowResponseError, 0, idempotent=True),
    Row("broken compression", ordered(Answer(200, b"nonsense", {"Content-Encoding": "gzip"})), OktaFlowResponseError, 0, idempotent=True),
    Row("a gzip body cut off, under a length that fits", ordered(TruncatedGzip()), OktaFlowResponseError, 1, idempotent=True),
    Row("a content coding that nobody asked for", ordered(Answer(200, b"\x0b\x02", {"Content-Encoding": "br"}, True)), OktaFlowResponseError, 1, idempotent=True),
    Row("a charset that is no common one", ordered(Answer(200, b"x", {"Content-Type": "text/plain; charset=punycode"}, True)), OktaFlowResponseError, 1, idempotent=True),
    Row("a number that is too large to store", ordered(Answer(200, b"[1e999]", {}, True)), OktaFlowResponseError, 1, idempotent=True),
    Row("token: interim responses (100)", ordered(Interim(100), 1, None), None, 1),
    Row("token: a gateway's 503, twice", ordered(HtmlError(503), 2, None), None, 1),
    Row("token: a gateway's 503, each time", ordered(HtmlError(503), 3, None), OktaTokenError, 0),
    Row("token: reset, twice", ordered(Reset(), 2, None), None, 1),
    Row("token: response cut off, twice", ordered(Truncate(), 2, None), None, 1),
    Row("token: 429 with Retry-After", ordered(TooManyRequests(retry_after=5), 1, None), None, 1),
    Row("token: 429 beyond rate_limit_wait", ordered(TooManyRequests(retry_after=500), 1, None), OktaTokenError, 0),
    Row("token: 403 with an empty body", ordered(Answer(403), 1, None), OktaTokenRefusedError, 0),
    Row("token: Proof of possession is on", app(proof_of_possession=True), OktaTokenRefusedError, 0),
    Row("token: the scope is not granted", app(granted_scopes=set()), OktaTokenRefusedError, 0),
    Row("token: outside the network zone", app(inside_network_zone=False), OktaTokenRefusedError, 0),
    Row("token: the app is not active", app(active=False), OktaTokenRefusedError, 0),
    Row("token: the org's clock is 15 min ahead", skewed(900), OktaTokenRefusedError, 0),
    Row("token: the org's clock is 15 min behind", skewed(-900), OktaTokenRefusedError, 0),
]  # fmt: skip


def by_hook(hook: Any, options: dict[str, Any]) -> Any:
    """Invoke synchronously."""
    return hook.invoke(**options)


def by_hook_async(hook: Any, options: dict[str, Any]) -> Any:
    """Invoke on an event loop."""
    return asyncio.run(hook.ainvoke(**options))


def by_operator(hook: Any, options: dict[str, Any]) -> Any:
    """Invoke as a task does."""
    from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator
    from tests.integration.task_context import context

    # Replaces the operator's hook with one that has the test's clock.
    operator_class = type("Operator", (InvokeOktaFlowOperator,), {"hook": hook})

    return operator_class(task_id="t", **options).execute(context())


def by_status(hook: Any, options: dict[str, Any]) -> Any:
    """Invoke as a task with a status flow does."""
    from airflow_okta_workflows.operators.okta_workflows import StatusFlow

    return by_operator(hook, {**options, "status": StatusFlow("echo_status", result="result")})


def by_batch(hook: Any, options: dict[str, Any]) -> Any:
    """Invoke as the only item of a batch, and return its outcome."""
    from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator
    from tests.integration.task_context import context

    operator_class = type("Batch", (InvokeOktaFlowBatchOperator,), {"hook": hook})
    payload = options.pop("payload", {})
    task = operator_class(task_id="t", payloads=[payload], on_error="collect", **options)
    return task.execute(context())[0]["outcome"]


def by_trigger(hook: Any, options: dict[str, Any]) -> Any:
    """Invoke from the triggerer, and return or raise its result as a worker does."""
    from airflow_okta_workflows.triggers.encrypted_result import decrypt_result
    from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger

    options.pop("idempotent")
    trigger = OktaFlowInvocationTrigger(idempotency_key="key", runtime=hook.runtime, **options)

    async def fired() -> Any:
        (event,) = [event.payload async for event in trigger.run()]
        return event

    result = asyncio.run(fired()).get("result")
    if result is None:  # the triggerer cannot use the connection, so the worker invokes
        return by_hook(hook, options)
    outcome = decrypt_result(result, hook.settings, "key")
    if isinstance(outcome, OktaWorkflowsError):
        raise outcome
    return outcome


WAYS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "hook": by_hook,
    "hook, async": by_hook_async,
    "operator": by_operator,
}
"""Ways to invoke that raise the error itself, so that its class can be compared."""


def play(
    row: Row, way: Callable[[Any, dict[str, Any]], Any], runtime: Any
) -> tuple[OktaWorkflowsError | None, Any, int, int]:
    """Play one fault in one way; return error, result, how often the flow ran, and how many requests it received."""
    from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

    with ExitStack() as stack:
        org = stack.enter_context(LocalOrg(rate_limit=None, clock=runtime.clock))
        status_table = StatusTable(clock=runtime.clock)
        org.flow("echo")(status_table.worker_flow(lambda request: {"ok": True}))
        org.flow("echo_status")(status_table.status_flow)
        extra = row.prepare(org) or {}
        os.environ.update(org.environment(max_response_bytes=20_000, **extra))
        os.environ["HTTPS_PROXY"] = stack.enter_context(_proxy(row.proxy, org)).address if row.proxy else ""
        hook = OktaWorkflowsHook(runtime=runtime)
        error = result = None
        try:
            result = way(hook, {"flow": "echo", "idempotent": row.idempotent, **row.options})
        except OktaWorkflowsError as caught:
            error = caught
        finally:
            hook.close()
        return error, result, len(org.flows["echo"].runs), len(org.requests("echo"))


def with_status(row: Row, runtime: Any) -> str:
    """Play a fault with a status flow, and return what it comes to; nothing for a flow that is declared idempotent."""
    if row.idempotent:
        return ""
    error, _, runs, _ = play(row, by_status, runtime)
    return f"{f'`{type(error).__name__}`' if error else 'the response'}, {runs} x"


def _proxy(options: dict[str, Any], org: LocalOrg) -> LocalProxy:
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("flows.example").configure_cert(certificate)
    return LocalProxy({"flows.example": ("127.0.0.1", org.port)}, certificate=certificate, **options)


def table(runtime: Callable[[], Any]) -> str:
    """Play all faults, and return the table in Markdown."""
    from tests.airflow_features import forget_masks

    lines = [
        "| what happens | idempotent | result | flow ran | requests to the flow | with `status` |",
        "|---|---|---|---|---|---|",
    ]
    for number, row in enumerate(ROWS, 1):
        print(f"{number} of {len(ROWS)}: {row.name}", file=sys.stderr)
        # Each row has new secrets, and each mask makes the next one slower.
        forget_masks()
        played = [play(row, way, runtime()) for way in WAYS.values()]
        found = {(type(error) if error else None, runs, requests) for error, _, runs, requests in played}
        if len(found) != 1:
            raise AssertionError(f"{row.name}: the ways differ: {found}")
        error, runs, requests = found.pop()
        if (error, runs) != (row.error, row.runs):
            raise AssertionError(f"{row.name}: {error} and {runs} runs, not {row.error} and {row.runs}")
        outcome = f"`{error.__name__}`" if error else "the response"
        status = with_status(row, runtime())
        lines.append(
            f"| {row.name} | {'yes' if row.idempotent else ''} | {outcome} | {runs} x | {requests} | {status} |"
        )
    return "\n".join(lines)


BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"


def written_into(page: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """Return the page with the part between two marks replaced."""
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def main(path: Path) -> None:
    """Write the table into a page."""
    import logging

    logging.disable(logging.CRITICAL)
    from tests.conftest import World

    text = table(lambda: World().runtime())
    path.write_text(written_into(path.read_text(), text))
    print(f"wrote {len(ROWS)} faults, each played in {len(WAYS)} ways, into {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
