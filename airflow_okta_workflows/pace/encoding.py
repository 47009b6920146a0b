"""The state of a pacer as bytes of a fixed number, as the file of a host and the key of a Redis server have it."""

from __future__ import annotations

import struct
import zlib
from math import inf

from airflow_okta_workflows.core.retry.pacer import IDLE, MOST_TAKEN, PaceState

MAGIC = b"okta-workflows-pace-1\n"
_LAYOUT = struct.Struct(f"<{len(MAGIC)}s3dI2dB{MOST_TAKEN}d")
_CHECKSUM = struct.Struct("<I")
ENCODED_SIZE = _LAYOUT.size + _CHECKSUM.size
"""Number of bytes."""


def encode(state: PaceState) -> bytes:
    """Return a state as bytes.

    :param state: the state
    """
    *numbers, taken = state
    moments = (*taken, *[inf] * (MOST_TAKEN - len(taken)))
    data = _LAYOUT.pack(MAGIC, *numbers, len(taken), *moments)
    return data + _CHECKSUM.pack(zlib.crc32(data))


def decode(data: bytes) -> PaceState:
    """Return the state that bytes contain; that of an idle flow if they are damaged or none.

    :param data: the bytes
    """
    if len(data) != ENCODED_SIZE or _CHECKSUM.unpack_from(data, _LAYOUT.size)[0] != zlib.crc32(data[: _LAYOUT.size]):
        return IDLE
    magic, at, next_moment, slowed, refused, back_at, held_until, count, *taken = _LAYOUT.unpack_from(data)
    if magic != MAGIC:
        return IDLE
    return PaceState(at, next_moment, slowed, refused, back_at, held_until, tuple(taken[:count]))
