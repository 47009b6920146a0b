"""Validated connection, as all code below the hook uses it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

from airflow_okta_workflows.core import addresses
from airflow_okta_workflows.core.flows.invocation import Invocation, InvocationOptions
from airflow_okta_workflows.core.forking import cached_property
from airflow_okta_workflows.core.oauth.flow_auth import BearerAuth
from airflow_okta_workflows.core.oauth.token_request import TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_okta_workflows.core.addresses import FlowAddress, Origin
    from airflow_okta_workflows.core.keys.parsing import KeyText
    from airflow_okta_workflows.core.keys.signing import SigningKey
    from airflow_okta_workflows.core.oauth.access_token import AccessToken
    from airflow_okta_workflows.core.oauth.flow_auth import FlowAuth
    from airflow_okta_workflows.core.protocol import Conversation
    from airflow_okta_workflows.core.secret import Secret


@dataclass(frozen=True)
class OktaWorkflowsSettings:
    """Validated connection; docs/connection.md describes each field.

    :param conn_id: the connection's id
    :param domain: the org, which grants the access token
    :param client_id: the client ID of the Okta app
    :param key_text: the private key, not parsed yet
    :param passphrase: the private key's passphrase, or None
    :param key_id: the kid to send, or None
    :param algorithm: the signature algorithm, or None for the key's own
    :param workflows: the org's workflows host
    :param flows: the flows by name
    :param allowed: the hosts that may receive the token
    :param scope: the scopes to request, separated by spaces
    :param assertion_lifetime: lifetime of a client assertion, in seconds
    :param connect_timeout: time limit for a connection, in seconds
    :param read_timeout: time limit for a response, in seconds
    :param verify: path of a CA bundle, True for the usual authorities, False to verify no certificate
    :param http_proxy: the proxy's URL, which may contain a password; None for the environment's
    :param rate_limit_wait: most seconds that one call may wait because of 429
    :param max_response_bytes: maximum size of a response, in bytes
    :param gives_secrets_away: whether hooks of Airflow's http provider would send its secrets; see
        :mod:`airflow_okta_workflows.connection.http_guard`
    :param warnings: what should be changed although the connection works, such as unknown fields, for logs
    """

    conn_id: str
    domain: Origin
    client_id: str
    key_text: KeyText = field(repr=False)
    passphrase: Secret | None = field(repr=False)
    key_id: str | None
    algorithm: str | None
    workflows: Origin
    flows: Mapping[str, FlowAddress]
    allowed: frozenset[Origin]
    scope: str
    assertion_lifetime: int
    connect_timeout: float
    read_timeout: float
    verify: bool | str
    http_proxy: Secret | None
    rate_limit_wait: float
    max_response_bytes: int
    gives_secrets_away: bool
    warnings: tuple[str, ...]

    @property
    def token_url(self) -> str:
        """The token endpoint, which is also the client assertion's audience."""
        return self.domain.url + TOKEN_PATH

    @property
    def token_cache_id(self) -> str:
        """Hash that is the same for all connections that may share a token, and reveals none of its parts."""
        parts = [
            self.token_url,
            self.client_id,
            self.scope,
            self.key_id or "",
            self.key_text.fingerprint(self.passphrase),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def cache_encryption_key(self) -> bytes:
        """Return the key that encrypts a cached token; only a holder of the private key can derive it."""
        return self.key_text.derive(self.passphrase, "okta-workflows token cache")

    def event_encryption_key(self) -> bytes:
        """Return the key that encrypts a response on its way from the triggerer to the worker."""
        return self.key_text.derive(self.passphrase, "okta-workflows trigger event")

    @cached_property
    def signing_key(self) -> SigningKey:
        """The private key, parsed on first use: a process that has a token needs neither the key nor its libraries.

        :raises CoreError: if the key cannot be parsed
        """
        from airflow_okta_workflows.core.keys.signing import load_signing_key

        return load_signing_key(self.key_text, passphrase=self.passphrase, algorithm=self.algorithm, kid=self.key_id)

    def find_flow(self, reference: str) -> FlowAddress:
        """Return the address of a flow; see :func:`~airflow_okta_workflows.core.addresses.find_flow`."""
        return addresses.find_flow(reference, self.flows, self.workflows, self.allowed)

    def flow_tag(self, flow: FlowAddress) -> str:
        """Return a flow's name as a tag of metrics, of which there must be few: ``other`` for one not named here.

        :param flow: the flow
        """
        return flow.name if flow.name in self.flows else "other"

    def build_invocation(
        self, flow: str, payload: Any = None, *, idempotency_key: str, **options: Unpack[InvocationOptions]
    ) -> Invocation:
        """Check and encode an invocation; the parameters are those of ``OktaWorkflowsHook.invoke``.

        :raises CoreError: if an argument cannot work
        """
        return Invocation.build(
            self.find_flow(flow),
            payload,
            idempotency_key=idempotency_key,
            rate_limit_wait=self.rate_limit_wait,
            **options,
        )

    def flow_auth(self, obtain_token: Callable[[str | None], Conversation[AccessToken]]) -> FlowAuth:
        """Return the authorization of one invocation.

        :param obtain_token: begins the conversation that returns an access token; see
            :class:`~airflow_okta_workflows.core.oauth.flow_auth.BearerAuth`
        """
        return BearerAuth(obtain_token)

    def secret_forms(self) -> tuple[str, ...]:
        """Return each string in this connection that must not appear in a log."""
        own = [secret.reveal() for secret in (self.passphrase, self.http_proxy) if secret]
        return (*self.key_text.secret_forms(), *own)
