"""The skew of the local clock against the org's, by the ``Date`` of a response (RFC 9110, section 6.6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.http.dates import http_date
from airflow_okta_workflows.core.oauth.client_assertion import BACKDATED
from airflow_okta_workflows.core.oauth.hints import clock_hint

if TYPE_CHECKING:
    from collections.abc import Mapping


def clock_offset(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds by which the local clock is ahead of a server's; None without a valid ``Date``.

    :param headers: the headers of the response, looked up without regard to case
    :param now: the local time when the response arrived, in seconds since the epoch
    """
    date = http_date(headers.get("Date", ""))
    return None if date is None else now - date


def require_clock(offset: float, lifetime: int) -> None:
    """Raise if the clock skew makes every client assertion invalid at the org: issued in the future, or expired.

    :param offset: seconds by which the local clock is ahead of the org's
    :param lifetime: seconds that an assertion is valid
    :raises CoreError: if the skew is too large
    """
    if not -lifetime < offset <= BACKDATED:
        raise configuration_error("This machine's clock makes every client assertion invalid.", clock_hint(offset))
