"""Operator that invokes a flow once for each of many payloads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import determine_kwargs

from airflow_okta_workflows.core.flows.encoding import check_as_parsed
from airflow_okta_workflows.core.flows.expressions import compile_optional
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.retry.pacer import FLOW_RATE, check_pace
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.operators.base import FlowOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.core.batch.records import BatchRecord
    from airflow_okta_workflows.operators.batch_runner import BatchRun


class InvokeOktaFlowBatchOperator(FlowOperator):
    """Operator that invokes an OAuth 2.0 secured flow once for each of many payloads, from one task.

    Okta accepts ten invocations of one flow per second. The operator sends them evenly spaced, over one connection pool
    and with one token; the slower the flow, the more calls are open at once. A 429 throttles all of them, and no item
    is lost or duplicated.

    Each item has its own ``Idempotency-Key``. On Airflow 3.3 the task state store has a checkpoint of each item from
    before it is sent, and then its outcome. A retry sends the items that were not sent and those that failed. It keeps
    those that succeeded, and reports those whose outcome is unknown instead of sending them again, unless
    ``idempotent``. Clearing the task by hand starts over. Before 3.3 a retry sends everything again.

    With ``status`` the operator waits for the end of each item's run. An item whose outcome is unknown, in this try or
    an earlier one, is asked about at the status flow's own pace, and is sent again only if its run never began. An item
    that waits for its end is not one of the ``max_in_flight`` calls.

    XCom: one record per payload, in order: ``{"index", "key", "outcome", "status_code", "execution_id", "result",
    "error"}``, with the outcome ``succeeded``, ``failed``, ``unknown`` or ``not_sent``. A task that fails pushes the
    records under the key ``records``.

    The parameters ``flow``, ``query``, ``headers``, ``success_when``, ``result``, ``response_check``, ``idempotent``,
    ``status``, ``timeout`` and ``okta_workflows_conn_id`` are those of
    :class:`~airflow_okta_workflows.operators.base.FlowOperator`, and apply to each item. ``response_check`` runs on the
    event loop that sends the invocations, so it has to be fast.

    :param payloads: a list of JSON values, a JSON string of such a list, the XCom of a task that returns one, or a
        callable that returns an iterable and takes by name any of the context's variables (templated)
    :param item_key: a JMESPath expression over a payload that selects its identity, such as ``email``. With it the
        tries of a task recognize a payload even if the list has changed. Without it they compare position and content,
        and a changed list is an error
    :param max_rate: most invocations per second of this batch. It only lowers the batch's share of the flow's pace,
        whose limit is ``[okta_workflows] flow_rate``
    :param max_in_flight: most calls that may be open at the same time
    :param on_error: ``fail``: the task fails at the end unless all succeeded; ``collect``: it returns the records
    :raises OktaConfigurationError: for an argument, a payload or a connection that cannot work; nothing was sent
    :raises OktaTokenError: if the org grants no token; nothing was sent
    :raises OktaFlowFailedError: with ``on_error="fail"``, if a retry may succeed
    :raises OktaFlowOutcomeUnknownError: with ``on_error="fail"`` and without ``idempotent`` or ``status``, if the
        outcome of every item that did not succeed is unknown
    """

    template_fields: Sequence[str] = ("flow", "payloads", "query", "headers", "status", "okta_workflows_conn_id")

    def __init__(
        self,
        *,
        payloads: Iterable[Any] | str | Callable[..., Iterable[Any]],
        item_key: str | None = None,
        max_rate: float = FLOW_RATE,
        max_in_flight: int = 600,
        on_error: Literal["fail", "collect"] = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.payloads = payloads
        self.item_key = item_key
        self.max_rate = max_rate
        self.max_in_flight = max_in_flight
        self.on_error = on_error
        self._run: BatchRun | None = None
        if on_error not in ("fail", "collect"):
            raise OktaConfigurationError(
                f"on_error is {shown(on_error, 20)}.", hint="OKW-1606: Set it to 'fail' or 'collect'."
            )
        if isinstance(payloads, Iterator):
            raise OktaConfigurationError(
                "payloads is an iterator, which is used up by the first try.",
                hint="OKW-1607: Give a list, or a callable that returns an iterable.",
            )
        with raise_provider_errors(), NoFrames():
            check_pace(max_rate, max_in_flight)
            check_as_parsed("POST", None, self.query, self.headers)
            compile_optional(item_key, "item_key")

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Invoke the flow for each payload, and return the records.

        :param context: the task's context
        """
        from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
        from airflow_okta_workflows.core.batch.items import check_unchanged, parse_items
        from airflow_okta_workflows.operators.batch_runner import BatchRun
        from airflow_okta_workflows.operators.batch_status import BatchStatus

        self._begin()
        self._link(context)
        hook = self.hook
        checkpoints = BatchCheckpointStore(context, self.flow)
        with raise_provider_errors(), NoFrames():
            template = hook.settings.build_invocation(self.flow, {}, idempotency_key=checkpoints.key, **self._options)
            items = parse_items(
                self._read_payloads(context), checkpoints.key, compile_optional(self.item_key, "item_key")
            )
            if self.item_key is None:
                check_unchanged(items, checkpoints.earlier)
        status = None
        if self.status:
            status = BatchStatus(
                self.flow, self.status, hook, read_timeout=self._read_timeout, checkpointed=checkpoints.is_kept
            )
        self.log.info("Batch of %d invocations of flow %r, at most %g/s", len(items), self.flow, self.max_rate)
        self._run = BatchRun(
            hook,
            template,
            items,
            checkpoints=checkpoints,
            evaluate=lambda response, key: self._evaluate(response, context, key),
            max_rate=self.max_rate,
            max_in_flight=self.max_in_flight,
            status=status,
        )
        records = self._run.run()
        key_of = self._run.key_of
        told = [{"index": i.index, "key": key_of(i), **r.to_json()} for i, r in zip(items, records, strict=True)]
        if error := self._error(records):
            context["ti"].xcom_push(key="records", value=told)
            raise error
        return told

    def on_kill(self) -> None:
        """Send nothing more, and give open calls a few seconds; the log and the checkpoints record what was sent.

        With a ``cancel_flow``, cancel the runs that may be under way, as many as these seconds allow.
        """
        super().on_kill()
        if self._run:
            self._run.stop()

    def _read_payloads(self, context: Context) -> Any:
        if callable(self.payloads):
            return self.payloads(**determine_kwargs(self.payloads, [], context))
        return self.payloads

    def _error(self, records: Sequence[BatchRecord]) -> OktaWorkflowsError | None:
        """Return the error that the task has to raise; None if it returns the records."""
        from airflow_okta_workflows.core.batch.records import count, first_errors, in_words
        from airflow_okta_workflows.core.flows.outcome import Outcome

        counts = count(records)
        failed = len(records) - counts[Outcome.SUCCEEDED]
        stopped = self._run is not None and self._run.stopped
        if not stopped and (not failed or self.on_error == "collect"):
            return None
        summary = f"{failed} of {len(records)} invocations failed ({in_words(counts)})."
        stop = ["The task was stopped."] if stopped else []
        unknown = counts[Outcome.UNKNOWN] == failed and not self.idempotent and self.status is None
        return (OktaFlowOutcomeUnknownError if unknown else OktaFlowFailedError)(
            summary,
            hint="OKW-1610: Look at each record's error in the XCom 'records'.",
            detail="\n".join([*stop, *first_errors(records)]),
            flow=self.flow,
        )
