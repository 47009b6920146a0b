"""A checked connection, as everything below the hook sees it."""

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
    """A checked connection; docs/connection.md says what each field means.

    :param conn_id: the connection's id
    :param domain: the org, which gives the token
    :param client_id: the app
    :param key_text: the private key, not parsed yet
    :param passphrase: its passphrase, or None
    :param key_id: the kid to send, or None
    :param algorithm: the signature algorithm, or None for the key's own
    :param workflows: the org's workflows host
    :param flows: the flows by name
    :param allowed: the hosts that may receive the token
    :param scope: the scopes to ask for, divided by blanks
    :param assertion_lifetime: seconds
    :param connect_timeout: seconds
    :param read_timeout: seconds
    :param verify: path of a CA bundle, True for the usual authorities, False for none
    :param http_proxy: the proxy's URL, which may hold a password; None for the environment's
    :param rate_limit_wait: seconds
    :param max_response_bytes: bytes
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
        """Return the token endpoint, which is also the client assertion's audience."""
        return self.domain.url + TOKEN_PATH

    @property
    def token_cache_id(self) -> str:
        """Return a hash that is the same for all who may share a token, and tells nothing of its parts."""
        parts = [
            self.token_url,
            self.client_id,
            self.scope,
            self.key_id or "",
            self.key_text.fingerprint(self.passphrase),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def cache_encryption_key(self) -> bytes:
        """Return the key that a shared token is encrypted with: only who could mint the token can derive it."""
        return self.key_text.derive(self.passphrase, "okta-workflows token cache")

    def event_encryption_key(self) -> bytes:
        """Return the key under which the triggerer hands a response to the worker."""
        return self.key_text.derive(self.passphrase, "okta-workflows trigger event")

    @cached_property
    def signing_key(self) -> SigningKey:
        """The private key; parsed only now, since who has a token needs none, nor the libraries to parse it.

        :raises CoreError: if it cannot be read
        """
        from airflow_okta_workflows.core.keys.signing import load_signing_key

        return load_signing_key(self.key_text, passphrase=self.passphrase, algorithm=self.algorithm, kid=self.key_id)

    def find_flow(self, reference: str) -> FlowAddress:
        """Find the flow that a caller means; see :func:`~airflow_okta_workflows.core.addresses.find_flow`."""
        return addresses.find_flow(reference, self.flows, self.workflows, self.allowed)

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
        """Return what authorizes one invocation.

        :param obtain_token: begins the conversation that brings an access token; see
            :class:`~airflow_okta_workflows.core.oauth.flow_auth.BearerAuth`
        """
        return BearerAuth(obtain_token)

    def secret_forms(self) -> tuple[str, ...]:
        """Return each text that must not appear in a log because of this connection."""
        own = [secret.reveal() for secret in (self.passphrase, self.http_proxy) if secret]
        return (*self.key_text.secret_forms(), *own)
