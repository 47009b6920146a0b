"""The operator that invokes a flow for each of many payloads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import determine_kwargs

from airflow_okta_workflows.core.flows.encoding import check_as_parsed
from airflow_okta_workflows.core.flows.expressions import compile_optional
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
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.core.batch.records import BatchRecord
    from airflow_okta_workflows.operators.batch_runner import BatchRun


class InvokeOktaFlowBatchOperator(FlowOperator):
    """Invoke an OAuth 2.0 secured flow once for each of many payloads, from one task, at the flow's pace.

    Okta takes ten invocations per second of one flow. They are sent that far apart, with as many calls open as the flow
    is slow, over one pool of connections and with one token; a 429 holds all back, and loses and doubles none.

    Each item has an ``Idempotency-Key`` of its own, as a single invocation has. On Airflow 3.3 the task notes
    what it is about to send, and what came of it. A retry sends what was not sent, and what failed; it keeps what
    succeeded, and reports items whose fate is unknown instead of sending them again, unless ``idempotent``. Clearing
    the task by hand begins anew. Before 3.3 a retry sends everything again.

    XCom: one record per payload, in order: ``{"index", "key", "outcome", "status_code", "execution_id", "result",
    "error"}``, with the outcome ``succeeded``, ``failed``, ``unknown`` or ``not_sent``. A task that fails leaves them
    under the key ``records``.

    :param flow: a name in the connection's ``flows``, an alias, or an invoke URL (templated)
    :param payloads: the payloads: a list of JSON values, JSON text of one, the XCom of a task that returns one, or a
        callable that returns an iterable and is given by name whatever it takes of the context (templated)
    :param item_key: a JMESPath expression over a payload: what tells it from all others, such as ``email``. With it the
        tries of a task know a payload by this, though the list has changed; without, by its place and content, and a
        changed list is an error
    :param query: query parameters, for all (templated)
    :param headers: further headers, for all (templated)
    :param max_rate: invocations per second
    :param max_in_flight: calls that may be open at the same time
    :param on_error: ``fail``: the task fails at the end unless all succeeded; ``collect``: it returns the records
    :param success_when: a JMESPath expression over a body; if it does not hold, the item has failed
    :param result: a JMESPath expression over a body; what it selects is the record's ``result`` in the body's place
    :param response_check: a callable, as for :class:`InvokeOktaFlowOperator`; it is called between the invocations, so
        it has to be quick
    :param idempotent: whether running the flow twice under one key does no harm
    :param timeout: how long each answer may take, in seconds or as a ``timedelta``; the connection's ``read_timeout``
        if None
    :param okta_workflows_conn_id: the connection, of type Okta Workflows (templated)
    :raises OktaConfigurationError: for an argument, a payload or a connection that cannot work; nothing was sent
    :raises OktaTokenError: if the org gives no token; nothing was sent
    :raises OktaFlowFailedError: with ``on_error="fail"``, if a retry may do better
    :raises OktaFlowOutcomeUnknownError: with ``on_error="fail"``, if nothing but items of unknown fate is left
    """

    template_fields: Sequence[str] = ("flow", "payloads", "query", "headers", "okta_workflows_conn_id")

    def __init__(
        self,
        *,
        flow: str,
        payloads: Iterable[Any] | str | Callable[..., Iterable[Any]],
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
        timeout: float | timedelta | None = None,
        okta_workflows_conn_id: str = "okta_workflows_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            flow=flow,
            query=query,
            headers=headers,
            success_when=success_when,
            result=result,
            response_check=response_check,
            idempotent=idempotent,
            timeout=timeout,
            okta_workflows_conn_id=okta_workflows_conn_id,
            **kwargs,
        )
        self.payloads = payloads
        self.item_key = item_key
        self.max_rate = max_rate
        self.max_in_flight = max_in_flight
        self.on_error = on_error
        self._run: BatchRun | None = None
        if on_error not in ("fail", "collect"):
            raise OktaConfigurationError(f"on_error is {shown(on_error, 20)}. Set it to 'fail' or 'collect'.")
        if isinstance(payloads, Iterator):
            raise OktaConfigurationError(
                "payloads is an iterator, which is used up by the first try. Give a list, or a callable that returns"
                " an iterable."
            )
        with raise_provider_errors():
            check_pace(max_rate, max_in_flight)
            check_as_parsed("POST", None, query, headers)
            compile_optional(item_key, "item_key")

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Invoke the flow for each payload, and return the records.

        :param context: the task's context
        """
        from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
        from airflow_okta_workflows.core.batch.items import check_unchanged, parse_items
        from airflow_okta_workflows.operators.batch_runner import BatchRun

        self._begin()
        self._link(context)
        hook = self.hook
        checkpoints = BatchCheckpointStore(context, self.flow)
        with raise_provider_errors():
            template = hook.settings.build_invocation(
                self.flow,
                {},
                query=self.query,
                headers=self.headers,
                idempotency_key=checkpoints.key,
                idempotent=self.idempotent,
                timeout=self._answer_seconds,
            )
            items = parse_items(
                self._read_payloads(context), checkpoints.key, compile_optional(self.item_key, "item_key")
            )
            if self.item_key is None:
                check_unchanged(items, checkpoints.earlier)
        self.log.info("Batch of %d invocations of flow %r, at most %g/s", len(items), self.flow, self.max_rate)
        self._run = BatchRun(
            hook,
            template,
            items,
            checkpoints=checkpoints,
            evaluate=lambda response, key: self._evaluate(response, context, key),
            max_rate=self.max_rate,
            max_in_flight=self.max_in_flight,
        )
        records = self._run.run()
        key_of = self._run.key_of
        told = [{"index": i.index, "key": key_of(i), **r.to_json()} for i, r in zip(items, records, strict=True)]
        if error := self._error(records):
            context["ti"].xcom_push(key="records", value=told)
            raise error
        return told

    def on_kill(self) -> None:
        """Send nothing more, and give open calls a moment; the log and the notes say what was sent."""
        super().on_kill()
        if self._run:
            self._run.stop()

    def _read_payloads(self, context: Context) -> Any:
        if callable(self.payloads):
            return self.payloads(**determine_kwargs(self.payloads, [], context))
        return self.payloads

    def _error(self, records: Sequence[BatchRecord]) -> OktaWorkflowsError | None:
        """Return what the task has to end with, if it may not return the records."""
        from airflow_okta_workflows.core.batch.records import count, first_errors, in_words
        from airflow_okta_workflows.core.flows.outcome import Outcome

        counts = count(records)
        failed = len(records) - counts[Outcome.SUCCEEDED]
        stopped = self._run is not None and self._run.stopped
        if not stopped and (not failed or self.on_error == "collect"):
            return None
        hint = "All are in the XCom 'records'."
        summary = f"{failed} of {len(records)} invocations failed ({in_words(counts)})."
        stop = ["The task was stopped."] if stopped else []
        message = " ".join([*stop, summary, *first_errors(records), hint])
        unknown = counts[Outcome.UNKNOWN] == failed and not self.idempotent
        return (OktaFlowOutcomeUnknownError if unknown else OktaFlowFailedError)(message, hint=hint, flow=self.flow)
