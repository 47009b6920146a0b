"""Operator that invokes a flow once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import conf

from airflow_okta_workflows.core.flows.encoding import (
    check_as_parsed,
    check_headers,
    check_method,
    check_query,
    check_timeout,
    encode_payload,
    require_given,
)
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.numbers import YEAR
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowOutcomeUnknownError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.operators.single_invocation import SingleInvocationOperator
from airflow_okta_workflows.triggers.events import (
    ERROR,
    GRACE,
    INVOCATION_OUTCOMES,
    NOT_HANDED_OVER,
    STATUS_OUTCOMES,
    require_outcome,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
    from airflow_okta_workflows.core.flows.exactly_once import KnownRun
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.operators.status_flow import StatusFlow
    from airflow_okta_workflows.operators.status_wait import StatusWait
    from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger, OktaFlowStatusTrigger


class InvokeOktaFlowOperator(SingleInvocationOperator):
    """Operator that invokes an OAuth 2.0 secured flow once, and returns its response.

    An ``Idempotency-Key`` names one wanted run of the flow. All tries of a task instance use the same key until the run
    is known to have failed (Airflow 3.3). A task that is cleared by hand, another DAG run or another map index has its
    own key.

    On Airflow 3.3 the task state store has a checkpoint from before the invocation is sent, and then the response. A
    retry after a crash returns that response, or raises ``OktaFlowOutcomeUnknownError`` if the outcome is unknown;
    with ``idempotent`` it sends again under the same key. Clearing the task by hand runs the flow again. Before 3.3
    only crashes within one process are covered.

    XCom: the response's body (or what ``result`` selects from it); under their own keys, ``execution_id`` and
    ``status_code``.

    The parameters ``flow``, ``query``, ``headers``, ``success_when``, ``result``, ``response_check``, ``idempotent``,
    ``status``, ``timeout`` and ``okta_workflows_conn_id`` are those of
    :class:`~airflow_okta_workflows.operators.base.FlowOperator`.

    :param payload: a JSON value, or a string of JSON; None for no body (templated)
    :param method: ``POST`` or ``GET``; GET takes no payload
    :param on_unknown: ``fail``: the task fails if the outcome of the invocation is unknown; ``ask``: a person decides,
        in Airflow's Required Actions (Airflow 3.1+), whether the flow ran, is invoked now under the same key, or the
        task fails. Not together with ``status``
    :param deferrable: whether to wait in the triggerer, so that the wait occupies no worker slot. Without ``status``
        the triggerer invokes the flow, which requires ``idempotent``, since a trigger may run twice. With ``status``
        the worker invokes it, and only the wait for its end is deferred. If None, the config's ``[operators]
        default_deferrable`` applies to a flow that is idempotent or has a status flow
    :raises OktaConfigurationError: for an argument or a connection that cannot work; as far as possible when the
        DAG is parsed
    :raises OktaTokenError: if the org grants no token; the flow was not invoked
    :raises OktaFlowError: if the invocation did not succeed; the class says how far it got
    """

    template_fields: Sequence[str] = ("flow", "payload", "query", "headers", "status", "okta_workflows_conn_id")

    def __init__(
        self,
        *,
        flow: str,
        payload: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        method: str = "POST",
        success_when: str | None = None,
        result: str | None = None,
        response_check: Callable[..., bool] | None = None,
        idempotent: bool = False,
        status: StatusFlow | None = None,
        on_unknown: Literal["fail", "ask"] = "fail",
        deferrable: bool | None = None,
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
            status=status,
            on_unknown=on_unknown,
            timeout=timeout,
            okta_workflows_conn_id=okta_workflows_conn_id,
            **kwargs,
        )
        self.payload = payload
        self._has_payload = payload is not None
        self.method = method
        self._status_wait: StatusWait | None = None
        if self.status is not None and str(method).upper() != "POST":
            raise OktaConfigurationError(
                "status needs method='POST'.",
                hint="OKW-1641: Use POST, or leave status out: a flow that is invoked with GET changes nothing.",
            )
        may_defer = self.idempotent or self.status is not None
        if deferrable and not may_defer:
            raise OktaConfigurationError(
                "deferrable=True needs idempotent=True, since a trigger may run twice, and the flow with it.",
                hint="OKW-1604: Declare idempotent=True if running the flow twice under one Idempotency-Key does no"
                " harm. Otherwise leave deferrable out, and wait for a long-running flow with status=StatusFlow(…).",
            )
        if deferrable is None:
            deferrable = may_defer and conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable
        with raise_provider_errors(), NoFrames():
            check_as_parsed(method, payload, self.query, self.headers)

    def execute(self, context: Context) -> Any:
        """Invoke the flow, from the worker or the triggerer, and evaluate its response.

        :param context: the task's context
        """
        self._begin()
        if self._has_payload:
            with raise_provider_errors(), NoFrames():
                require_given(self.payload)
        self._link(context)
        checkpoints = self._checkpoints(context)
        if self.status:
            return self._run_with_status(context, checkpoints, checkpoints.known_run(), self._deadlines(self.status))
        deadline = self._execution_deadline()
        try:
            response = checkpoints.earlier_response(idempotent=self.idempotent)
        except OktaFlowOutcomeUnknownError as error:
            unknown = error
        else:
            return self._begin_invocation(context, checkpoints, response, deadline)
        return self._ask_or_raise(context, checkpoints, unknown, deadline)

    def _begin_invocation(
        self,
        context: Context,
        checkpoints: InvocationCheckpointStore,
        response: FlowResponse | None,
        deadline: float | None,
    ) -> Any:
        if response is None and self.deferrable:
            from airflow_okta_workflows.core.protocol import InvocationState

            trigger = self._trigger(checkpoints.key)
            checkpoints.reached(InvocationState.SENDING)
            self.defer(
                trigger=trigger,
                method_name="execute_complete",
                kwargs={"wanted_run": checkpoints.run.to_json()},
                timeout=self.execution_timeout,
            )
        return self._complete_or_ask(context, checkpoints, response, deadline)

    def execute_complete(self, context: Context, event: Any = None, wanted_run: Mapping[str, Any] | None = None) -> Any:
        """Decrypt the result in the trigger's event, and evaluate the response.

        :param context: the task's context
        :param event: the trigger's event
        :param wanted_run: the wanted run as JSON, from :meth:`execute`
        """
        require_outcome(event, INVOCATION_OUTCOMES, self.task_id)
        checkpoints = self._checkpoints(context)
        checkpoints.resumes(wanted_run)
        result = self._decrypt(event, checkpoints.key)
        if isinstance(result, OktaWorkflowsError):
            self._ended(context, checkpoints, result)
            raise result
        if result is not None:
            checkpoints.responded(result)
        return self._complete(context, checkpoints, result)

    def _deadlines(self, status: StatusFlow) -> dict[str, float | None]:
        now = self._runtime.clock()
        return {
            "deadline": None if status.timeout is None else now + status.timeout,
            # Airflow does not apply execution_timeout to a deferred task.
            "execution_deadline": self._execution_deadline(),
        }

    def status_complete(
        self,
        context: Context,
        event: Any = None,
        run: Mapping[str, Any] | None = None,
        execution_id: str | None = None,
        deadline: float | None = None,
        execution_deadline: float | None = None,
    ) -> Any:
        """Ask the status flow once more, from the worker, after the trigger has fired.

        The event says only that there is something to look at, so that no response of a flow is stored unencrypted.

        :param context: the task's context
        :param event: the trigger's event
        :param run: the wanted run as JSON
        :param execution_id: its execution id, or None
        :param deadline: when the status flow's ``timeout`` ends, in seconds since the epoch; None without one
        :param execution_deadline: when ``execution_timeout`` ends, in seconds since the epoch; None without one
        """
        from airflow_okta_workflows.core.flows.exactly_once import Knowledge, KnownRun

        outcome = require_outcome(event, STATUS_OUTCOMES, self.task_id)
        checkpoints = self._checkpoints(context)
        checkpoints.resumes(run)
        known = KnownRun(checkpoints.run, Knowledge.EXISTS, own=True, execution_id=execution_id)
        deadlines = {"deadline": deadline, "execution_deadline": execution_deadline}
        return self._run_with_status(context, checkpoints, known, deadlines, outcome)

    def _run_with_status(
        self,
        context: Context,
        checkpoints: InvocationCheckpointStore,
        known: KnownRun,
        deadlines: dict[str, float | None],
        outcome: str = "",
    ) -> Any:
        """Invoke the flow unless its run exists, and wait for the run's end, here or in the triggerer."""
        from airflow_okta_workflows.core.flows.exactly_once import KnownRun
        from airflow_okta_workflows.operators.status_wait import StatusWait

        assert self.status is not None  # noqa: S101  # the callers have looked
        response = checkpoints.settled_response()
        try:
            if response is None:
                wait = StatusWait(
                    self.flow,
                    self.status,
                    self.hook,
                    checkpoints=checkpoints,
                    invoke=lambda on_state: self._send(checkpoints, on_state),
                    read_timeout=self._read_timeout,
                    **deadlines,
                )
                self._status_wait = wait
                # After an error in the triggerer the worker waits itself: another deferral would end at once again.
                with raise_provider_errors(), NoFrames():
                    ended = wait.run(known, leaves=self.deferrable and outcome != ERROR)
                if isinstance(ended, KnownRun):
                    return self._defer_wait(ended, deadlines, wait)
                self._status_wait = None
                response = ended
                checkpoints.responded(response, settled=True)
            return self._complete(context, checkpoints, response)
        finally:
            self.hook.close()

    def _defer_wait(self, known: KnownRun, deadlines: dict[str, float | None], wait: StatusWait) -> Any:
        now = self._runtime.clock()
        left = wait.seconds_to_wait(YEAR)
        trigger = self._status_trigger(known, now + left)
        # From here on the trigger invokes the cancel_flow.
        self._status_wait = None
        return self.defer(
            trigger=trigger,
            method_name="status_complete",
            kwargs={"run": known.run.to_json(), "execution_id": known.execution_id, **deadlines},
            # The trigger enforces the deadline; this timeout takes effect only if the triggerer is down.
            timeout=timedelta(seconds=left + trigger.poke_interval + GRACE),
        )

    def _status_trigger(self, known: KnownRun, ends_at: float) -> OktaFlowStatusTrigger:
        from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
        from airflow_okta_workflows.triggers.resume_delay import resume_not_before

        status = self.status
        assert status is not None  # noqa: S101  # the callers have looked
        with raise_provider_errors(), NoFrames():
            # Encoded here, because a trigger's row cannot store every type of value.
            payload = encode_payload(status.question(known.run.key, known.execution_id), "POST") or b""
        return OktaFlowStatusTrigger(
            flow=status.flow,
            payload=payload.decode(),
            success_when=status.success_when,
            failure_when=status.failure_when,
            not_found_when=status.not_found_when,
            idempotency_key=known.run.key,
            cancel_flow=status.cancel_flow,
            poke_interval=status.poke_interval,
            deadline=ends_at,
            max_failed_polls=status.max_failed_polls,
            okta_workflows_conn_id=self.okta_workflows_conn_id,
            warned=True,
            not_before=resume_not_before(self._runtime.clock()),
        )

    def on_kill(self) -> None:
        """Send nothing more, and end waits. With a ``cancel_flow``, cancel the run that may be under way."""
        super().on_kill()
        if self._status_wait:
            self._status_wait.cancel()

    def _decrypt(self, event: Mapping[str, Any], key: str) -> FlowResponse | OktaWorkflowsError | None:
        """Return the result of the triggerer's invocation; None if this worker has to invoke the flow itself."""
        if event["outcome"] == NOT_HANDED_OVER:
            reason = str(event.get("reason"))
        else:
            from airflow_okta_workflows.triggers.encrypted_result import decrypt_result

            result = decrypt_result(event.get("result"), self.hook.settings, key)
            if result is not None:
                return result
            reason = "it cannot be decrypted with this connection's key, which may have been changed"
        self.log.warning(
            "The triggerer did not hand over what flow %s returned (%s). It is invoked from here, under the same key.",
            shown(self.flow),
            reason,
        )
        return None

    def _trigger(self, key: str) -> OktaFlowInvocationTrigger:
        from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger
        from airflow_okta_workflows.triggers.resume_delay import resume_not_before

        given = self._read_payload()
        with raise_provider_errors(), NoFrames():
            # Encoded here, because a trigger's row cannot store every type of value.
            payload = encode_payload(given, check_method(self.method))
            query, headers = check_query(self.query), check_headers(self.headers)
        return OktaFlowInvocationTrigger(
            flow=self.flow,
            payload=payload.decode() if payload is not None else None,
            query=query or None,
            headers=headers or None,
            method=self.method,
            idempotency_key=key,
            timeout=check_timeout(self.timeout),
            okta_workflows_conn_id=self.okta_workflows_conn_id,
            not_before=resume_not_before(self.hook.runtime.clock()),
        )
