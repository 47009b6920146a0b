"""The verdict of the connection form's Test button: a token and the org's own name, and never an invocation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_okta_workflows.client.sync_client import FlowClient
from airflow_okta_workflows.connection import http_guard
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.http.types import TransportFailure
from airflow_okta_workflows.core.oauth.server_metadata import metadata_request, parse_issuer, require_issuer
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaWorkflowsError, raise_provider_errors
from airflow_okta_workflows.tokens.source import TokenSource
from airflow_okta_workflows.transport.h11_transport import H11Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.oauth.access_token import AccessToken
    from airflow_okta_workflows.core.runtime import Runtime

_LONGEST_VERDICT = 2000
"""Characters that Airflow's form takes."""
_PATIENCE = 5.0
"""Seconds for each step: the API server waits, without a time-out of its own."""


def verdict_on(read: Callable[[], OktaWorkflowsSettings], runtime: Runtime) -> tuple[bool, str]:
    """Try a connection by asking its org for a token of its own, and by what name it calls itself.

    :param read: gives the checked connection
    :param runtime: clock, sleep and chance
    :return: whether it worked, and a text for people of at most 2,000 characters, without secrets
    """
    try:
        settings = with_short_waits(read())
        with raise_provider_errors(), closing(H11Transport(settings)) as transport:
            token = ask_for_token(settings, transport, runtime)
            good, name = _look_at_name(settings, transport)
    except OktaWorkflowsError as error:
        # The message names the connection, which has a random id while Airflow tests it; the problems do not.
        problems = error.problems if isinstance(error, OktaConfigurationError) else ()
        return False, _shortened(" ".join(problems) or str(error))
    told = f"{settings.domain.netloc} gave a token for {settings.client_id}, good for {token.lifetime:.0f} s. {name}"
    if not good:
        return False, _shortened(told)
    if settings.gives_secrets_away:
        told += f" Warning: {http_guard.WARNING} {http_guard.FIX}"
    flows = ", ".join(sorted(settings.flows)) or "none"
    return True, _shortened(
        f"{told} Flows are looked for at {settings.workflows.netloc}; named: {flows}. No flow was invoked."
    )


def _look_at_name(settings: OktaWorkflowsSettings, transport: H11Transport) -> tuple[bool, str]:
    """Return whether flows will take the org's token, as far as its metadata tell, and what there is to say of it."""
    answer = transport.send(metadata_request(settings.domain))
    if isinstance(answer, TransportFailure):
        return True, f"Whether flows will take it cannot be told: the org's metadata gave no answer ({answer.detail})."
    try:
        issuer = parse_issuer(answer)
    except CoreError as error:
        return True, f"Whether flows will take it cannot be told. {error.message}"
    try:
        require_issuer(issuer, settings.domain)
    except CoreError as error:
        return False, f"But flows will refuse it with 401. {error}"
    return True, "The org calls itself by the same name."


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VERDICT else text[: _LONGEST_VERDICT - 1] + "…"


def with_short_waits(settings: OktaWorkflowsSettings) -> OktaWorkflowsSettings:
    """Return a connection's settings for somebody who is looking on.

    :param settings: the connection
    """
    return replace(
        settings,
        connect_timeout=min(settings.connect_timeout, _PATIENCE),
        read_timeout=min(settings.read_timeout, 2 * _PATIENCE),
        rate_limit_wait=min(settings.rate_limit_wait, _PATIENCE),
    )


def ask_for_token(settings: OktaWorkflowsSettings, transport: H11Transport, runtime: Runtime) -> AccessToken:
    """Ask a connection's org for a token of its own, once.

    :param settings: the connection
    :param transport: sends the request
    :param runtime: clock, sleep and chance
    :raises CoreError: if the org gives none
    """
    # Not the shared source: a token that is there already would prove nothing.
    tokens = TokenSource(runtime.clock)
    return FlowClient(settings, tokens, transport, runtime, token_attempts=1).access_token()
