"""The local clock beside the org's, as far as an answer's ``Date`` tells it (RFC 9110, section 6.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.http.dates import http_date
from airflow_okta_workflows.core.oauth.client_assertion import BACKDATED
from airflow_okta_workflows.core.oauth.hints import clock_hint

if TYPE_CHECKING:
    from collections.abc import Mapping


def clock_offset(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds by which the local clock is ahead of a server's; None if its answer has no ``Date``.

    :param headers: the headers of the answer, looked up without regard to case
    :param now: the local time when it came, in seconds since the epoch
    """
    date = http_date(headers.get("Date", ""))
    return None if date is None else now - date


def require_clock(offset: float, lifetime: int) -> None:
    """Refuse a clock by which no client assertion is valid at the org: issued in its future, or ended.

    :param offset: seconds by which the local clock is ahead of the org's
    :param lifetime: seconds that an assertion is good for
    :raises CoreError: with what to change
    """
    if not -lifetime < offset <= BACKDATED:
        raise configuration_error("The org takes no client assertion made by this clock.", clock_hint(offset))
