"""Delays before a retry: exponential backoff, ``Retry-After`` and the budget for rate limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_okta_workflows.core.http.dates import http_date

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ATTEMPTS = 3
"""Maximum number of attempts, the first included, where a retry is safe."""

LONGEST_ASKED = 86_400.0
"""Upper bound, in seconds, of the wait that a host requests: a longer one most often has another unit."""

_SHORTEST = 0.5
_LONGEST = 30.0


def backoff(failures: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait after consecutive failures: exponential backoff with jitter.

    The delay is 50 to 100 % of 1 s after the first failure, doubled for each further one, at most 30 s.

    :param failures: the number of consecutive failures, at least 1
    :param random: returns numbers from 0 to 1, for the jitter
    """
    return min(_LONGEST, _SHORTEST * 2.0 ** min(failures, 10)) * (0.5 + random() / 2)


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a 429 asks its caller to wait, at most a day; None if it does not say.

    ``Retry-After`` (RFC 9110, section 10.2.3) takes precedence over Okta's ``X-Rate-Limit-Reset``. Points in time are
    compared with the response's own ``Date``, so that the local clock does not matter.

    :param headers: the headers of the response, looked up without regard to case
    :param now: the local time, in seconds since the epoch, for a response without a ``Date``
    """
    date = http_date(headers.get("Date", ""))
    reference = now if date is None else date
    retry_after = headers.get("Retry-After", "").strip()
    if retry_after:
        seconds = _number(retry_after)
        if seconds is None and (moment := http_date(retry_after)) is not None:
            seconds = moment - reference
        if seconds is not None:
            return _within_bounds(seconds)
    # A gateway with several rate limit windows sends several values; after the latest, all windows have been reset.
    resets = [_number(value) for value in headers.get("X-Rate-Limit-Reset", "").split(",")]
    known = [reset for reset in resets if reset is not None]
    return _within_bounds(max(known) - reference) if known else None


class RetryBudget:
    """The time that one call may spend waiting on 429.

    :param seconds: the budget
    :param random: returns numbers from 0 to 1, for the jitter
    """

    def __init__(self, seconds: float, random: Callable[[], float]) -> None:
        self._left = seconds
        self._random = random
        self._refusals = 0

    def spend(self, asked: float | None) -> float | None:
        """Return the seconds to wait now, or None if they exceed the remaining budget.

        :param asked: the seconds that the host asked for; None or 0 gives a backoff, so that the wait is never zero
        """
        self._refusals += 1
        # Without jitter, callers that were refused together would retry together.
        seconds = asked + _SHORTEST * self._random() if asked else backoff(self._refusals, self._random)
        if seconds > self._left:
            return None
        self._left -= seconds
        return seconds


def _within_bounds(seconds: float) -> float:
    return min(max(0.0, seconds), LONGEST_ASKED)


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
