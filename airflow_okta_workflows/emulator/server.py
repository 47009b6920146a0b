"""The local org on the network: an aiohttp server in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import struct
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from airflow_okta_workflows.core.addresses import CONSOLE_PATH
from airflow_okta_workflows.core.flows.encoding import METHODS
from airflow_okta_workflows.core.keys.algorithms import ALGORITHMS
from airflow_okta_workflows.core.oauth.server_metadata import METADATA_PATH
from airflow_okta_workflows.core.oauth.token_request import TOKEN_PATH
from airflow_okta_workflows.emulator import faults
from airflow_okta_workflows.emulator.cards import FlowRequest, RawResponse, response_of
from airflow_okta_workflows.emulator.console import history_page
from airflow_okta_workflows.emulator.counts import COUNTS_PATH, counts
from airflow_okta_workflows.emulator.records import SeenRequest, SeenTokenRequest
from airflow_okta_workflows.emulator.token_endpoint import Refusal, check_token_request

if TYPE_CHECKING:
    from airflow_okta_workflows.emulator.org import LocalOrg
    from airflow_okta_workflows.emulator.records import Flow

_UNAUTHORIZED = "Failed to authenticate request. Please check your headers"
_TOO_MANY = {
    "errorCode": "E0000047",
    "errorSummary": "API call exceeded rate limit due to too many requests.",
    "errorCauses": [],
}
_MAX_BODY = 32 * 2**20


class Server:
    """Serve a local org.

    :param org: the org
    """

    def __init__(self, org: LocalOrg) -> None:
        self._org = org
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="okta-local-org", daemon=True)
        self._threads = ThreadPoolExecutor(max_workers=256, thread_name_prefix="okta-flow")
        self._runner: web.AppRunner | None = None

    def start(self) -> int:
        """Begin to listen, and return the port.

        :raises OSError: if the port is taken
        """
        self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        except BaseException:
            self._end_loop()
            raise

    def stop(self) -> None:
        """Stop listening, and drop what is still open."""
        assert self._runner is not None  # noqa: S101  # it was started
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._end_loop()

    async def _start(self) -> int:
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_get(METADATA_PATH, self._metadata)
        app.router.add_get(CONSOLE_PATH, self._console)
        app.router.add_get(COUNTS_PATH, self._counts)
        app.router.add_route("*", TOKEN_PATH, self._token)
        app.router.add_route("*", "/api/flo/{alias}/invoke", self._invoke)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, self._org.host, self._org.port, ssl_context=self._org.ssl_context, backlog=1024
        )
        try:
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        port: int = self._runner.addresses[0][1]
        return port

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # A flow's function that still runs is not waited for: nobody is there to take its answer.
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._loop.close()

    async def _metadata(self, request: web.Request) -> web.StreamResponse:
        issuer = f"{request.scheme}://{self._org.issuer_host}"
        metadata = {
            "issuer": issuer,
            "token_endpoint": issuer + TOKEN_PATH,
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        }
        return await self._send(request, _json(200, metadata))

    async def _console(self, request: web.Request) -> web.StreamResponse:
        page = history_page(self._org.flows.values()).encode()
        return await self._send(request, RawResponse(200, page, {"Content-Type": "text/html; charset=utf-8"}))

    async def _counts(self, request: web.Request) -> web.StreamResponse:
        return await self._send(request, _json(200, counts(self._org)))

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self._org.on_assertion(form.get("client_assertion", ""))
        seen = SeenTokenRequest()
        self._org.token_requests.append(seen)
        fault = self._org.next_fault(None)
        if isinstance(fault, faults.Latency):
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, faults.Reset):
            return _reset(request)
        if isinstance(fault, faults.Interim):
            _transport(request).write(_interim(fault.status) * fault.times)
        if isinstance(fault, faults.Drip):
            return await _drip(request, fault)
        if isinstance(fault, (faults.Answer, faults.TooManyRequests)):
            answer = self._ordered(fault)
        else:
            answer, seen.error = self._token_answer(request, form)
        seen.status = answer.status
        self._org.on_response(seen)
        return await (self._truncate if isinstance(fault, faults.Truncate) else self._send)(request, answer)

    def _token_answer(self, request: web.Request, form: dict[str, str]) -> tuple[RawResponse, str | None]:
        origin = f"{request.scheme}://{request.host}"
        try:
            if request.method != "POST" or request.query_string:
                raise Refusal(400, "invalid_request", "The request must be a POST with its parameters in the body.")  # noqa: TRY301  # one of several refusals
            scope = check_token_request(form, self._org.app, token_url=origin + TOKEN_PATH, now=self._org.now())
        except Refusal as refusal:
            body = {"error": refusal.error, "error_description": refusal.description}
            return _json(refusal.status, body), refusal.error
        granted = {
            "token_type": "Bearer",
            "expires_in": self._org.token_lifetime,
            "access_token": self._org.grant_token(origin, scope),
            "scope": scope,
        }
        return _json(200, granted), None

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        alias = request.match_info["alias"]
        flow = next((flow for flow in self._org.flows.values() if flow.alias == alias), None)
        if flow is None:
            return await self._send(request, _json(404, {"message": "The flow was not found"}))
        text = await request.text()
        seen = SeenRequest(flow.name, request.method, _headers(request), text)
        self._org.log.append(seen)
        fault = self._org.next_fault(flow.name)
        after_run = getattr(fault, "after_run", False)
        if isinstance(fault, faults.Latency) and not after_run:
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, faults.Interim):
            _transport(request).write(_interim(fault.status) * fault.times)
        if isinstance(fault, faults.Reset) and not after_run:
            return _reset(request)
        if isinstance(fault, faults.TooManyRequests) or (isinstance(fault, faults.Answer) and not after_run):
            answer: RawResponse | None = self._ordered(fault)
        else:
            answer = self._refusal(request, flow)
        if answer is None:
            seen.ran = True
            answer = await self._run(flow, _flow_request(request, text, str(uuid.uuid4())))
            if isinstance(fault, faults.Latency) and after_run:
                await asyncio.sleep(fault.seconds)
            if answer is None or (isinstance(fault, faults.Reset) and after_run):
                return _reset(request)
            if isinstance(fault, faults.Drip):
                return await _drip(request, fault)
            if isinstance(fault, faults.Answer):
                answer = self._ordered(fault)
        seen.answer = answer.body.decode("utf-8", "replace")
        seen.status = answer.status
        self._org.on_response(seen)
        return await (self._truncate if isinstance(fault, faults.Truncate) else self._send)(request, answer)

    async def _run(self, flow: Flow, flow_request: FlowRequest) -> RawResponse | None:
        """Run a flow; None if it takes longer than the org's time limit."""
        flow.runs.append(flow_request)
        if inspect.iscoroutinefunction(flow.function):
            running = flow.function(flow_request)
        else:
            running = self._loop.run_in_executor(self._threads, flow.function, flow_request)
        try:
            returned = await asyncio.wait_for(running, self._org.time_limit)
            answer = response_of(returned, flow_request.execution_id)
        except TimeoutError:
            return None
        except Exception as error:  # a user's function; Okta answers 500 for a flow that fails
            answer = _json(500, {"message": f"The flow failed with {type(error).__name__}"})
        if self._org.execution_header is None:
            return answer
        headers = {self._org.execution_header: flow_request.execution_id, **answer.headers}
        return RawResponse(answer.status, answer.body, headers)

    def _refusal(self, request: web.Request, flow: Flow) -> RawResponse | None:
        """Return why the flow does not run for this request, or None if it does."""
        if request.method not in METHODS:
            return _json(405, {"message": "Use GET or POST"})
        if not flow.active:
            return _json(404, {"message": "The flow is not active"})
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if flow.security == "oauth" and (scheme != "Bearer" or not self._org.accepts_token(token)):
            return _json(401, {"message": _UNAUTHORIZED})
        if flow.security == "client_token":
            return _json(403, {"message": "This flow is not secured with OAuth 2.0"})
        if not self._org.takes_invocation(flow):
            return self._ordered(faults.TooManyRequests(reset_in=1))
        return None

    def _ordered(self, fault: faults.Answer | faults.TooManyRequests) -> RawResponse:
        if isinstance(fault, faults.Answer):
            return RawResponse(fault.status, fault.body, fault.headers)
        headers = {"Content-Type": "application/json"}
        if fault.retry_after is not None:
            headers["Retry-After"] = str(fault.retry_after)
        if fault.reset_in is not None:
            headers["X-Rate-Limit-Limit"] = str(self._org.rate_limit or 10)
            headers["X-Rate-Limit-Remaining"] = "0"
            headers["X-Rate-Limit-Reset"] = str(int(self._org.now()) + fault.reset_in)
        return RawResponse(429, json.dumps(_TOO_MANY).encode(), headers)

    async def _send(self, request: web.Request, answer: RawResponse) -> web.StreamResponse:
        response = web.Response(status=answer.status, body=answer.body, headers=self._dated(answer))
        await response.prepare(request)
        return response

    async def _truncate(self, request: web.Request, answer: RawResponse) -> web.StreamResponse:
        headers = {**self._dated(answer), "Content-Length": str(len(answer.body) + 10)}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        await response.write(answer.body)
        _transport(request).close()
        return response

    def _dated(self, answer: RawResponse) -> dict[str, str]:
        return {"Date": formatdate(self._org.now(), usegmt=True), **answer.headers}


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
    # The token is not kept: whoever prints what the org saw prints no secret.
    return {
        name.lower(): value.partition(" ")[0] if name.lower() == "authorization" else value
        for name, value in request.headers.items()
    }


def _json(status: int, value: Any) -> RawResponse:
    return RawResponse(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def _interim(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n\r\n".encode()


async def _drip(request: web.Request, fault: faults.Drip) -> web.StreamResponse:
    """Send a little now and then, until the caller leaves: then this is cancelled."""
    begin, unit = {
        "head": (_HEAD + b"X-Drip: ", b"a"),
        "body": (_HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
        "chunks": (_CHUNKED + b"2;x=", b"a"),
        "trailers": (_CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-Drip: a\r\n"),
        "interim": (b"", _interim(100)),
    }[fault.where]
    transport = _transport(request)
    transport.write(begin)
    while not transport.is_closing():
        transport.write(unit)
        await asyncio.sleep(fault.every)
    return web.Response()


def _reset(request: web.Request) -> web.StreamResponse:
    """Cut the connection with an RST, as a host does that has died."""
    transport = _transport(request)
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return web.Response()


def _transport(request: web.Request) -> asyncio.WriteTransport:
    # A handler is cancelled when its client leaves, so one that runs has a transport.
    assert isinstance(request.transport, asyncio.WriteTransport)  # noqa: S101  # tells mypy so
    return request.transport
