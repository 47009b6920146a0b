"""The first client assertion of a process, and assertions per second of one core, against the bare signature."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import load_signing_key
from airflow_okta_workflows.core.oauth.client_assertion import sign_client_assertion
from benchmarks.figures import Figure, at_most, compare
from benchmarks.measuring import alternate, become_warm_parent, cost_of, in_fork

if TYPE_CHECKING:
    from collections.abc import Callable

PEER = "cryptography, the signature alone"
FIRST_PEER = "PyJWT by itself"
_FLOOR = "cryptography, unchecked load and signature alone"
_SLOWEST = "RSA-4096 PEM"
_PRIMES = ("p", "q", "dp", "dq", "qi")


def measure(*, quick: bool) -> list[Figure]:
    """Compare a process's first client assertion with PyJWT's, and later ones with their signature alone.

    :param quick: whether to run in quick mode
    """
    keys = {name: generate_jwk(name) for name in ("rsa2048", "rsa4096", "p256")}
    return [*_first(keys, rounds=2 if quick else 11), *_later(keys, *((2, 20) if quick else (11, 300)))]


def _first(keys: dict[Any, dict[str, Any]], rounds: int) -> list[Figure]:
    become_warm_parent()
    figures = []
    how = f"CPU, from the key's text to the assertion; median of {rounds} forks in turns, imports done"
    for title, text in _texts(keys).items():
        ways: dict[str, Callable[[], object]] = {
            "ours": partial(_sign_with, text),
            FIRST_PEER: partial(_sign_with_pyjwt, text),
        }
        if title == _SLOWEST:
            ways[_FLOOR] = partial(_sign_bare, text.encode())
        work = {name: partial(in_fork, partial(cost_of, way)) for name, way in ways.items()}
        costs = {name: [cost.cpu * 1000 for cost in found] for name, found in alternate(rounds, work).items()}
        target = None if "without" in title else at_most(5, "ms")
        what = f"first signature, {title}"
        figures.append(compare(what, "ms", costs["ours"], FIRST_PEER, costs[FIRST_PEER], how=how, target=target))
        if title == _SLOWEST:
            figures.append(compare(f"{what}, and its floor", "ms", costs["ours"], _FLOOR, costs[_FLOOR], how=how))
    return figures


def _sign_bare(pem: bytes) -> object:
    """Load a key without any check of it and sign once: what no provider can save."""
    key: Any = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    return key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())


def _texts(keys: dict[Any, dict[str, Any]]) -> dict[str, str]:
    """Return the keys in each format that users have, by a description of the format."""
    texts = {}
    for name, title in (("rsa2048", "RSA-2048"), ("rsa4096", "RSA-4096"), ("p256", "P-256")):
        texts[f"{title} PEM"] = pem_of(keys[name])
        texts[f"{title} JWK"] = json.dumps(keys[name])
        if name != "p256":
            bare = {member: value for member, value in keys[name].items() if member not in _PRIMES}
            texts[f"{title} JWK without primes"] = json.dumps(bare)
    return texts


def _sign_with(text: str) -> str:
    key = load_signing_key(parse_key_text(text))
    return sign_client_assertion(
        key, client_id="0oa", token_url="https://acme.okta.com/oauth2/v1/token", now=time.time(), lifetime=300, jti="x"
    )


def _sign_with_pyjwt(text: str) -> str:
    claims = {"iss": "0oa", "sub": "0oa", "aud": "https://acme.okta.com/oauth2/v1/token", "exp": time.time() + 300}
    key: Any = jwt.PyJWK(json.loads(text)).key if text.startswith("{") else text
    algorithm = "ES256" if '"EC"' in text or len(text) < 500 else "RS256"
    return jwt.encode(claims, key, algorithm=algorithm)


def _later(keys: dict[Any, dict[str, Any]], rounds: int, times: int) -> list[Figure]:
    figures = []
    for title, jwk in (("RSA-2048", keys["rsa2048"]), ("ES256", keys["p256"])):
        costs = alternate(rounds, {name: partial(cost_of, work, times) for name, work in _ways(jwk).items()})
        rates = {name: [1 / cost.cpu for cost in found] for name, found in costs.items()}
        how = f"per second of CPU; median of {rounds} rounds of {times} in turns, parsed key, same input size"
        figures.append(compare(f"client assertions, {title}", "/s", rates["ours"], PEER, rates[PEER], how=how))
    return figures


def _ways(jwk: dict[str, Any]) -> dict[str, Callable[[], object]]:
    key = load_signing_key(parse_key_text(json.dumps(jwk)))

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
