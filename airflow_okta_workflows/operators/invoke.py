"""The operator that invokes a flow once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_okta_workflows.core.flows.encoding import check_as_parsed, check_method, encode_payload
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.operators.base import FlowOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger


class InvokeOktaFlowOperator(FlowOperator):
    """Invoke an OAuth 2.0 secured flow once, and return what it answered.

    An ``Idempotency-Key`` names one wanted run of the flow. Tries of one task instance have the same one, until the run
    is known to have failed (Airflow 3.3); a clearing by hand, another DAG run or another map index has its own.

    On Airflow 3.3 it notes in the task state store that it is about to send, and then the answer. A retry after a crash
    returns the noted answer, or ends with ``OktaFlowOutcomeUnknownError`` if the fate is unknown; with ``idempotent``
    it sends again under the same key. Clearing the task by hand runs the flow anew. Before 3.3 the protection is what
    one process can give.

    XCom: the answer's body (or ``result`` of it), and beside it ``execution_id`` and ``status_code``.

    :param flow: a name in the connection's ``flows``, an alias, or an invoke URL (templated)
    :param payload: a JSON value, or JSON text; None for no body (templated)
    :param query: query parameters (templated)
    :param headers: further headers (templated)
    :param method: ``POST`` or ``GET``; GET carries no payload
    :param success_when: a JMESPath expression over the body; if it does not hold, the task fails
    :param result: a JMESPath expression over the body; what it selects is returned in the body's place
    :param response_check: a callable that is given the
        :class:`~airflow_okta_workflows.core.flows.response.FlowResponse`, and by name whatever it takes of the
        context; if what it returns is false, the task fails
    :param idempotent: whether running the flow twice under one key does no harm. Only then is an invocation without
        an answer sent again
    :param deferrable: invoke from the triggerer, so that no worker slot is held meanwhile. Only with ``idempotent``,
        since a trigger may run twice; the config's ``[operators] default_deferrable`` if not given
    :param timeout: how long the answer may take, in seconds or as a ``timedelta``; the connection's
        ``read_timeout`` if None
    :param okta_workflows_conn_id: the connection, of type Okta Workflows (templated)
    :raises OktaConfigurationError: for an argument or a connection that cannot work; as far as possible when the
        DAG is parsed
    :raises OktaTokenError: if the org gives no token; the flow was not invoked
    :raises OktaFlowError: if the invocation did not succeed; the class says how far it got
    """

    template_fields: Sequence[str] = ("flow", "payload", "query", "headers", "okta_workflows_conn_id")

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
            timeout=timeout,
            okta_workflows_conn_id=okta_workflows_conn_id,
            **kwargs,
        )
        self.payload = payload
        self.method = method
        if deferrable and not idempotent:
            raise OktaConfigurationError(
                "deferrable=True needs idempotent=True: a trigger may run twice, as after a restart of the triggerer,"
                " and the flow with it. If running it twice under one Idempotency-Key does no harm, declare"
                " idempotent=True; else leave deferrable out, and wait for a long-running flow with OktaFlowSensor.",
                hint="Declare idempotent=True, or leave deferrable out.",
            )
        if deferrable is None:
            deferrable = idempotent and conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable
        with raise_provider_errors():
            check_as_parsed(method, payload, query, headers)

    def execute(self, context: Context) -> Any:
        """Invoke the flow, from here or from the triggerer, and judge its answer.

        :param context: the task's context
        """
        self._begin()
        self._link(context)
        checkpoints = self._checkpoints(context)
        response = checkpoints.earlier_response(idempotent=self.idempotent)
        if response is None and self.deferrable:
            trigger = self._trigger(checkpoints.key)
            checkpoints.reached(InvocationState.SENDING)
            self.defer(
                trigger=trigger,
                method_name="execute_complete",
                kwargs={"wanted_run": checkpoints.run.to_json()},
                timeout=self.execution_timeout,
            )
        return self._complete(context, checkpoints, response)

    def execute_complete(self, context: Context, event: Any = None, wanted_run: Mapping[str, Any] | None = None) -> Any:
        """Open the outcome that the trigger fired, and judge the response.

        :param context: the task's context
        :param event: what the trigger fired
        :param wanted_run: the run that the trigger asked for, as :meth:`execute` gave it
        """
        outcome = event.get("outcome") if isinstance(event, dict) else None
        if outcome not in ("sealed", "not_handed_over"):
            raise OktaWorkflowsError(
                f"The trigger of {self.task_id!r} fired an event that is not known here: {shown(outcome)}. Let"
                " the triggerer and the workers run the same version of this provider."
            )
        checkpoints = self._checkpoints(context)
        checkpoints.run = WantedRun.from_json(wanted_run or {}) or checkpoints.run
        opened = self._open(event, checkpoints.key)
        if isinstance(opened, OktaWorkflowsError):
            self._ended(context, checkpoints, opened)
            raise opened
        if opened is not None:
            checkpoints.responded(opened)
        return self._complete(context, checkpoints, opened)

    def _open(self, event: Mapping[str, Any], key: str) -> FlowResponse | OktaWorkflowsError | None:
        """Return what the triggerer's invocation came to; None if this worker has to ask itself."""
        if event["outcome"] == "not_handed_over":
            reason = str(event.get("reason"))
        else:
            from airflow_okta_workflows.triggers.encrypted_result import decrypt_result

            opened = decrypt_result(event.get("sealed"), self.hook.settings, key)
            if opened is not None:
                return opened
            reason = "what it handed over cannot be opened with this connection's key, which was perhaps changed"
        self.log.warning(
            "The triggerer did not hand over what flow %r answered (%s). It is invoked from here, under the same key.",
            self.flow,
            reason,
        )
        return None

    def _complete(self, context: Context, checkpoints: InvocationCheckpointStore, response: FlowResponse | None) -> Any:
        """Invoke the flow and note its answer, unless there is one that is noted; and judge it."""
        try:
            if response is None:
                response = self._invoke(checkpoints)
                checkpoints.responded(response)
            self._link(context, response.execution_id)
            context["ti"].xcom_push(key="execution_id", value=response.execution_id)
            context["ti"].xcom_push(key="status_code", value=response.status_code)
            return self._evaluate(response, context, checkpoints.key)
        except OktaWorkflowsError as error:
            self._ended(context, checkpoints, error)
            raise

    def _ended(self, context: Context, checkpoints: InvocationCheckpointStore, error: OktaWorkflowsError) -> None:
        checkpoints.ended(error)
        if isinstance(error, OktaFlowError) and error.response:
            self._link(context, error.response.execution_id)

    def _checkpoints(self, context: Context) -> InvocationCheckpointStore:
        from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore

        return InvocationCheckpointStore(context, self.flow)

    def _trigger(self, key: str) -> OktaFlowInvocationTrigger:
        from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger
        from airflow_okta_workflows.triggers.resume_delay import resume_not_before

        with raise_provider_errors():
            # As JSON text: an XCom of a mapped task is no value that a trigger's row could hold.
            payload = encode_payload(self.payload, check_method(self.method))
        return OktaFlowInvocationTrigger(
            flow=self.flow,
            payload=payload.decode() if payload is not None else None,
            query=dict(self.query) if self.query else None,
            headers=dict(self.headers) if self.headers else None,
            method=self.method,
            idempotency_key=key,
            timeout=self._answer_seconds,
            okta_workflows_conn_id=self.okta_workflows_conn_id,
            not_before=resume_not_before(time.time()),
        )

    def _invoke(self, checkpoints: InvocationCheckpointStore) -> FlowResponse:
        hook = self.hook
        try:
            return hook.invoke(
                self.flow,
                self.payload,
                method=self.method,
                query=self.query,
                headers=self.headers,
                idempotency_key=checkpoints.key,
                idempotent=self.idempotent,
                timeout=self._answer_seconds,
                on_state=checkpoints.reached,
            )
        finally:
            hook.close()
