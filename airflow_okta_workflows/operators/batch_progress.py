"""Progress of a batch: what became of its items, for the log."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from airflow_okta_workflows import metrics
from airflow_okta_workflows.core.batch.records import in_words, item_label
from airflow_okta_workflows.core.flows.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_okta_workflows.core.batch.items import BatchItem
    from airflow_okta_workflows.core.batch.records import BatchRecord
    from airflow_okta_workflows.exceptions import OktaWorkflowsError

log = logging.getLogger(__name__)

_PROGRESS_EVERY = 10.0
"""Seconds between two progress log lines."""
_ERRORS_LOGGED = 10


class BatchProgress:
    """Counts of a batch, which it logs now and then.

    :param flow: the name of the flow
    :param tag: the flow as a tag of metrics
    :param monotonic: returns seconds of a clock that never goes back
    :param earlier: number of records kept from earlier tries, by outcome
    :param open_calls: returns the number of open calls, and of items whose run is waited for
    """

    def __init__(
        self,
        flow: str,
        tag: str,
        monotonic: Callable[[], float],
        earlier: Mapping[Outcome, int],
        open_calls: Callable[[], tuple[int, int]],
    ) -> None:
        self.counts = Counter(earlier)
        """Number of items with each outcome."""
        self.to_send = 0
        """Number of invocations, including those that have been sent."""
        self._flow = flow
        self._tag = tag
        self._earlier = dict(self.counts)
        self._monotonic = monotonic
        self._open_calls = open_calls
        self._started = 0
        self._began_at = self._last_told = monotonic()

    def starts(self) -> None:
        """Count one more invocation."""
        self._started += 1
        self._tell_now_and_then()

    def settles(self, item: BatchItem, record: BatchRecord, error: OktaWorkflowsError | None) -> None:
        """Count the outcome of one more item.

        :param item: the item
        :param record: its record
        :param error: why it did not succeed, or None
        """
        self.counts[record.outcome] += 1
        if error:
            failures = self.counts.total() - self.counts[Outcome.SUCCEEDED]
            if failures <= _ERRORS_LOGGED:
                log.warning("%s: %s", item_label(item.index, item.name), error)
            if failures == _ERRORS_LOGGED:
                log.warning("Further failures are counted, and are only in the records")
        self._tell_now_and_then()

    def ends(self) -> None:
        """Log the numbers, and send them as metrics."""
        self.tell("ended")
        for outcome, number in self.counts.items():
            if settled := number - self._earlier.get(outcome, 0):
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
            in_words(self.counts),
            open_calls,
            f", {waiting} waited for" if waiting else "",
            rate,
            time_left,
        )
