"""Sensor that waits for a long-running flow."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_okta_workflows.checkpoints.failed_polls import MOST_FAILED_POLLS, SensorMemory
from airflow_okta_workflows.core.errors import error_text
from airflow_okta_workflows.core.flows.encoding import (
    check_as_parsed,
    check_method,
    check_query,
    encode_payload,
    require_given,
)
from airflow_okta_workflows.core.flows.expressions import ExpressionError
from airflow_okta_workflows.core.flows.status import Status, StatusRule, describe_response, is_not_found
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.numbers import YEAR, check_number, seconds
from airflow_okta_workflows.core.on_kill import StopsOnKill
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import (
    OktaFlowError,
    OktaFlowFailedError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.links.okta_workflows import OktaFlowLink
from airflow_okta_workflows.triggers.events import ERROR, GRACE, STATUS_OUTCOMES, TIMEOUT, require_outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger


class OktaFlowSensor(StopsOnKill, BaseSensorOperator):
    """Sensor that waits until a status flow reports that a long-running flow has finished.

    Okta has no status API, so the org provides a status flow: a second secured flow that looks the long-running one up,
    by execution id or key, and returns for example ``{"status": "RUNNING"}``. The sensor invokes the status flow every
    ``poke_interval`` seconds: with ``mode="poke"`` from a worker slot, with ``mode="reschedule"`` from a task that is
    rescheduled between polls, with ``deferrable=True`` from the triggerer, where a wait occupies no worker slot.

    A 404 with an execution id, or ``{"status": "NOT_FOUND"}``, means that the status flow does not know the
    long-running flow yet, and counts as not finished. The first poll warns if the response has none of the members that
    ``success_when`` refers to.

    ``soft_fail`` skips the task only when ``timeout`` has passed: any error fails the task, and so does
    ``execution_timeout``. Airflow's own sensors also skip on some errors.

    XCom: the body of the status flow's last response, or what ``result`` selects from it.

    :param flow: the status flow: a name in the connection's ``flows``, an alias, or an invoke URL (templated)
    :param payload: a JSON value, or a string of JSON; None for no body (templated)
    :param query: query parameters (templated)
    :param method: ``POST`` or ``GET``; GET takes no payload
    :param success_when: a JMESPath expression over the body: when it is true, the wait is over
    :param failure_when: a JMESPath expression over the body: when it is true, the task fails; None for none
    :param result: a JMESPath expression over the body; what it selects is returned instead of the body
    :param poke_interval: seconds between two polls, or a ``timedelta``
    :param timeout: seconds until the sensor gives up, or a ``timedelta``; the config's ``[sensors] default_timeout`` if
        None
    :param max_failed_polls: number of consecutive polls that may fail for a temporary reason (no connection, a rate
        limit, a 5xx) before the sensor fails. With ``mode="reschedule"`` this needs Airflow 3.3; before, the first
        failed poll fails the sensor
    :param deferrable: whether to wait in the triggerer; the config's ``[operators] default_deferrable`` if not given
    :param okta_workflows_conn_id: the connection, of type Okta Workflows (templated)
    :raises OktaConfigurationError: for an argument or a connection that cannot work; as far as possible when the
        DAG is parsed
    :raises OktaFlowFailedError: if ``failure_when`` is true, or the status flow itself fails
    """

    template_fields: Sequence[str] = ("flow", "payload", "query", "okta_workflows_conn_id")
    template_fields_renderers = {"payload": "json", "query": "json"}  # noqa: RUF012  # as in BaseOperator
    operator_extra_links = (OktaFlowLink(),)
    ui_color = "#e6e0ff"

    def __init__(
        self,
        *,
        flow: str,
        payload: Any = None,
        query: Mapping[str, Any] | None = None,
        method: str = "POST",
        success_when: str = "status == 'SUCCEEDED'",
        failure_when: str | None = "status == 'FAILED'",
        result: str | None = None,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float | None = None,
        max_failed_polls: int = 5,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        okta_workflows_conn_id: str = "okta_workflows_default",
        **kwargs: Any,
    ) -> None:
        with raise_provider_errors(), NoFrames():
            # Checked before Airflow does: it raises OverflowError for infinity and takes True for one second.
            check_number(seconds(poke_interval), "poke_interval", least=0, most=YEAR)
            if timeout is not None:
                check_number(seconds(timeout), "timeout", least=0, most=YEAR)
                # Passed only if given: before Airflow 3.2, None does not select the default.
                kwargs["timeout"] = timeout
            check_number(max_failed_polls, "max_failed_polls", least=0, most=MOST_FAILED_POLLS, whole=True)
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.flow = flow
        self.payload = payload
        self._has_payload = payload is not None
        self.query = query
        self.method = method
        self.success_when = success_when
        self.failure_when = failure_when
        self.result = result
        self.max_failed_polls = max_failed_polls
        self.deferrable = deferrable
        self.okta_workflows_conn_id = okta_workflows_conn_id
        self._memory = SensorMemory()
        self._last_seen = ""
        with raise_provider_errors(), NoFrames():
            check_as_parsed(method, payload, query, None)
            self._rule()

    def poke(self, context: Context) -> PokeReturnValue:
        """Invoke the status flow once, and evaluate its response.

        :param context: the task's context
        :raises OktaFlowFailedError: if the long-running flow has failed
        """
        from airflow_okta_workflows.client.rate_limiter import noted_turn_waits
        from airflow_okta_workflows.core.flows import hints
        from airflow_okta_workflows.pace.slow_polls import SlowPolls

        if self._has_payload:
            with raise_provider_errors(), NoFrames():
                require_given(self.payload)
        across = self.reschedule and not self.deferrable
        failed_polls = self._memory.failed_polls(context, self.max_failed_polls, across_processes=across)
        try:
            with noted_turn_waits() as waits:
                response = self._ask(context)
        except OktaWorkflowsError as error:
            if self.stop_signal.requested:
                raise
            if isinstance(error, OktaFlowError) and is_not_found(error.response):
                failed_polls.reset()
                return self._not_finished("the status flow returned 404")
            failed_polls.record_failure(error)
            return PokeReturnValue(is_done=False)
        failed_polls.reset()
        slow_polls = SlowPolls(self.flow, self.poke_interval)
        self._memory.record_wait(context, slow_polls, sum(waits), across_processes=across)
        rule = self._rule()
        try:
            status = rule.status(response.body)
            if status is Status.SUCCEEDED:
                result = rule.result(response)
                if result is None and (problem := rule.result_problem(response)):
                    self.log.warning("Flow %r: %s The result is null.", self.flow, problem)
                return PokeReturnValue(is_done=True, xcom_value=result)
        except ExpressionError as error:
            raise self._failed(response, f"but {error}", hints.CONDITION_UNFIT) from None
        if status is Status.FAILED:
            raise self._failed(
                response, f"and failure_when is true: {rule.describe_failure(response)}", hints.RUN_FAILED
            )
        if (problem := rule.blindness(response)) and self._memory.is_first_warning(context, across_processes=across):
            self.log.warning("Flow %r: %s The sensor goes on until its timeout.", self.flow, problem)
        return self._not_finished(rule.describe(response))

    def _not_finished(self, seen: str) -> PokeReturnValue:
        self._last_seen = seen
        self.log.info("Not finished yet, according to flow %r: %s", self.flow, seen)
        return PokeReturnValue(is_done=False)

    def execute(self, context: Context) -> Any:
        """Wait for the long-running flow, as ``mode`` and ``deferrable`` specify.

        :param context: the task's context
        """
        self._begin()
        if not self.deferrable:
            with self._skipping_at_timeout():
                return super().execute(context)
        now = self._runtime.clock()
        deadlines = {
            "deadline": now + self.timeout,
            # Airflow does not apply execution_timeout to a deferred task.
            "execution_deadline": now + self.execution_timeout.total_seconds() if self.execution_timeout else None,
        }
        # As if the task came back from the triggerer, so that soft_fail and never_fail also apply to the first poll.
        return self.resume_execution("look_or_defer", deadlines, context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task with ``never_fail`` and ``soft_fail`` applied, the same on each Airflow version.

        :param next_method: the method to call
        :param next_kwargs: its arguments
        :param context: the task's context
        :raises AirflowSkipException: instead of any error, with ``never_fail``; instead of a timeout, with
            ``soft_fail``
        """
        with self._skipping_at_timeout():
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except AirflowException as error:
                # Airflow applies never_fail here only since 3.1.
                if self.never_fail and not isinstance(error, AirflowSkipException):
                    raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
                raise

    @contextmanager
    def _skipping_at_timeout(self) -> Iterator[None]:
        """Apply ``soft_fail`` only to the sensor's own ``timeout``; Airflow also skips on some other errors."""
        soft_fail, self.soft_fail = self.soft_fail, False
        try:
            yield
        except AirflowSensorTimeout:
            # If the triggerer is down at the deadline, Airflow raises AirflowSensorTimeout for either limit.
            limit = self.execution_timeout
            if self.deferrable and limit is not None and limit.total_seconds() <= self.timeout:
                raise AirflowTaskTimeout(self._execution_timed_out()) from None
            if soft_fail:
                raise AirflowSkipException(f"{self._timed_out()}\nSkipped: soft_fail is set.") from None
            raise AirflowSensorTimeout(self._timed_out()) from None
        finally:
            self.soft_fail = soft_fail

    def _timed_out(self) -> str:
        return self._over(f"Flow {shown(self.flow)} did not report an end within {self.timeout:.0f} s.", "timeout")

    def _execution_timed_out(self) -> str:
        return self._over(
            f"execution_timeout is over, and flow {shown(self.flow)} did not report an end.", "execution_timeout"
        )

    def _over(self, message: str, limit: str) -> str:
        seen = f"Last seen: {self._last_seen}." if self._last_seen else ""
        return error_text(
            message, f"OKW-1609: Raise {limit}, or look the long-running flow up in its execution history.", seen
        )

    def execute_complete(
        self,
        context: Context,
        event: Any = None,
        deadline: float | None = None,
        execution_deadline: float | None = None,
    ) -> Any:
        """Poll the status flow once more, from the worker, after the trigger has fired.

        The event says only that there is something to look at. The worker fetches the result or error itself, so that
        no response of a flow is stored or logged by the triggerer.

        :param context: the task's context
        :param event: the trigger's event
        :param deadline: when ``timeout`` ends, in seconds since the epoch
        :param execution_deadline: when ``execution_timeout`` ends, in seconds since the epoch; None without one
        :raises AirflowSensorTimeout: if ``timeout`` has passed
        """
        require_outcome(event, STATUS_OUTCOMES, self.task_id)
        # If at all, the first poll or the trigger has warned.
        self._memory.warned = self._memory.warned_of_slow = True
        deadline = self._runtime.clock() + self.timeout if deadline is None else deadline
        return self.look_or_defer(context, deadline, execution_deadline, event)

    def look_or_defer(
        self,
        context: Context,
        deadline: float,
        execution_deadline: float | None = None,
        event: Mapping[str, Any] | None = None,
    ) -> Any:
        """Poll once; return the result if there is one, otherwise defer.

        :param context: the task's context
        :param deadline: when ``timeout`` ends, in seconds since the epoch
        :param execution_deadline: when ``execution_timeout`` ends, in seconds since the epoch; None without one
        :param event: the trigger's event; None at the first poll
        """
        poked = self.poke(context)
        if poked.is_done:
            return poked.xcom_value
        if event and event["outcome"] == ERROR:
            # The worker can poll and the triggerer cannot: another deferral would end at once with the same error.
            raise OktaWorkflowsError(
                f"The triggerer could not poll flow {shown(self.flow)} ({event.get('reason')}), though this worker"
                " can.",
                hint="OKW-1608: See the triggerer's log; a key file or a CA bundle must be on the triggerer, too.",
            )
        ends_at = deadline if execution_deadline is None else min(deadline, execution_deadline)
        left = ends_at - self._runtime.clock()
        if left <= 0 or (event and event["outcome"] == TIMEOUT):
            if execution_deadline is not None and execution_deadline <= deadline:
                raise AirflowTaskTimeout(self._execution_timed_out())
            raise AirflowSensorTimeout(self._timed_out())
        return self.defer(
            trigger=self._trigger(ends_at),
            method_name="execute_complete",
            kwargs={"deadline": deadline, "execution_deadline": execution_deadline},
            # The trigger enforces the deadline; this timeout takes effect only if the triggerer is down.
            timeout=timedelta(seconds=left + self.poke_interval + GRACE),
        )

    def _ask(self, context: Context) -> FlowResponse:
        from airflow_okta_workflows.hooks.flow_hook import FlowHook

        hook = FlowHook(self.okta_workflows_conn_id, runtime=self._runtime)
        response: FlowResponse | None = None
        try:
            # A status request changes nothing, so one that got no response may be sent again.
            response = hook.invoke(self.flow, self.payload, method=self.method, query=self.query, idempotent=True)
        except OktaFlowError as error:
            response = error.response
            raise
        else:
            return response
        finally:
            OktaFlowLink().persist(self, context, hook, self.flow, response.execution_id if response else None)
            hook.close()

    def _trigger(self, deadline: float) -> OktaFlowStatusTrigger:
        from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
        from airflow_okta_workflows.triggers.resume_delay import resume_not_before

        with raise_provider_errors(), NoFrames():
            # Encoded here, because a trigger's row cannot store every type of value.
            payload = encode_payload(self.payload, check_method(self.method))
            query = check_query(self.query)
        return OktaFlowStatusTrigger(
            flow=self.flow,
            payload=payload.decode() if payload is not None else None,
            query=query or None,
            method=self.method,
            success_when=self.success_when,
            failure_when=self.failure_when,
            poke_interval=self.poke_interval,
            deadline=deadline,
            max_failed_polls=self.max_failed_polls,
            okta_workflows_conn_id=self.okta_workflows_conn_id,
            warned=self._memory.warned,
            not_before=resume_not_before(self._runtime.clock()),
        )

    def _rule(self) -> StatusRule:
        return StatusRule(self.success_when, self.failure_when, self.result)

    def _failed(self, response: FlowResponse, reason: str, hint: str) -> OktaFlowFailedError:
        return OktaFlowFailedError(
            f"Flow {shown(self.flow)} returned {response.status_code}, {reason}.",
            hint=hint,
            detail=describe_response(response),
            flow=self.flow,
            response=response,
        )
