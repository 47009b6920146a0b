"""Client assertions per second and core, beside the bare signature."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from airflow_okta_workflows.core.client_assertion import sign_client_assertion
from airflow_okta_workflows.core.key_generation import generate_jwk
from airflow_okta_workflows.core.key_text import read_key_text
from airflow_okta_workflows.core.keys import load_signing_key
from benchmarks.figures import Figure, compare
from benchmarks.measuring import alternate, cost_of

if TYPE_CHECKING:
    from collections.abc import Callable

PEER = "cryptography, the signature alone"


def measure(*, quick: bool) -> list[Figure]:
    """Compare a whole client assertion with the signature in it.

    :param quick: in the small form
    """
    rounds, times = (2, 20) if quick else (11, 300)
    figures = []
    for title, jwk in (("RSA-2048", generate_jwk("rsa2048")), ("ES256", generate_jwk("p256"))):
        costs = alternate(rounds, {name: partial(cost_of, work, times) for name, work in _ways(jwk).items()})
        rates = {name: [1 / cost.cpu for cost in found] for name, found in costs.items()}
        how = f"per second of CPU; median of {rounds} rounds of {times} in turns, parsed key, same input size"
        figures.append(compare(f"client assertions, {title}", "/s", rates["ours"], PEER, rates[PEER], how=how))
    return figures


def _ways(jwk: dict[str, Any]) -> dict[str, Callable[[], object]]:
    key = load_signing_key(read_key_text(json.dumps(jwk)))

    def assertion() -> str:
        return sign_client_assertion(
            key,
            client_id="0oa1b2c3d4e5f6g7h8i9",
            token_url="https://acme.okta.com/oauth2/v1/token",
            now=time.time(),
            lifetime=300,
            jti="1b671a64-40d5-491e-99b0-da01ff1f3341",
        )

    signed = assertion().rpartition(".")[0].encode()

    def signature() -> bytes:
        if isinstance(key.key, ec.EllipticCurvePrivateKey):
            return key.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return key.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())

    return {"ours": assertion, PEER: signature}
