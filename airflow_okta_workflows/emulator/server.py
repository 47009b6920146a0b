"""The local org's HTTP server: aiohttp in a separate thread."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from airflow_okta_workflows.core.addresses import CONSOLE_PATH
from airflow_okta_workflows.core.flows.encoding import METHODS
from airflow_okta_workflows.core.keys.algorithms import ALGORITHMS
from airflow_okta_workflows.core.oauth.server_metadata import METADATA_PATH
from airflow_okta_workflows.core.oauth.token_request import TOKEN_PATH
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator.cards import FlowRequest, response_of
from airflow_okta_workflows.emulator.console import history_page
from airflow_okta_workflows.emulator.counts import COUNTS_PATH, counts
from airflow_okta_workflows.emulator.exchange import Exchange
from airflow_okta_workflows.emulator.faults import TooManyRequests
from airflow_okta_workflows.emulator.records import SeenRequest, SeenTokenRequest
from airflow_okta_workflows.emulator.responses import BrokenOff, RawResponse, json_response
from airflow_okta_workflows.emulator.token_endpoint import Refusal, check_token_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler

    from airflow_okta_workflows.emulator.records import Flow
    from airflow_okta_workflows.emulator.state import OrgState

_UNAUTHORIZED = "Failed to authenticate request. Please check your headers"
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
        app.router.add_get(METADATA_PATH, self._handler(self._metadata))
        app.router.add_get(CONSOLE_PATH, self._handler(self._console))
        app.router.add_get(COUNTS_PATH, self._handler(self._counts))
        app.router.add_route("*", TOKEN_PATH, self._handler(self._token))
        app.router.add_route("*", "/api/flo/{alias}/invoke", self._handler(self._invoke))
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

    def _handler(self, handle: Callable[[Exchange], Awaitable[None]]) -> Handler:
        async def handled(request: web.Request) -> web.StreamResponse:
            exchange = Exchange(request, self._org.now, self._org.rate_limit)
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
        metadata = {
            "issuer": issuer,
            "token_endpoint": issuer + TOKEN_PATH,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        }
        await exchange.respond(json_response(200, metadata))

    async def _console(self, exchange: Exchange) -> None:
        page = history_page(self._org.flows.values()).encode()
        await exchange.respond(RawResponse(200, page, {"Content-Type": "text/html; charset=utf-8"}))

    async def _counts(self, exchange: Exchange) -> None:
        await exchange.respond(json_response(200, counts(self._org)))

    async def _token(self, exchange: Exchange) -> None:
        request = exchange.request
        form = {name: str(value) for name, value in (await request.post()).items()}
        self._org.on_assertion(form.get("client_assertion", ""))
        seen = SeenTokenRequest()
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
        try:
            if request.method != "POST" or request.query_string:
                raise Refusal(400, "invalid_request", "The request must be a POST with its parameters in the body.")  # noqa: TRY301  # handled like any other refusal
            scope = check_token_request(form, self._org.app, token_url=origin + TOKEN_PATH, now=self._org.now())
        except Refusal as refusal:
            body = {"error": refusal.error, "error_description": refusal.description}
            return json_response(refusal.status, body), refusal.error
        granted = {
            "token_type": "Bearer",
            "expires_in": self._org.token_lifetime,
            "access_token": self._org.grant_token(origin, scope),
            "scope": scope,
        }
        return json_response(200, granted), None

    async def _invoke(self, exchange: Exchange) -> None:
        request = exchange.request
        alias = request.match_info["alias"]
        flow = next((flow for flow in self._org.flows.values() if flow.alias == alias), None)
        if flow is None:
            await exchange.respond(json_response(404, {"message": "The flow was not found"}))
            return
        text = await request.text()
        seen = SeenRequest(flow.name, request.method, _headers(request), text, received_at=self._org.now())
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
            response = await self._run(flow, _flow_request(exchange.request, seen.text, Runtime.new_id()))
            if response is None:
                exchange.reset()
            response = await fault.after(exchange, response)
        seen.response = response.body.decode("utf-8", "replace")
        seen.status = response.status
        self._org.on_response(seen)
        await fault.send(exchange, response)

    async def _run(self, flow: Flow, flow_request: FlowRequest) -> RawResponse | None:
        """Run a flow and return its response, or None if it exceeds the org's time limit."""
        flow.runs.append(flow_request)
        if inspect.iscoroutinefunction(flow.function):
            running = flow.function(flow_request)
        else:
            running = self._loop.run_in_executor(self._threads, flow.function, flow_request)
        try:
            async with asyncio.timeout(self._org.time_limit) as limit:
                returned = await running
            response = response_of(returned, flow_request.execution_id)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a user's function can raise anything, even SystemExit
            if limit.expired():
                return None
            response = json_response(500, {"message": f"The flow failed with {type(error).__name__}"})
        if self._org.execution_header is None:
            return response
        headers = {self._org.execution_header: flow_request.execution_id, **response.headers}
        return RawResponse(response.status, response.body, headers)

    async def _refusal(self, flow: Flow, exchange: Exchange) -> RawResponse | None:
        """Return the response that refuses the request, or None if the flow may run."""
        request = exchange.request
        if request.method not in METHODS:
            return json_response(405, {"message": "Use GET or POST"})
        if not flow.active:
            return json_response(404, {"message": "The flow is not active"})
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if flow.security == "oauth" and (scheme != "Bearer" or not self._org.accepts_token(token)):
            return json_response(401, {"message": _UNAUTHORIZED})
        if flow.security == "client_token":
            return json_response(403, {"message": "This flow is not secured with OAuth 2.0"})
        if not self._org.takes_invocation(flow):
            return await TooManyRequests(reset_in=1).before(exchange)
        return None


def _flow_request(request: web.Request, text: str, execution_id: str) -> FlowRequest:
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = None
    return FlowRequest(
        method=request.method,
        headers=_headers(request),
        query=dict(request.query),
        body=body,
        text=text,
        execution_id=execution_id,
    )


def _headers(request: web.Request) -> dict[str, str]:
    # The token is dropped, so that printing a recorded request reveals no secret.
    return {
        name.lower(): value.partition(" ")[0] if name.lower() == "authorization" else value
        for name, value in request.headers.items()
    }
