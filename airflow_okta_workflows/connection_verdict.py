"""The verdict of the connection form's Test button: a token, and never an invocation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_okta_workflows.client import FlowClient
from airflow_okta_workflows.exceptions import OktaWorkflowsError, faults_as_errors
from airflow_okta_workflows.tokens.source import TokenSource
from airflow_okta_workflows.transport.requests_transport import RequestsTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.access_token import AccessToken
    from airflow_okta_workflows.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.surroundings import Surroundings

_LONGEST_VERDICT = 2000
"""Characters that Airflow's form takes."""
_PATIENCE = 5.0
"""Seconds for each step: the API server waits, without a time-out of its own."""


def verdict_on(read: Callable[[], OktaWorkflowsSettings], surroundings: Surroundings) -> tuple[bool, str]:
    """Try a connection by asking its org for a token of its own.

    :param read: gives the checked connection
    :param surroundings: clock, sleep and chance
    :return: whether it worked, and a text for people of at most 2,000 characters, without secrets
    """
    try:
        settings = with_short_waits(read())
        with faults_as_errors(), closing(RequestsTransport(settings)) as transport:
            token = ask_for_token(settings, transport, surroundings)
    except OktaWorkflowsError as error:
        return False, str(error)[:_LONGEST_VERDICT]
    flows = ", ".join(sorted(settings.flows)) or "none"
    verdict = (
        f"{settings.domain.netloc} gave a token for {settings.client_id}, good for {token.lifetime:.0f} s."
        f" Flows are looked for at {settings.workflows.netloc}; named: {flows}. No flow was invoked."
    )
    return True, verdict[:_LONGEST_VERDICT]


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


def ask_for_token(
    settings: OktaWorkflowsSettings, transport: RequestsTransport, surroundings: Surroundings
) -> AccessToken:
    """Ask a connection's org for a token of its own, once.

    :param settings: the connection
    :param transport: sends the request
    :param surroundings: clock, sleep and chance
    :raises Fault: if the org gives none
    """
    # Not the shared source: a token that is there already would prove nothing.
    tokens = TokenSource(surroundings.clock)
    return FlowClient(settings, tokens, transport, surroundings, token_attempts=1).access_token()
