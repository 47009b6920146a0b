"""UUIDs as strings (RFC 9562), each made at a fraction of what an object of the ``uuid`` module costs.

Each poll of a sensor has a random one, and each item of a batch has one that is derived from its name.
"""

from __future__ import annotations

import hashlib
import os


def uuid_text(digits: str) -> str:
    """Return a UUID with its hyphens.

    :param digits: its 32 hexadecimal digits
    """
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def random_uuid() -> str:
    """Return a random UUID (section 5.4)."""
    return _formatted(os.urandom(16).hex(), 4)


def named_uuid(namespace: bytes, name: str) -> str:
    """Return the UUID of a name in a namespace, the same for the same name (section 5.5).

    :param namespace: the namespace, a UUID as 16 bytes
    :param name: the name
    """
    return _formatted(hashlib.sha1(namespace + name.encode(), usedforsecurity=False).hexdigest(), 5)


def _formatted(digits: str, version: int) -> str:
    # The variant of RFC 9562 is 10 in binary, before two bits of the value.
    variant = "89ab"[int(digits[16], 16) % 4]
    return uuid_text(f"{digits[:12]}{version}{digits[13:16]}{variant}{digits[17:32]}")
