"""Progress of a batch: what became of its items, for the log."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from airflow_okta_workflows import metrics
from airflow_okta_workflows.core.batch.records import in_words, item_label
from airflow_okta_workflows.core.flows.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.batch.items import BatchItem

log = logging.getLogger(__name__)

_PROGRESS_EVERY = 10.0
"""Seconds between two progress log lines."""
_ERRORS_LOGGED = 10


class BatchProgress:
    """Counts of a batch, which it logs now and then.

    :param flow: the name of the flow
    :param tag: the flow as a tag of metrics
    :param monotonic: returns seconds of a clock that never goes back
    :param counts: number of records with each outcome, now and later
    :param bad: how many of them are of payloads that cannot be sent
    :param open_calls: returns the number of open calls, and of items whose run is waited for
    """

    def __init__(
        self,
        flow: str,
        tag: str,
        monotonic: Callable[[], float],
        counts: Counter[Outcome],
        bad: int,
        open_calls: Callable[[], tuple[int, int]],
    ) -> None:
        self._counts = counts
        self.to_send = 0
        """Number of invocations, including those that have been sent."""
        self._flow = flow
        self._tag = tag
        self._earlier = counts - Counter({Outcome.FAILED: bad})
        self._monotonic = monotonic
        self._open_calls = open_calls
        self._started = 0
        self._began_at = self._last_told = monotonic()

    def starts(self) -> None:
        """Count one more invocation."""
        self._started += 1
        self._tell_now_and_then()

    def settles(self, item: BatchItem, error: str | None) -> None:
        """Log the failure of one more item, unless there have been many.

        :param item: the item
        :param error: why it did not succeed, or None
        """
        if error:
            failures = self._counts.total() - self._counts[Outcome.SUCCEEDED]
            if failures <= _ERRORS_LOGGED:
                log.warning("%s: %s", item_label(item.index, item.name), error)
            if failures == _ERRORS_LOGGED:
                log.warning("Further failures are counted, and are only in the records")
        self._tell_now_and_then()

    def ends(self) -> None:
        """Log the numbers, and send them as metrics."""
        self.tell("ended")
        for outcome, number in self._counts.items():
            if settled := number - self._earlier[outcome]:
                metrics.count("batch.items", settled, flow=self._tag, outcome=outcome.value)
        metrics.gauge("batch.rate", self._rate, flow=self._tag)

    @property
    def _rate(self) -> float:
        return self._started / max(self._monotonic() - self._began_at, 1e-9)

    def _tell_now_and_then(self) -> None:
        now = self._monotonic()
        if now - self._last_told >= _PROGRESS_EVERY:
            self._last_told = now
            self.tell("under way")

    def tell(self, how: str) -> None:
        """Log the numbers.

        :param how: how the batch is doing
        """
        rate = self._rate
        left = self.to_send - self._started
        time_left = f", about {left / rate:.0f} s left" if left and rate and how != "ended" else ""
        open_calls, waiting = self._open_calls()
        log.info(
            "Batch of flow %r %s: %d of %d sent, %s, %d open%s; %.1f/s%s",
            self._flow,
            how,
            self._started,
            self.to_send,
            in_words(self._counts),
            open_calls,
            f", {waiting} waited for" if waiting else "",
            rate,
            time_left,
        )
