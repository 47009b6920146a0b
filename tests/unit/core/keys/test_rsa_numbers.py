from __future__ import annotations

import base64
import contextlib
import json
import math
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.keys import rsa_numbers
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import SigningKey, load_signing_key

JWK = generate_jwk("rsa2048")


def load(text: str) -> SigningKey:
    return load_signing_key(parse_key_text(text))


def fault(text: str) -> CoreError:
    with pytest.raises(CoreError) as caught:
        load(text)
    assert caught.value.__context__ is None, "the context may hold the whole key"
    return caught.value


def without(jwk: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in names}


PRIMES = ("p", "q", "dp", "dq", "qi")


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8)).rstrip(b"=").decode()


def verifies(key: SigningKey, public_key: Any) -> bool:
    return jwt.decode(key.sign({"a": 1}), public_key, algorithms=[key.algorithm]) == {"a": 1}


@pytest.mark.parametrize("bits", [2048, 3072])
@pytest.mark.parametrize("exponent", [3, 65537])
@pytest.mark.parametrize("modulus", ["phi", "lambda"])
def test_a_jwk_needs_no_primes(bits: int, exponent: int, modulus: str) -> None:
    private = rsa.generate_private_key(exponent, bits)
    numbers = private.private_numbers()
    phi = (numbers.p - 1) * (numbers.q - 1)
    d = pow(exponent, -1, phi if modulus == "phi" else math.lcm(numbers.p - 1, numbers.q - 1))
    key = load(json.dumps({"kty": "RSA", "n": number(numbers.p * numbers.q), "e": number(exponent), "d": number(d)}))

    assert key.description == f"RSA {bits}"
    assert verifies(key, private.public_key())


def test_a_jwk_without_primes_may_have_any_exponent() -> None:
    private = rsa.generate_private_key(65537, 2048)
    numbers = private.private_numbers()
    phi = (numbers.p - 1) * (numbers.q - 1)
    # One of many digits: the quick way to the primes is made for small ones.
    e = next(e for e in range(2**1500 + 1, 2**1500 + 4001, 2) if math.gcd(e, phi) == 1)
    jwk = {"kty": "RSA", "n": number(numbers.p * numbers.q), "e": number(e), "d": number(pow(e, -1, phi))}

    primes = rsa_numbers._primes(numbers.p * numbers.q, e, pow(e, -1, phi))
    assert set(primes) == {numbers.p, numbers.q}
    with contextlib.suppress(CoreError):  # whether OpenSSL signs with such a key is its own affair
        load(json.dumps(jwk))


def test_a_jwk_with_primes_is_the_same_key_as_its_pem() -> None:
    private: Any = serialization.load_pem_private_key(pem_of(JWK).encode(), None)

    for text in (json.dumps(JWK), pem_of(JWK), json.dumps({**JWK, "qi": JWK["qi"] + "=="})):
        assert verifies(load(text), private.public_key())


@pytest.mark.parametrize("name", ["n", "e", "d", *PRIMES])
@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value[:-4],
        lambda value: ("B" if value[5:6] != "B" else "C").join([value[:5], value[6:]]) if len(value) > 6 else "AQAD",
        lambda value: "AA",
        lambda value: "AQ",
        lambda value: "Ag",
        lambda value: "",
        lambda value: value * 3,
        lambda value: "*" * len(value),
    ],
    ids=["cut", "a character", "zero", "one", "two", "empty", "too long", "no base64"],
)
def test_a_jwk_with_one_damaged_number_never_signs(name: str, damage: Any) -> None:
    for jwk in (JWK, without(JWK, *PRIMES)):
        if name in jwk:
            assert fault(json.dumps({**jwk, name: damage(jwk[name])}))


@pytest.mark.parametrize("name", PRIMES)
def test_a_jwk_with_some_of_its_primes_is_not_complete(name: str) -> None:
    assert "not complete" in str(fault(json.dumps(without(JWK, name))))


def test_each_relation_of_the_numbers_is_looked_at() -> None:
    private: Any = serialization.load_pem_private_key(pem_of(JWK).encode(), None)
    good = private.private_numbers()
    n, e = good.public_numbers.n, good.public_numbers.e

    def is_sound(p: int = good.p, q: int = good.q, d: int = good.d, n: int = n, e: int = e, **others: int) -> bool:
        given = {"dmp1": d % (p - 1), "dmq1": d % (q - 1), "iqmp": pow(q, -1, p), **others}
        return rsa_numbers.is_sound(rsa.RSAPrivateNumbers(p, q, d, **given, public_numbers=rsa.RSAPublicNumbers(e, n)))

    assert is_sound()
    assert is_sound(p=good.q, q=good.p)
    assert not is_sound(n=n + 2)
    assert not is_sound(e=e + 2)
    assert not is_sound(d=good.d ^ 4)
    assert not is_sound(d=(good.d + good.p - 1) % n), "it fits one of the primes only"
    assert not is_sound(d=(good.d + good.q - 1) % n)
    assert not is_sound(d=good.d + (good.p - 1) * (good.q - 1) * 4), "larger than any"
    for name in ("dmp1", "dmq1", "iqmp"):
        assert not is_sound(**{name: getattr(good, name) ^ 4})
        assert not is_sound(**{name: 0})


def test_two_numbers_that_changed_places_are_found() -> None:
    assert "damaged" in str(fault(json.dumps({**JWK, "dp": JWK["dq"], "dq": JWK["dp"]})))
    assert "damaged" in str(fault(json.dumps({**JWK, "p": JWK["q"], "q": JWK["p"]})))


def test_a_jwk_of_more_than_two_primes_is_not_supported() -> None:
    assert "not supported" in str(fault(json.dumps({**JWK, "oth": [{"r": "x", "d": "y", "t": "z"}]})))


@pytest.mark.parametrize("names", [(), PRIMES])
def test_a_key_that_is_longer_than_any_is_refused_at_once(names: tuple[str, ...]) -> None:
    huge = base64.urlsafe_b64encode(b"\xff" * 12_000).decode()

    found = fault(json.dumps({**without(JWK, *names), "n": huge, "d": huge}))

    assert "96000 bits; at most 16384 are supported" in str(found)


def test_a_pem_that_is_longer_than_any_is_refused_at_once() -> None:
    p, q = 2**20_000 + 1, 2**20_001 + 1
    numbers = rsa.RSAPrivateNumbers(p, q, 5, 5, 5, 5, rsa.RSAPublicNumbers(65537, p * q))

    pem = numbers.private_key(unsafe_skip_rsa_key_validation=True).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert "at most 16384 are supported" in str(fault(pem.decode()))
