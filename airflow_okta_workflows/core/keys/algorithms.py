"""Signature algorithms of a client assertion, apart from the key modules, whose libraries are slow to import."""

from __future__ import annotations

RSA_ALGORITHMS = ("RS256", "RS384", "RS512")
EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
ALGORITHMS = (*RSA_ALGORITHMS, *EC_ALGORITHMS.values())
"""The only algorithms that Okta accepts for a client assertion."""
