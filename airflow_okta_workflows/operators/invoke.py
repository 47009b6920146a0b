"""Operator that invokes a flow once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.operators.base import FlowOperator
from airflow_okta_workflows.triggers.events import INVOCATION_OUTCOMES, NOT_HANDED_OVER, require_outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger


class InvokeOktaFlowOperator(FlowOperator):
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
    ``timeout`` and ``okta_workflows_conn_id`` are those of
    :class:`~airflow_okta_workflows.operators.base.FlowOperator`.

    :param payload: a JSON value, or a string of JSON; None for no body (templated)
    :param method: ``POST`` or ``GET``; GET carries no payload
    :param deferrable: whether to invoke from the triggerer, so that the wait occupies no worker slot. Requires
        ``idempotent``, since a trigger may run twice. If None, the config's ``[operators] default_deferrable`` applies
        to an idempotent flow
    :raises OktaConfigurationError: for an argument or a connection that cannot work; as far as possible when the
        DAG is parsed
    :raises OktaTokenError: if the org grants no token; the flow was not invoked
    :raises OktaFlowError: if the invocation did not succeed; the class says how far it got
    """

    template_fields: Sequence[str] = ("flow", "payload", "query", "headers", "okta_workflows_conn_id")

    def __init__(
        self, *, payload: Any = None, method: str = "POST", deferrable: bool | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.payload = payload
        self._has_payload = payload is not None
        self.method = method
        if deferrable and not self.idempotent:
            raise OktaConfigurationError(
                "deferrable=True needs idempotent=True, since a trigger may run twice, and the flow with it.",
                hint="OKW-1604: Declare idempotent=True if running the flow twice under one Idempotency-Key does no"
                " harm. Otherwise leave deferrable out, and wait for a long-running flow with OktaFlowSensor.",
            )
        if deferrable is None:
            deferrable = self.idempotent and conf.getboolean("operators", "default_deferrable", fallback=False)
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
        """Decrypt the result in the trigger's event, and evaluate the response.

        :param context: the task's context
        :param event: the trigger's event
        :param wanted_run: the wanted run as JSON, from :meth:`execute`
        """
        require_outcome(event, INVOCATION_OUTCOMES, self.task_id)
        checkpoints = self._checkpoints(context)
        checkpoints.run = WantedRun.from_json(wanted_run or {}) or checkpoints.run
        result = self._decrypt(event, checkpoints.key)
        if isinstance(result, OktaWorkflowsError):
            self._ended(context, checkpoints, result)
            raise result
        if result is not None:
            checkpoints.responded(result)
        return self._complete(context, checkpoints, result)

    def _decrypt(self, event: Mapping[str, Any], key: str) -> FlowResponse | OktaWorkflowsError | None:
        """Return the result of the triggerer's invocation; None if this worker has to invoke the flow itself."""
        if event["outcome"] == NOT_HANDED_OVER:
            reason = str(event.get("reason"))
        else:
            from airflow_okta_workflows.triggers.encrypted_result import decrypt_result

            result = decrypt_result(event.get("result"), self.hook.settings, key)
            if result is not None:
                return result
            reason = "what it handed over cannot be opened with this connection's key, which was perhaps changed"
        self.log.warning(
            "The triggerer did not hand over what flow %r returned (%s). It is invoked from here, under the same key.",
            self.flow,
            reason,
        )
        return None

    def _complete(self, context: Context, checkpoints: InvocationCheckpointStore, response: FlowResponse | None) -> Any:
        """Invoke the flow unless there is a response already, and evaluate the response."""
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

        with raise_provider_errors(), NoFrames():
            # Encoded here, because a trigger's row cannot store every type of value.
            payload = encode_payload(self.payload, check_method(self.method))
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

    def _invoke(self, checkpoints: InvocationCheckpointStore) -> FlowResponse:
        hook = self.hook
        try:
            return hook.invoke(
                self.flow,
                self.payload,
                idempotency_key=checkpoints.key,
                on_state=checkpoints.reached,
                **(self._options | {"method": self.method}),
            )
        finally:
            hook.close()
