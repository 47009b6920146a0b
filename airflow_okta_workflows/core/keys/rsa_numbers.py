"""RSA private keys as numbers: construction from a JWK, and a check of their consistency (RFC 8017, section 3.2).

A primality test takes 40 ms for a key of 2048 bits and 0.3 s for 4096, with the GIL held. The equations below take
microseconds, and also detect a key that was damaged in transit.
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from airflow_okta_workflows.core.errors import configuration_error

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAST_BITS = 2048  # RFC 7518, section 3.3
_MOST_BITS = 16_384
"""Largest key size; OpenSSL has the same limit, and the time for a signature grows with the cube of the size."""
_PRIME_MEMBERS = ("p", "q", "dp", "dq", "qi")
_LARGEST_COMMON_DIVISOR = 1024


def rsa_key_from_jwk(jwk: Mapping[str, Any]) -> rsa.RSAPrivateKey:
    """Return the private key of a JWK (RFC 7518, section 6.3), whether or not it includes the primes.

    :param jwk: the JWK
    :raises ValueError: if its numbers are inconsistent
    :raises KeyError: if a number is missing
    :raises CoreError: if the key is too short or too long
    """
    n, e, d = (_number(jwk, name) for name in ("n", "e", "d"))
    require_size(n.bit_length())
    if any(jwk.get(name) for name in _PRIME_MEMBERS):
        p, q, dp, dq, qi = (_number(jwk, name) for name in _PRIME_MEMBERS)
    else:
        p, q = _primes(n, e, d)
        dp, dq, qi = d % (p - 1), d % (q - 1), pow(q, -1, p)
    numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n))
    if not is_sound(numbers):
        raise ValueError
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def require_size(bits: int) -> None:
    """Raise if an RSA key is too short to be safe, or too long.

    :param bits: the length of its modulus
    :raises CoreError: if the length is out of bounds
    """
    if bits < _LEAST_BITS:
        raise configuration_error(
            f"The RSA key has {bits} bits; at least {_LEAST_BITS} are required.",
            "OKW-1131: Generate a new key.",
        )
    if bits > _MOST_BITS:
        raise configuration_error(
            f"The RSA key has {bits} bits; at most {_MOST_BITS} are supported.", "OKW-1131: Generate a new key."
        )


def is_sound(numbers: rsa.RSAPrivateNumbers) -> bool:
    """Return whether the numbers of a key are consistent, so that its signatures verify.

    :param numbers: the numbers of the private key
    """
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    p, q, d = numbers.p, numbers.q, numbers.d
    within = min(p, q, e, d) > 1 and max(p, q, e, d, numbers.dmp1, numbers.dmq1, numbers.iqmp) < n
    return (
        within
        and e % 2 == 1
        and p * q == n
        and (e * d - 1) % (p - 1) == 0
        and (e * d - 1) % (q - 1) == 0
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
    )


def _number(jwk: Mapping[str, Any], name: str) -> int:
    value = jwk[name]
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004  # the key is damaged, as for any other value that is not a number
    return int.from_bytes(jwt.utils.base64url_decode(value))


def _primes(n: int, e: int, d: int) -> tuple[int, int]:
    """Return the primes of a key.

    e·d - 1 is a multiple of lcm(p-1, q-1). Multiplied by gcd(p-1, q-1), it is k·(p-1)·(q-1) for an integer k, and
    (p-1)·(q-1) is just below n. For the usual small e this yields k, hence p + q, hence p and q.
    """
    if not 1 < max(e, d) < n:
        raise ValueError
    for divisor in range(1, _LARGEST_COMMON_DIVISOR + 1):
        multiple = (e * d - 1) * divisor
        k = multiple // n + 1
        if multiple % k == 0:
            total = n + 1 - multiple // k
            difference = isqrt(max(0, total * total - 4 * n))
            p = (total + difference) // 2
            if p > 1 and p * (total - p) == n:
                return p, total - p
    # The key has unusual numbers, or is damaged. Without this test, the search below would take half a minute for a
    # damaged key.
    if pow(2, e * d, n) != 2:
        raise ValueError
    p, q = rsa.rsa_recover_prime_factors(n, e, d)
    return p, q
