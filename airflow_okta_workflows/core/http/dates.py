"""Dates in HTTP headers (RFC 9110, section 5.6.7)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def http_date(text: str) -> float | None:
    """Return an HTTP date in seconds since the epoch; None if the value is not a date.

    :param text: the value of a header
    """
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
