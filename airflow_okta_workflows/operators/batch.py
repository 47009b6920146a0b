"""Operator that invokes a flow once for each of many payloads."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import determine_kwargs

from airflow_okta_workflows.core.flows.encoding import check_as_parsed
from airflow_okta_workflows.core.flows.expressions import compile_optional
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.retry.pacer import FLOW_RATE, check_pace
from airflow_okta_workflows.exceptions import (
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.operators.asking import AskingOperator
from airflow_okta_workflows.operators.batch_arguments import SqlRows, check_on_error, check_options, check_payloads
from airflow_okta_workflows.operators.on_unknown import GIVE_UP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
    from airflow_okta_workflows.operators.batch_items import BatchItems
    from airflow_okta_workflows.operators.batch_records import BatchRecords
    from airflow_okta_workflows.operators.batch_runner import BatchRun
    from airflow_okta_workflows.operators.records_file import RecordsFile
    from airflow_okta_workflows.operators.status_flow import StatusFlow


MOST_LISTED = 1_000
"""Unknown items whose time of sending is kept for the case that the question has to be asked again."""


class InvokeOktaFlowBatchOperator(AskingOperator):
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

    The payloads are read once, as a stream, before the first is sent. They and the records are kept in temporary files
    without a name, so memory does not grow with the batch.

    XCom: one record per payload, in order: ``{"index", "item", "key", "outcome", "status_code", "execution_id",
    "result", "error"}``, with the outcome ``succeeded``, ``failed``, ``unknown`` or ``not_sent``; ``item`` is the value
    of ``item_key``, and ``key`` the last idempotency key. Then follow records of items that an earlier try has sent and
    that are not among the payloads any more, with no ``index``. With ``records_path`` the records are in that file, and
    the XCom is ``{"path", "counts", "first_errors"}``. A task that fails pushes its XCom under the key ``records``.

    The parameters ``flow``, ``query``, ``headers``, ``success_when``, ``result``, ``response_check``, ``idempotent``,
    ``status``, ``timeout`` and ``okta_workflows_conn_id`` are those of
    :class:`~airflow_okta_workflows.operators.base.FlowOperator`, and apply to each item. ``response_check`` runs on the
    event loop that sends the invocations, so it has to be fast.

    :param payloads: a list of JSON values, a JSON string of such a list, the XCom of a task that returns one; an
        ``ObjectStoragePath`` or a ``pathlib.Path`` of JSON Lines, of CSV with a header, or of a JSON list, also with
        gzip; ``SqlRows``; a frame of Arrow, pandas or polars; or a callable that returns one of these or another
        iterable, and takes by name any of the context's variables (templated)
    :param item_key: a JMESPath expression over a payload that selects its identity, such as ``email``. With it the
        tries of a task recognize a payload even if the list has changed. Without it they compare position and content,
        and a changed list is an error. A file and a query need it
    :param max_rate: most invocations per second of this batch. It only lowers the batch's share of the flow's pace,
        whose limit is ``[okta_workflows] flow_rate``
    :param max_in_flight: most calls that may be open at the same time
    :param on_unknown: ``fail``: an item whose outcome is unknown counts as failed; ``ask``: once all others are
        settled, a person decides about all such items in one question, in Airflow's Required Actions (Airflow 3.1+).
        Not together with ``status``
    :param on_error: ``fail``: nothing is sent if any payload cannot be, and the task fails at the end unless all
        succeeded; ``collect``: a payload that cannot be sent is a failed record, and the task returns the records
    :param records_path: an ``ObjectStoragePath``, the URL of one, or a local path, of a file for the records as JSON
        Lines; an existing file is replaced (templated)
    :raises OktaConfigurationError: for an argument, a payload or a connection that cannot work; nothing was sent
    :raises OktaBatchFileError: if the payloads cannot be read, or the records cannot be written, now
    :raises OktaTokenError: if the org grants no token; nothing was sent
    :raises OktaFlowFailedError: with ``on_error="fail"``, if a retry may succeed
    :raises OktaFlowOutcomeUnknownError: with ``on_error="fail"`` and without ``idempotent`` or ``status``, if the
        outcome of every item that did not succeed is unknown
    """

    template_fields: Sequence[str] = (
        "flow",
        "payloads",
        "query",
        "headers",
        "status",
        "records_path",
        "okta_workflows_conn_id",
    )

    def __init__(
        self,
        *,
        flow: str,
        payloads: Iterable[Any] | str | ObjectStoragePath | SqlRows | Callable[..., Any],
        item_key: str | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        max_rate: float = FLOW_RATE,
        max_in_flight: int = 600,
        on_error: Literal["fail", "collect"] = "fail",
        success_when: str | None = None,
        result: str | None = None,
        response_check: Callable[..., bool] | None = None,
        idempotent: bool = False,
        status: StatusFlow | None = None,
        on_unknown: Literal["fail", "ask"] = "fail",
        records_path: ObjectStoragePath | str | None = None,
        timeout: float | timedelta | None = None,
        okta_workflows_conn_id: str = "okta_workflows_default",
        **kwargs: Any,
    ) -> None:
        check_options(kwargs, records_path)
        super().__init__(
            flow=flow,
            query=query,
            headers=headers,
            success_when=success_when,
            result=result,
            response_check=response_check,
            idempotent=idempotent,
            status=status,
            on_unknown=on_unknown,
            timeout=timeout,
            okta_workflows_conn_id=okta_workflows_conn_id,
            **kwargs,
        )
        # A copy, because Airflow renders its templates in place, and mapped tasks share the original.
        self.payloads = payloads
        if isinstance(payloads, SqlRows):
            self.payloads = copy(payloads)
            self._set_upstream(payloads)
        self.item_key = item_key
        self.max_rate = max_rate
        self.max_in_flight = max_in_flight
        self.on_error = on_error
        self.records_path = records_path
        self._run: BatchRun | None = None
        with raise_provider_errors(), NoFrames():
            check_pace(max_rate, max_in_flight)
            check_as_parsed("POST", None, self.query, self.headers)
            compile_optional(item_key, "item_key")
            check_on_error(on_error)
            check_payloads(payloads, item_key)

    def execute(self, context: Context) -> Any:
        """Invoke the flow for each payload, and return the records, or with ``records_path`` where they are.

        :param context: the task's context
        """
        self._begin()
        self._link(context)
        return self._run_batch(context, self._execution_deadline())

    def answer_complete(
        self,
        context: Context,
        event: Any = None,
        sent: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Any:
        """Do what the person answered.

        :param context: the task's context
        :param event: the answer, from Airflow
        :param sent: when the unknown items were sent, as text, by their idempotency keys
        :param deadline: when ``execution_timeout`` is over, in seconds since the epoch, or None
        """
        from airflow_okta_workflows.operators.batch_question import OPTIONS, sort_answers
        from airflow_okta_workflows.operators.question import parse_answer

        self._begin()
        told = self._earlier_records(context)
        answer = parse_answer(event, OPTIONS)
        self._require_in_time(answer)
        if answer.choice == GIVE_UP:
            return self._end(told)
        unknown = told.unknown_keys()
        bodies, problem = (
            ({}, answer.problem) if answer.problem else sort_answers(answer.choice, answer.entered, unknown)
        )
        if problem:
            self.log.warning("The answer cannot be used: %s The question is asked again.", problem)
            return self._ask_about(context, told, sent or {}, deadline, problem)
        return self._run_batch(context, deadline, (told, {unknown[index]: bodies[index] for index in bodies}))

    def _earlier_records(self, context: Context) -> BatchRecords:
        """Return the records of the process that has asked."""
        from airflow_okta_workflows.operators.batch_records import BatchRecords
        from airflow_okta_workflows.operators.records_file import open_path, read_records

        ti = context["ti"]
        told = ti.xcom_pull(task_ids=ti.task_id, key="records", map_indexes=ti.map_index)
        if self.records_path is not None:
            records = read_records(open_path(self.records_path))
        else:
            records = iter(told) if isinstance(told, list) else None
        if told is None or records is None:
            raise self._unanswered("its records, in the XCom 'records', are gone")
        return BatchRecords.of(records)

    def _run_batch(
        self, context: Context, deadline: float | None, answers: tuple[BatchRecords, Mapping[str, Any]] | None = None
    ) -> Any:
        """Invoke the flow for each item that is not settled, and ask a person about those of unknown outcome.

        :param answers: after a person was asked: the records, and the bodies of the runs that the person has looked up,
            by idempotency key
        """
        from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
        from airflow_okta_workflows.core.flows.outcome import Outcome
        from airflow_okta_workflows.operators.batch_question import read_answers
        from airflow_okta_workflows.operators.batch_records import BatchRecords
        from airflow_okta_workflows.operators.batch_runner import BatchRun
        from airflow_okta_workflows.operators.batch_status import BatchStatus
        from airflow_okta_workflows.operators.records_file import RecordsFile, open_path
        from airflow_okta_workflows.pace.configured import configured_pace

        hook = self.hook
        checkpoints = BatchCheckpointStore(context, self.flow, self.item_key)
        if checkpoints.done is not None:
            self.log.info("All items were settled in an earlier try, which was then cut off: nothing is sent")
            return checkpoints.done
        with raise_provider_errors(), NoFrames():
            template = hook.settings.build_invocation(self.flow, {}, idempotency_key=checkpoints.key, **self._options)
            file = None if self.records_path is None else RecordsFile(open_path(self.records_path))
            items = self._read_items(context, checkpoints, file)
        answered = read_answers(items, checkpoints.earlier, *answers) if answers else None
        pace, status = configured_pace(), None
        if self.status:
            status = BatchStatus(
                self.flow,
                self.status,
                hook,
                pace=pace,
                read_timeout=self._read_timeout,
                checkpointed=checkpoints.is_kept,
            )
        self.log.info("Batch of %d invocations of flow %r, at most %g/s", len(items), self.flow, self.max_rate)
        records = BatchRecords(len(items))
        self._run = BatchRun(
            hook,
            template,
            items,
            records,
            checkpoints=checkpoints,
            evaluate=lambda response, key: self._evaluate(response, context, key),
            pace=pace,
            max_rate=self.max_rate,
            max_in_flight=self.max_in_flight,
            status=status,
            answered=answered,
            file=file,
        )
        try:
            self._run.run()
        except Exception:
            if set(+records.counts) - {Outcome.NOT_SENT}:
                context["ti"].xcom_push(key="records", value=self._xcom(records))
            raise
        if self._asks and not self.idempotent and (unknown := records.unknown_keys()):
            sent = {key: sent_at for index, key in unknown.items() if (sent_at := self._run.sent_at(index))}
            return self._ask_about(context, records, sent, deadline)
        return self._end(records, context, checkpoints)

    def _read_items(self, context: Context, checkpoints: BatchCheckpointStore, file: RecordsFile | None) -> BatchItems:
        from airflow_okta_workflows.core.batch.items import check_item_key, check_unchanged, parse_items
        from airflow_okta_workflows.operators.batch_items import BatchItems
        from airflow_okta_workflows.operators.batch_source import open_source
        from airflow_okta_workflows.operators.records_file import check_own_file

        check_item_key(checkpoints.earlier_item_key, self.item_key)
        item_key = compile_optional(self.item_key, "item_key")
        payloads = self._read_payloads(context)
        if file is not None:
            check_own_file(file.path, payloads, context)
        with open_source(payloads, self.item_key) as source:
            items = BatchItems(
                parse_items(source.rows, checkpoints.key, item_key, source.unit), earlier=checkpoints.earlier
            )
        if self.on_error == "fail":
            items.require_good()
        elif items.bad:
            self.log.warning("%d payloads cannot be sent, such as %s", len(items.bad), items.bad[0].problem)
        if self.item_key is None:
            check_unchanged(items.missing)
        elif items.missing:
            self.log.warning(
                "%d items that an earlier try has sent are not among the payloads any more. They are not sent, and"
                " their records follow those of the others.",
                len(items.missing),
            )
        return items

    def _ask_about(
        self,
        context: Context,
        told: BatchRecords,
        sent: Mapping[str, str],
        deadline: float | None,
        problem: str = "",
    ) -> Any:
        from airflow_okta_workflows.operators.batch_question import batch_question

        unknown = told.unknown_keys()
        # The process that gets the answer finds here what became of the other items.
        context["ti"].xcom_push(key="records", value=self._xcom(told))
        self.log.warning("The outcome of %d items is unknown. A person is asked, under Required Actions", len(unknown))
        items = [(index, key, sent.get(key)) for index, key in unknown.items()]
        return self._ask(
            context,
            partial(batch_question, self.flow, items, problem),
            key=None,
            deadline=deadline,
            kwargs={"sent": {key: sent_at for _, key, sent_at in items[:MOST_LISTED] if sent_at}},
        )

    def _xcom(self, records: BatchRecords) -> Any:
        if self.records_path is None:
            return list(records)
        return {
            "path": str(self.records_path),
            "counts": {outcome.value: number for outcome, number in records.counts.items() if number},
            "first_errors": records.first_errors(),
        }

    def _end(
        self,
        records: BatchRecords,
        context: Context | None = None,
        checkpoints: BatchCheckpointStore | None = None,
    ) -> Any:
        """Return the XCom, or raise the error about the records."""
        xcom = self._xcom(records)
        if error := self._error(records):
            if context:
                context["ti"].xcom_push(key="records", value=xcom)
            raise error
        if checkpoints:
            checkpoints.finish(xcom)
        return xcom

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

    def _error(self, records: BatchRecords) -> OktaWorkflowsError | None:
        """Return the error that the task has to raise; None if it returns the records."""
        from airflow_okta_workflows.core.batch.records import LOOK_AT_RECORDS, in_words
        from airflow_okta_workflows.core.flows.outcome import Outcome

        counts = records.counts
        failed = len(records) - counts[Outcome.SUCCEEDED]
        stopped = self._run is not None and self._run.stopped
        if not stopped and (not failed or self.on_error == "collect"):
            return None
        summary = f"{failed} of {len(records)} invocations failed ({in_words(counts)})."
        stop = ["The task was stopped."] if stopped else []
        unknown = counts[Outcome.UNKNOWN] == failed and not self.idempotent and self.status is None
        return (OktaFlowOutcomeUnknownError if unknown else OktaFlowFailedError)(
            summary,
            hint=LOOK_AT_RECORDS,
            detail="\n".join([*stop, *records.first_errors()]),
            flow=self.flow,
        )
