"""Responses of the local org, as sent over the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.retry.pacer import FLOW_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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


def with_headers(response: RawResponse, headers: Mapping[str, str]) -> RawResponse:
    """Return a response with further headers, which do not override its own.

    :param response: the response
    :param headers: the headers
    """
    return RawResponse(response.status, response.body, {**headers, **response.headers}) if headers else response


def rate_headers(names: Iterable[str], limit: int | None, now: float) -> dict[str, str]:
    """Return rate limit headers, according to which the limit is used up and resets in one second.

    :param names: their names, in lower case
    :param limit: the limit; None for Okta's
    :param now: the org's time, in seconds since the epoch
    """
    values = {
        "x-rate-limit-limit": str(limit or int(FLOW_RATE)),
        "x-rate-limit-remaining": "0",
        "x-rate-limit-reset": str(int(now) + 1),
    }
    return {header_name(name).title(): values.get(name, "1") for name in names}


def header_name(observed: str) -> str:
    """Return a name for a header whose observed name may have a placeholder, such as ``x-<org>-limit``.

    :param observed: the observed name
    """
    return observed.replace("<", "").replace(">", "")


class BrokenOff(Exception):  # noqa: N818  # control flow, not an error
    """The end of an exchange without a complete response."""
