"""The state of a local org, and the decisions that depend on it."""

from __future__ import annotations

import asyncio
import secrets
import threading
import uuid
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt

from airflow_okta_workflows.core.addresses import Origin
from airflow_okta_workflows.core.forking import renew_in_child
from airflow_okta_workflows.core.keys.generation import KeyType, generate_jwk
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator.faults import Fault
from airflow_okta_workflows.emulator.profile import OrgRules
from airflow_okta_workflows.emulator.public_keys import parse_public_keys
from airflow_okta_workflows.emulator.rate_window import takes_one_more
from airflow_okta_workflows.emulator.records import (
    Flow,
    FlowFunction,
    GrantedToken,
    Security,
    SeenRequest,
    SeenTokenRequest,
)
from airflow_okta_workflows.emulator.responses import header_name
from airflow_okta_workflows.emulator.token_endpoint import INVOKE_SCOPE, App

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from types import EllipsisType

    from airflow_okta_workflows.emulator.profile import Profile


class OrgState:
    """Base class of the local org: its flows, tokens, faults and counts, without a server.

    The parameters are those of :class:`~airflow_okta_workflows.emulator.LocalOrg`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        public_host: str | None = None,
        client_id: str | None = None,
        private_jwk: Mapping[str, Any] | None = None,
        public_key: bytes | str | Mapping[str, Any] | None = None,
        key_type: KeyType = "p256",
        rate_limit: int | EllipsisType | None = ...,
        time_limit: float | None = None,
        token_lifetime: int | None = None,
        custom_domains: tuple[str, ...] = (),
        execution_header: str | EllipsisType | None = ...,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = Runtime.clock,
        profile: Profile | None = None,
    ) -> None:
        self.rules = OrgRules(profile)
        """The rules that the org keeps."""
        self.host = host
        self.public_host = public_host or host
        self.port = port
        self.rate_limit: int | None = self.rules["L3"]["accepted_at_once"] if rate_limit is ... else rate_limit
        self.time_limit: float | None = time_limit or self.rules["L1"]["seconds"]
        self.token_lifetime: int = token_lifetime or self.rules["T2"]["expires_in"]
        self.custom_domains = custom_domains
        seen = self.rules["E1"]["header"]
        self.execution_header: str | None = (
            (seen and header_name(seen)) if execution_header is ... else execution_header
        )
        self.ssl_context = ssl_context
        self.clock_skew = 0.0
        """Seconds by which the org's clock is ahead; set it to skew the clock."""
        self.flows: dict[str, Flow] = {}
        self.log: list[SeenRequest] = []
        """Each request to a flow, including refused ones, in order of arrival."""
        self.token_requests: list[SeenTokenRequest] = []
        self.app = App(client_id=client_id or f"0oa{secrets.token_hex(8)}", public_keys={})
        self._clock = clock
        self.tokens: dict[str, GrantedToken] = {}
        """The org's record of each granted token, by the token."""
        self._faults: dict[str | None, deque[Fault]] = {}
        self._lock = threading.Lock()
        renew_in_child(self, "_lock")
        self._signing_secret = secrets.token_hex(32)
        self._private_jwk: dict[str, Any] | None = None
        if public_key is None:
            self._private_jwk = dict(private_jwk or generate_jwk(key_type))
            self._register(self._private_jwk)
        elif private_jwk is None:
            self.app.public_keys.update(parse_public_keys(public_key))
        else:
            raise ValueError("give either private_jwk or public_key")

    def flow(
        self, name: str, *, alias: str | None = None, security: Security = "oauth"
    ) -> Callable[[FlowFunction], FlowFunction]:
        """Register a function as a flow of the org; for use as a decorator.

        :param name: its name in the connection
        :param alias: its alias; by default derived from the client id and the name, so that it stays the same
        :param security: its security level
        """

        def register(function: FlowFunction) -> FlowFunction:
            own = uuid.uuid5(uuid.NAMESPACE_URL, f"{self.app.client_id}/{name}").hex
            self.flows[name] = Flow(name, function, alias or own, security)
            self.on_flow_added()
            return function

        return register

    def on_flow_added(self) -> None:
        """Do nothing; a subclass overrides this to learn that a flow was added."""

    def add_flows(self, functions: Mapping[str, FlowFunction]) -> None:
        """Register functions as flows of the org.

        :param functions: the functions by name
        """
        for name, function in functions.items():
            self.flow(name)(function)

    def inject(self, fault: Fault, *, flow: str | None = None, times: int = 1) -> None:
        """Inject a fault into the next requests to a flow or to the token endpoint.

        :param fault: the fault
        :param flow: the flow's name; None for the token endpoint
        :param times: the number of requests
        """
        with self._lock:
            self._faults.setdefault(flow, deque()).extend([fault] * times)

    def expire_tokens(self) -> None:
        """Expire all tokens now, whatever lifetime their holders were given."""
        with self._lock:
            self.tokens = {value: replace(token, expires_at=0.0) for value, token in self.tokens.items()}

    def revoke_tokens(self) -> None:
        """Revoke all tokens."""
        with self._lock:
            self.tokens.clear()

    def add_key(self, key_type: KeyType = "p256") -> dict[str, Any]:
        """Register another public key with the app, and return its private JWK.

        :param key_type: ``p256``, ``rsa2048`` or ``rsa4096``
        """
        jwk = generate_jwk(key_type)
        self._register(jwk)
        return jwk

    def _register(self, jwk: dict[str, Any]) -> None:
        algorithm = jwt.algorithms.ECAlgorithm if jwk["kty"] == "EC" else jwt.algorithms.RSAAlgorithm
        private_key: Any = algorithm.from_jwk(jwk)
        self.app.public_keys[jwk["kid"]] = private_key.public_key()

    @property
    def url(self) -> str:
        """The org's URL, which is also the origin of its flows."""
        return self._origin(self.public_host).url

    @property
    def issuer_host(self) -> str:
        """Host and port under which tokens must be requested: the custom domain if there is exactly one."""
        return self._origin(self.custom_domains[0] if len(self.custom_domains) == 1 else self.public_host).netloc

    def _origin(self, host: str) -> Origin:
        return Origin("https" if self.ssl_context else "http", host, self.port)

    @property
    def private_jwk(self) -> dict[str, Any]:
        """The app's private key, as a JWK.

        :raises LookupError: if the org was given only a public key
        """
        if self._private_jwk is None:
            raise LookupError("this org was given only a public key")
        return dict(self._private_jwk)

    @property
    def tokens_granted(self) -> int:
        """Number of tokens that were granted, whatever response a fault then made of it."""
        return sum(request.granted for request in self.token_requests)

    def on_assertion(self, assertion: str) -> None:
        """Do nothing; a subclass overrides this to see each client assertion, none of which the org keeps.

        :param assertion: the client assertion; empty if the request has none
        """

    def on_response(self, request: SeenRequest | SeenTokenRequest) -> None:
        """Do nothing; a subclass overrides this to see each request before its response is sent.

        :param request: the request, with the status of its response
        """

    def requests(self, name: str) -> list[SeenRequest]:
        """Return each request to a flow, including refused ones.

        :param name: the flow's name
        """
        return [request for request in self.log if request.flow == name]

    def invoke_url(self, name: str) -> str:
        """Return a flow's invoke URL.

        :param name: its name
        """
        return f"{self.url}/api/flo/{self.flows[name].alias}/invoke"

    def now(self) -> float:
        """Return the time by the org's clock, in seconds since the epoch."""
        return self._clock() + self.clock_skew

    def next_fault(self, flow: str | None) -> Fault:
        """Remove and return the fault for the next request; without one, return a fault that changes nothing.

        :param flow: the flow's name; None for the token endpoint
        """
        with self._lock:
            ordered = self._faults.get(flow)
            return ordered.popleft() if ordered else Fault()

    def grant_token(self, issuer: str, scope: str) -> str:
        """Grant a token, and return it.

        :param issuer: the origin under which it was requested
        :param scope: its scopes, separated by spaces
        """
        expires_at = self.now() + self.token_lifetime
        claims = {"iss": issuer, "cid": self.app.client_id, "scp": scope.split(), "jti": Runtime.new_id()}
        token = jwt.encode({**claims, "exp": int(expires_at)}, self._signing_secret, algorithm="HS256")
        with self._lock:
            self.tokens[token] = GrantedToken(issuer, frozenset(scope.split()), expires_at)
        return token

    def accepts_token(self, token: str) -> bool:
        """Return whether flows accept a token.

        It must be known, not expired, have the scope that flows require, and be requested under the right domain.

        :param token: the token
        """
        with self._lock:
            granted = self.tokens.get(token)
        if granted is None or granted.expires_at <= self.now() or INVOKE_SCOPE not in granted.scopes:
            return False
        return granted.issuer.partition("://")[2] == self.issuer_host

    def is_of_another_domain(self, token: str) -> bool:
        """Return whether a token is one of the org's, requested under the wrong domain.

        :param token: the token
        """
        with self._lock:
            granted = self.tokens.get(token)
        return granted is not None and granted.issuer.partition("://")[2] != self.issuer_host

    def takes_invocation(self, flow: Flow) -> bool:
        """Return whether a flow's rate limit allows another invocation, and if so, count it.

        :param flow: the flow
        """
        if self.rate_limit is None:
            return True
        with self._lock:
            return takes_one_more(self.rules["L6"]["window"], flow.recent, self.rate_limit, self.now())

    def run_timeout(self, flow: Flow) -> asyncio.Timeout:  # noqa: ARG002  # for a subclass
        """Return the context that cuts a run off at the time limit; a subclass overrides this to shorten the wait.

        :param flow: the flow that runs
        """
        return asyncio.timeout(self.time_limit)
