"""Responses of the local org, as sent over the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class RawResponse:
    """One response, as sent over the wire.

    :param status: the HTTP status
    :param body: the encoded body
    :param headers: its headers
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(status: int, value: Any) -> RawResponse:
    """Return a response with a JSON body.

    :param status: the HTTP status
    :param value: the body as a JSON value
    """
    return RawResponse(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


class BrokenOff(Exception):  # noqa: N818  # control flow, not an error
    """The end of an exchange without a complete response."""
