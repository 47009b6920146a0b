"""Plan of a try of a batch: which items are settled, sent, or asked about, and under which keys."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.batch.records import BatchRecord
from airflow_okta_workflows.core.flows.exactly_once import Knowledge, KnownRun
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun, derive_key, unpacked_key
from airflow_okta_workflows.core.flows.outcome import Outcome

if TYPE_CHECKING:
    from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore, ItemCheckpoint
    from airflow_okta_workflows.core.batch.items import BatchItem
    from airflow_okta_workflows.operators.batch_items import BatchItems
    from airflow_okta_workflows.operators.batch_question import Answered
    from airflow_okta_workflows.operators.batch_records import BatchRecords

LEFT_UNKNOWN = "an earlier try of this task was cut off while it was under way; it may have run and is not sent again"
STOPPED = "the task was stopped before it was sent"
STOPPED_OPEN = "the task was stopped while it was under way; it may have run"
STOPPED_WAITING = "the task was stopped before the end of the run was known; a retry asks the status flow"


class BatchPlan:
    """What a try does with each item of a batch.

    The plan sets the records of settled items, and of payloads that cannot be sent.

    :param items: the items
    :param records: the records
    :param checkpoints: the checkpoints of earlier tries
    :param idempotent: whether running the flow twice under one key does no harm
    :param has_status: whether there is a status flow
    :param answered: what is settled after a person was asked, or None
    """

    def __init__(
        self,
        items: BatchItems,
        records: BatchRecords,
        checkpoints: BatchCheckpointStore,
        *,
        idempotent: bool,
        has_status: bool,
        answered: Answered | None,
    ) -> None:
        self.to_send = array("Q")
        """Indices of the items to send."""
        self.to_ask = array("Q")
        """Indices of the items about which the status flow is asked."""
        self.to_report = array("Q")
        """Indices of the items whose responses a person has looked up."""
        self._checkpoints = checkpoints
        self._idempotent = idempotent
        self._answered = answered
        self._missing = items.missing
        self._records = records
        for bad in items.bad:
            records.put(bad.index, bad.name, None, BatchRecord(Outcome.FAILED, error=bad.problem))
        self.cannot_be_sent = len(items.bad)
        """Number of payloads that cannot be sent."""
        # Only of items that have failed, so that the plan stays small.
        self._ordinals: dict[str, int] = {}
        if not (checkpoints.earlier or has_status or answered):
            # The first try of a batch: no item needs to be looked at.
            self.to_send.extend(items.indices())
            return
        for item in items:
            known = checkpoints.known_run(item.key) if has_status else None
            if known and known.knowledge is not Knowledge.NEVER_SENT:
                self.set_ordinal(item, known.run.ordinal)
                self.to_ask.append(item.index)
            elif record := self._settled(item, checkpoints.earlier.get(item.key)):
                records.put(item.index, item.name, self.key_of(item), record)
                self.forget(item)
            elif answered and item.key in answered.reported:
                self.to_report.append(item.index)
            else:
                self.to_send.append(item.index)

    def ordinal(self, item: BatchItem) -> int:
        """Return how many runs of an item are known to have failed.

        :param item: the item
        """
        return self._ordinals.get(item.key, 0)

    def set_ordinal(self, item: BatchItem, ordinal: int) -> None:
        """Set how many runs of an item are known to have failed.

        :param item: the item
        :param ordinal: the number
        """
        if ordinal or item.key in self._ordinals:
            self._ordinals[item.key] = ordinal

    def forget(self, item: BatchItem) -> None:
        """Forget an item that is settled.

        :param item: the item
        """
        self._ordinals.pop(item.key, None)

    def key_of(self, item: BatchItem) -> str:
        """Return the idempotency key under which an item was, or would be, sent.

        :param item: the item
        """
        return derive_key(item.key, self.ordinal(item))

    def known_run(self, item: BatchItem) -> KnownRun:
        """Return what is known about the run of an item about which the status flow is asked.

        :param item: the item
        """
        return self._checkpoints.known_run(item.key) or self.never_sent(item)

    def never_sent(self, item: BatchItem) -> KnownRun:
        """Return what is known about the run of an item that is to be sent.

        :param item: the item
        """
        return KnownRun(WantedRun(item.key, None, self.ordinal(item)), Knowledge.NEVER_SENT)

    def append_missing(self) -> None:
        """Append the records of items that an earlier try has sent and that are not among the payloads any more."""
        for identity in sorted(self._missing):
            key = unpacked_key(identity)
            checkpoint = self._checkpoints.earlier[key]
            record = checkpoint.record or BatchRecord(Outcome.UNKNOWN, error=LEFT_UNKNOWN)
            if record.outcome is not Outcome.NOT_SENT:
                self._records.append(None, checkpoint.name, derive_key(key, checkpoint.ordinal), record)

    def _settled(self, item: BatchItem, checkpoint: ItemCheckpoint | None) -> BatchRecord | None:
        """Return the record of an item that must not be sent; None if it may be sent."""
        if self._answered:
            # The same try continues, so failed items are not run again.
            self.set_ordinal(item, checkpoint.ordinal if checkpoint else 0)
            return self._answered.records.get(item.key)
        if checkpoint is None:
            return None
        record = checkpoint.record or BatchRecord(Outcome.UNKNOWN, error=LEFT_UNKNOWN)
        # A run that is known to have failed is final: the retry wants another run, with another key.
        self.set_ordinal(item, checkpoint.ordinal + (record.outcome is Outcome.FAILED))
        if record.outcome is Outcome.SUCCEEDED or (record.outcome is Outcome.UNKNOWN and not self._idempotent):
            return record
        return None
