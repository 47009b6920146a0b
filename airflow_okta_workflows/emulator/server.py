"""The local org's HTTP server: aiohttp in a separate thread."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web

from airflow_okta_workflows.core.addresses import CONSOLE_PATH
from airflow_okta_workflows.core.flows.encoding import METHODS
from airflow_okta_workflows.core.oauth.server_metadata import METADATA_PATH
from airflow_okta_workflows.core.oauth.token_request import TOKEN_PATH
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator.cards import Close, FlowRequest, ReturnError, response_of
from airflow_okta_workflows.emulator.console import Filter, console_page
from airflow_okta_workflows.emulator.counts import COUNTS_PATH, counts
from airflow_okta_workflows.emulator.exchange import Exchange, drop_empty_date
from airflow_okta_workflows.emulator.records import SeenRequest, SeenTokenRequest
from airflow_okta_workflows.emulator.responses import (
    BrokenOff,
    RawResponse,
    json_response,
    rate_headers,
    with_headers,
)
from airflow_okta_workflows.emulator.rules import RESET
from airflow_okta_workflows.emulator.token_endpoint import Refusal, check_token_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler

    from airflow_okta_workflows.emulator.records import Flow
    from airflow_okta_workflows.emulator.rules import Observation
    from airflow_okta_workflows.emulator.state import OrgState

_FORM = "application/x-www-form-urlencoded"
_MAX_BODY = 32 * 2**20


class Server:
    """The HTTP server of a local org.

    :param org: the org
    """

    def __init__(self, org: OrgState) -> None:
        self._org = org
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="okta-local-org", daemon=True)
        self._threads = ThreadPoolExecutor(max_workers=256, thread_name_prefix="okta-flow")
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None

    def start(self) -> int:
        """Start listening, and return the port.

        :raises OSError: if the port is taken
        """
        self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        except BaseException:
            self._end_loop()
            raise

    def stop(self) -> None:
        """Stop listening and close all open connections."""
        assert self._runner is not None  # noqa: S101  # start() has set it
        asyncio.run_coroutine_threadsafe(self._close(self._runner), self._loop).result()
        self._end_loop()

    async def _close(self, runner: web.AppRunner) -> None:
        server = runner.server
        assert server is not None  # noqa: S101  # setup() has set it
        assert self._listening is not None  # noqa: S101  # _start() has set it
        for sock in self._listening.sockets:
            self._loop.remove_reader(sock)
        # asyncio loses a connection that it has accepted, if the listening ends before it has a transport.
        for _ in range(3):
            await asyncio.sleep(0)
        self._listening.close()
        transports = [connection.transport for connection in server.connections]
        await runner.cleanup()
        transports += [connection.transport for connection in server.connections]
        for transport in transports:
            # cleanup() leaves a transport open whose client has not read everything, or not ended TLS yet.
            if transport is not None:
                transport.abort()
        # It also leaves the asyncio task of a TLS handshake in progress.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)

    async def _start(self) -> int:
        app = web.Application(client_max_size=_MAX_BODY)
        app.on_response_prepare.append(drop_empty_date)
        app.router.add_get(METADATA_PATH, self._handler(self._metadata))
        app.router.add_get(CONSOLE_PATH, self._handler(self._console))
        app.router.add_get(COUNTS_PATH, self._handler(self._counts))
        app.router.add_route("*", TOKEN_PATH, self._handler(self._token, date="C1", kept="C3"))
        app.router.add_route("*", "/api/flo/{alias}/invoke", self._handler(self._invoke, date="C2", kept="C4"))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        try:
            assert self._runner.server is not None  # noqa: S101  # setup() has set it
            self._listening = await self._loop.create_server(
                self._runner.server, self._org.host, self._org.port, ssl=self._org.ssl_context, backlog=1024
            )
        except BaseException:
            await self._runner.cleanup()
            raise
        port: int = self._listening.sockets[0].getsockname()[1]
        return port

    def _handler(
        self, handle: Callable[[Exchange], Awaitable[None]], *, date: str | None = None, kept: str | None = None
    ) -> Handler:
        """Return the handler of an endpoint; the rules say whether responses have a ``Date`` and keep connections."""
        rules = self._org.rules
        about_connection = {
            "dated": date is None or rules[date]["date"],
            "kept": kept is None or rules[kept]["kept"],
        }

        async def handled(request: web.Request) -> web.StreamResponse:
            exchange = Exchange(request, self._org.now, self._org.rate_limit, **about_connection)
            with suppress(BrokenOff):
                await handle(exchange)
            return exchange.sent

        return handled

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # Do not wait for flow functions that still run: no client is left to receive their responses.
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._loop.close()

    async def _metadata(self, exchange: Exchange) -> None:
        issuer = f"{exchange.request.scheme}://{self._org.issuer_host}"
        rules, names = self._org.rules, {"<domain>": issuer}
        listed = rules["M3"]
        metadata = {
            "issuer": rules.text("M2", "issuer", names),
            "token_endpoint": rules.text("M2", "token_endpoint", names),
            "grant_types_supported": ["client_credentials"] if listed["client_credentials"] else [],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"] if listed["private_key_jwt"] else [],
            "token_endpoint_auth_signing_alg_values_supported": rules["M4"]["algorithms"],
        }
        raw = json_response(rules["M1"]["status"], metadata)
        media_type = rules["M1"]["type"]
        await exchange.respond(RawResponse(raw.status, raw.body, {"Content-Type": media_type} if media_type else {}))

    async def _console(self, exchange: Exchange) -> None:
        await exchange.respond(console_page(self._org, Filter.from_query(exchange.request.query)))

    async def _counts(self, exchange: Exchange) -> None:
        await exchange.respond(json_response(200, counts(self._org)))

    async def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        is_form = request.content_type == _FORM
        form = dict(parse_qsl(await _text(request), keep_blank_values=True)) if is_form else {}
        self._org.on_assertion(form.get("client_assertion", ""))
        seen = SeenTokenRequest(received_at=self._org.now())
        self._org.token_requests.append(seen)
        fault = self._org.next_fault(None)
        response = await fault.before(exchange)
        if response is None:
            response, seen.error = self._token_response(request, form)
            seen.granted = seen.error is None
            response = await fault.after(exchange, response)
        seen.status = response.status
        self._org.on_response(seen)
        await fault.send(exchange, response)

    def _token_response(self, request: web.Request, form: dict[str, str]) -> tuple[RawResponse, str | None]:
        origin = f"{request.scheme}://{request.host}"
        rules = self._org.rules
        try:
            if (request.method != "POST" or request.query_string) and not rules.accepts("T21"):
                raise Refusal("T21")  # noqa: TRY301  # handled like any other refusal
            if request.content_type != _FORM and not rules.accepts("T29"):
                raise Refusal("T29")  # noqa: TRY301  # the same
            scope = check_token_request(form, self._org.app, rules, token_url=origin + TOKEN_PATH, now=self._org.now())
        except Refusal as refusal:
            return rules.response(refusal.rule), _oauth_error(rules[refusal.rule])
        values: dict[str, str | int] = {
            "<seconds>": self._org.token_lifetime,
            "<token>": self._org.grant_token(origin, scope),
            "<scope>": scope,
        }
        granted = rules.response("T1", values)
        headers = rate_headers(rules["T22"]["headers"], None, self._org.now())
        # Of an org that was seen to refuse each request, the profile has a refusal here.
        return with_headers(granted, headers), _oauth_error(rules["T1"])

    async def _invoke(self, exchange: Exchange) -> None:
        request = exchange.request
        alias = request.match_info["alias"]
        flow = next((flow for flow in self._org.flows.values() if flow.alias == alias), None)
        if flow is None:
            await exchange.respond(self._refused("F7"))
            return
        text, received_at = await _text(request), self._org.now()
        seen = SeenRequest(
            flow.name, request.method, _headers(request), text, query=_query(request), received_at=received_at
        )
        self._org.log.append(seen)
        started = Runtime.monotonic()
        try:
            await self._invoke_flow(flow, exchange, seen)
        finally:
            seen.duration = Runtime.monotonic() - started

    async def _invoke_flow(self, flow: Flow, exchange: Exchange, seen: SeenRequest) -> None:
        fault = self._org.next_fault(flow.name)
        response = await fault.before(exchange) or await self._refusal(flow, exchange)
        if response is None:
            seen.ran = True
            flow_request = self._flow_request(exchange.request, seen.text)
            seen.execution_id = flow_request.execution_id
            response = await self._run(flow, flow_request)
            if response is None and self._org.rules["L2"]["lost"] == RESET:
                exchange.reset()
            if response is None:
                exchange.close()
            response = await fault.after(exchange, response)
        seen.response = response.body.decode("utf-8", "replace")
        seen.status = response.status
        self._org.on_response(seen)
        await fault.send(exchange, response)

    async def _run(self, flow: Flow, flow_request: FlowRequest) -> RawResponse | None:
        """Run a flow and return its response, or None if the connection ends at the org's time limit."""
        rules = self._org.rules
        flow.runs.append(flow_request)
        if inspect.iscoroutinefunction(flow.function):
            running = flow.function(flow_request)
        else:
            running = self._loop.run_in_executor(self._threads, flow.function, flow_request)
        try:
            async with self._org.run_timeout(flow) as limit:
                returned = await running
            response = response_of(returned, flow_request.execution_id, rules)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a user's function can raise anything, even SystemExit
            if limit.expired():
                return self._cut_off(flow_request)
            returned = error
            response = rules.response("R4", {"<error>": type(error).__name__})
        rule = _execution_rule(returned)
        if rule is None or rules[rule]["execution_id"]:
            response = self._with_execution_id(response, flow_request)
        return with_headers(response, rate_headers(rules["L7"]["headers"], self._org.rate_limit, self._org.now()))

    def _cut_off(self, flow_request: FlowRequest) -> RawResponse | None:
        """Return the response at the time limit, or None if the connection ends without one."""
        rules = self._org.rules
        if "lost" in rules["L2"]:
            return None
        response = rules.response("L2")
        return self._with_execution_id(response, flow_request) if rules["L2"].get("execution_id") else response

    async def _refusal(self, flow: Flow, exchange: Exchange) -> RawResponse | None:
        """Return the response that refuses the request, or None if the flow may run."""
        rule = self._broken_rule(flow, exchange.request)
        if rule is not None:
            return self._refused(rule)
        if not self._org.takes_invocation(flow):
            headers = rate_headers(self._org.rules["L5"]["headers"], self._org.rate_limit, self._org.now())
            return with_headers(self._refused("L4"), headers)
        return None

    def _broken_rule(self, flow: Flow, request: web.Request) -> str | None:
        """Return the number of the rule that a request breaks, if any."""
        authorization = request.headers.get("Authorization", "")
        scheme, _, token = authorization.partition(" ")
        is_good = scheme == "Bearer" and self._org.accepts_token(token)
        oauth = flow.security == "oauth"
        broken = {
            "F2": request.method == "GET",
            "F3": request.method not in METHODS,
            "F8": not flow.active,
            "F4": oauth and not authorization,
            "F6": oauth and self._org.is_of_another_domain(token),
            "F5": oauth and authorization != "" and not is_good,
            "F9": flow.security == "client_token",
        }
        return next(
            (rule for rule, is_broken in broken.items() if is_broken and not self._org.rules.accepts(rule)), None
        )

    def _refused(self, rule: str) -> RawResponse:
        response = self._org.rules.response(rule)
        if self._org.execution_header is None or not self._org.rules["E5"]["execution_id"]:
            return response
        return with_headers(response, {self._org.execution_header: Runtime.new_id()})

    def _with_execution_id(self, response: RawResponse, flow_request: FlowRequest) -> RawResponse:
        if self._org.execution_header is None:
            return response
        return with_headers(response, {self._org.execution_header: flow_request.execution_id})

    def _flow_request(self, request: web.Request, text: str) -> FlowRequest:
        body = None
        if text:
            with suppress(ValueError, RecursionError):
                body = json.loads(text)
        is_uuid = self._org.rules["E1"]["form"] == "uuid"
        return FlowRequest(
            method=request.method,
            headers=_headers(request),
            query=_query(request),
            body=body,
            text=text,
            execution_id=Runtime.new_id() if is_uuid else f"exec{Runtime.new_id().replace('-', '')}",
        )


def _execution_rule(returned: object) -> str | None:
    """Return the rule about the execution id of a run, if there is one besides E1."""
    match returned:
        case ReturnError():
            return "E2"
        case BaseException():
            return "E3"
        case Close():
            return "E4"
    return None


def _oauth_error(refusal: Observation) -> str | None:
    body = refusal.get("body")
    return body.get("error") if isinstance(body, dict) else None


def _query(request: web.Request) -> dict[str, str]:
    # A client token is a secret.
    return {name: request.query[name] for name in request.query if name != "clientToken"}


def _headers(request: web.Request) -> dict[str, str]:
    # Tokens are dropped, so that printing a recorded request reveals no secret.
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "x-api-client-token" in headers:
        headers["x-api-client-token"] = "***"
    if "authorization" in headers:
        scheme, _, credentials = headers["authorization"].partition(" ")
        # Without a scheme, the whole is the secret.
        headers["authorization"] = scheme if credentials else "***"
    return headers


async def _text(request: web.Request) -> str:
    body = await request.read()
    try:
        return body.decode(request.charset or "utf-8", "replace")
    except (LookupError, UnicodeError):  # an unknown charset, or a codec that replaces nothing
        return body.decode("utf-8", "replace")
