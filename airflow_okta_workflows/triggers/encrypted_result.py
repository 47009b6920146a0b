"""Encrypted transfer of an invocation's outcome from the triggerer to the worker.

Airflow stores and logs events unencrypted, and a flow's response may contain personal data. The outcome is therefore
encrypted with a key that can only be derived from the connection's private key.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.encryption import decrypt, encrypt
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.exceptions import OktaWorkflowsError, error_from_json, raise_provider_errors

if TYPE_CHECKING:
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings

LARGEST_OUTCOME = 65_536
"""Most bytes of JSON in an event; a larger outcome is not handed over."""


def encrypt_result(
    outcome: FlowResponse | OktaWorkflowsError, settings: OktaWorkflowsSettings, idempotency_key: str
) -> str | None:
    """Return an outcome, encrypted, as a Base64 string; None if it is too large for an event.

    :param outcome: the response, or the error
    :param settings: the connection
    :param idempotency_key: the invocation's idempotency key; decryption fails with any other
    """
    kind = "error" if isinstance(outcome, OktaWorkflowsError) else "response"
    data = json.dumps({kind: outcome.to_json()}).encode()
    if len(data) > LARGEST_OUTCOME:
        return None
    with raise_provider_errors(), NoFrames():
        return base64.b64encode(encrypt(data, settings.event_encryption_key(), idempotency_key.encode())).decode()


def decrypt_result(
    sealed: Any, settings: OktaWorkflowsSettings, idempotency_key: str
) -> FlowResponse | OktaWorkflowsError | None:
    """Return the decrypted outcome; None if decryption fails, for example after the connection's key has changed.

    :param sealed: the result of :func:`encrypt_result`
    :param settings: the connection
    :param idempotency_key: the invocation's idempotency key
    """
    try:
        with raise_provider_errors(), NoFrames():
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
