"""The connection whose key encrypts what is stored here.

The private key is the SHA-256 of a sentence that everybody can read, so it protects nothing and is registered nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric import ec

from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings

_SENTENCE = b"A throw-away key for the tests of stored formats; it protects nothing."


def settings() -> OktaWorkflowsSettings:
    """Return the connection's settings."""
    number = int.from_bytes(hashlib.sha256(_SENTENCE).digest())
    public = ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers()
    members = {name: _base64(value) for name, value in (("d", number), ("x", public.x), ("y", public.y))}
    jwk = {"kty": "EC", "crv": "P-256", "kid": "stored-formats", **members}
    fields = {"conn_id": "okta", "conn_type": "okta_workflows", "host": "acme.okta.com", "login": "0oastored"}
    connection = {"password": json.dumps(jwk, sort_keys=True), "schema": None, "port": None, "extra": "{}"}
    return parse_connection(SimpleNamespace(**fields, **connection), {})


def _base64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode()
