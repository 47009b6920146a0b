"""How the triggerer hands the outcome of an invocation to the worker.

An event is stored and logged in clear, and what a flow returns may be anybody's personal data. So it travels sealed,
under a key that only who has the connection's private key can derive.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.encryption import decrypt, encrypt
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.exceptions import OktaWorkflowsError, error_from_json, raise_provider_errors

if TYPE_CHECKING:
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings

LARGEST_OUTCOME = 65_536
"""Bytes of JSON; a larger outcome is not put into an event."""


def encrypt_result(
    outcome: FlowResponse | OktaWorkflowsError, settings: OktaWorkflowsSettings, idempotency_key: str
) -> str | None:
    """Return an outcome, sealed, as text; None if it is too large for an event.

    :param outcome: the response, or the error
    :param settings: the connection
    :param idempotency_key: the invocation it belongs to: with another one it does not open
    """
    kind = "error" if isinstance(outcome, OktaWorkflowsError) else "response"
    data = json.dumps({kind: outcome.to_json()}).encode()
    if len(data) > LARGEST_OUTCOME:
        return None
    with raise_provider_errors():
        return base64.b64encode(encrypt(data, settings.event_encryption_key(), idempotency_key.encode())).decode()


def decrypt_result(
    sealed: Any, settings: OktaWorkflowsSettings, idempotency_key: str
) -> FlowResponse | OktaWorkflowsError | None:
    """Return the outcome that was sealed; None if it does not open, as after a change of the key, or is not known here.

    :param sealed: the text
    :param settings: the connection
    :param idempotency_key: the invocation
    """
    try:
        with raise_provider_errors():
            data = decrypt(
                base64.b64decode(sealed, validate=True), settings.event_encryption_key(), idempotency_key.encode()
            )
    except (TypeError, ValueError, binascii.Error):
        return None
    if data is None:
        return None
    outcome = json.loads(data)
    if "error" in outcome:
        return error_from_json(outcome["error"])
    return FlowResponse.from_json(outcome.get("response") or {})
