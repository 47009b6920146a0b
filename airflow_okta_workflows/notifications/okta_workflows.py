"""Notifier that invokes a flow."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_okta_workflows.core.flows.encoding import check_as_parsed, check_timeout, require_given
from airflow_okta_workflows.core.flows.idempotency_key import event_key
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.secret import first_line
from airflow_okta_workflows.core.stopping import StopSignal
from airflow_okta_workflows.exceptions import (
    OktaConfigurationError,
    OktaFlowNoResponseError,
    OktaFlowNotSentError,
    OktaTokenError,
    OktaWorkflowsError,
    raise_provider_errors,
)
from airflow_okta_workflows.notifications.events import cleaner, read_event

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.hooks.flow_hook import FlowHook
    from airflow_okta_workflows.notifications.events import Event

log = logging.getLogger(__name__)

_SENDS_WITHIN = 30.0
"""Seconds for the connection's look-up, the token and waits, after which nothing is sent any more."""
_CONNECTS_WITHIN = 10.0


class OktaFlowNotifier(BaseNotifier):
    """Notifier that reports what became of a task, a DAG run or a deadline to a flow.

    For ``on_failure_callback`` and the other callbacks of tasks and DAGs, for deadline alerts (Airflow 3.1+), there as
    ``AsyncCallback(OktaFlowNotifier, kwargs={"flow": …})``, and for ``notifiers`` of Airflow's human-in-the-loop
    operators.

    Each event is one invocation, under an idempotency key that is computed from the DAG, the run, the task, its map
    index and try, and the kind of event. The key is the same wherever Airflow runs the callback, and differs for each
    notifier of an event. A notification that fails is logged and never raises.

    :param flow: a name in the connection's ``flows``, an alias, or an invoke URL (templated)
    :param payload: a JSON value, or a string of JSON; None for an object with the event, ids, state, log URL, and the
        class and the first line of the exception (templated)
    :param query: query parameters (templated)
    :param headers: further headers (templated)
    :param timeout: time limit for a response, in seconds or as a ``timedelta``; the connection's ``read_timeout`` if
        None. Connecting, the token and waits may take 40 seconds more
    :param okta_workflows_conn_id: the connection, of type Okta Workflows (templated)
    :param context: the context of a deadline alert, which Airflow passes
    :raises OktaConfigurationError: for an argument that cannot work, when the DAG is parsed
    """

    template_fields: Sequence[str] = ("flow", "payload", "query", "headers", "okta_workflows_conn_id")

    def __init__(
        self,
        *,
        flow: str,
        payload: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        timeout: float | timedelta | None = 30,
        okta_workflows_conn_id: str = "okta_workflows_default",
        context: Mapping[str, Any] | None = None,
    ) -> None:
        self.flow = flow
        self.payload = payload
        self._has_payload = payload is not None
        self.query = query
        self.headers = headers
        self.timeout = timeout
        self.okta_workflows_conn_id = okta_workflows_conn_id
        # As written in the DAG file: what is rendered may differ between two places that report the same event.
        self._target = (flow, okta_workflows_conn_id)
        self._arguments = (payload, query, headers)
        self._original = self  # of a copy, the notifier that it was copied from
        super().__init__()
        # Not passed on: before Airflow 3.1 the base class takes no context.
        self.context: Any = {} if context is None else context
        if context is None:
            # Not with a context: the triggerer would log an error together with all arguments.
            with raise_provider_errors(), NoFrames():
                check_as_parsed("POST", payload, query, headers)
                check_timeout(timeout)

    def __call__(self, *args: Any) -> None:
        """Send a notification, as a callback of a task or a DAG.

        :param args: the context; or what Airflow 2 passes to an ``sla_miss_callback``
        """
        names = ("dag", "task_list", "blocking_task_list", "slas", "blocking_tis")
        context: Any = args[0] if len(args) == 1 else dict(zip(names, args, strict=False))
        with self._reporting(context):
            self._rendered(context).notify(context)

    def __await__(self) -> Generator[Any, None, None]:
        """Send a notification, as a deadline's callback in the triggerer."""
        return self._acall().__await__()

    async def _acall(self) -> None:
        with self._reporting(self.context):
            await self._rendered(self.context).async_notify(self.context)

    def notify(self, context: Context) -> None:
        """Send a notification, whose fields are rendered already.

        :param context: the context that Airflow gave to the callback
        """
        with self._reporting(context):
            stop = StopSignal()
            hook = self._hook(Runtime(stop=stop))
            timer = threading.Timer(_SENDS_WITHIN, stop.request)
            timer.daemon = True
            timer.start()
            try:
                with raise_provider_errors(), NoFrames():
                    self._limit(hook)
                    hook.invoke(self.flow, **self._invocation(context, hook.settings))
            except (OktaFlowNotSentError, OktaTokenError):
                if not stop.requested:
                    raise
                raise OktaFlowNotSentError(
                    f"No notification could be sent within {_SENDS_WITHIN:.0f} s.",
                    hint="OKW-1662: Look at the warnings before this message: they say what it waited for.",
                    flow=self.flow,
                ) from None
            finally:
                timer.cancel()
                hook.close()

    async def async_notify(self, context: Context) -> None:
        """Send a notification on an event loop; otherwise the same as :meth:`notify`.

        :param context: the context that Airflow gave to the callback
        """
        with self._reporting(context):
            hook = self._hook(Runtime())
            try:
                with raise_provider_errors(), NoFrames():
                    async with asyncio.timeout(_SENDS_WITHIN):
                        await hook.asettings()
                    settings = self._limit(hook)
                    async with asyncio.timeout(_SENDS_WITHIN + settings.connect_timeout + settings.read_timeout):
                        await hook.ainvoke(self.flow, **self._invocation(context, settings))
            except TimeoutError:
                raise OktaFlowNoResponseError(
                    "The notification was given up: it took too long.",
                    hint="OKW-1663: It may have been sent. Look at the warnings before this message, and whether the"
                    " flow has run.",
                    flow=self.flow,
                ) from None

    def _hook(self, runtime: Runtime) -> FlowHook:
        # Imported on first use, so that parsing a DAG stays cheap.
        from airflow_okta_workflows.hooks.flow_hook import FlowHook

        return FlowHook(self.okta_workflows_conn_id, runtime=runtime)

    def _limit(self, hook: FlowHook) -> OktaWorkflowsSettings:
        """Lower the connection's time limits: a callback keeps a worker or the DAG processor from other work."""
        return hook.limit_times(
            connect_timeout=_CONNECTS_WITHIN,
            # Also of the request for a token.
            read_timeout=check_timeout(self.timeout) or hook.settings.read_timeout,
            rate_limit_wait=_SENDS_WITHIN,
        )

    def _invocation(self, context: Any, settings: OktaWorkflowsSettings) -> dict[str, Any]:
        """Return the arguments of the hook's ``invoke``."""
        event = read_event(context, self._original)
        if self._has_payload:
            require_given(self.payload)
        clean = cleaner(settings.secret_forms())
        return {
            "payload": self.payload if self._has_payload else event.payload(context.get("exception"), clean),
            "query": self.query,
            "headers": self.headers,
            "timeout": self.timeout,
            "idempotency_key": self._key(event),
        }

    def _key(self, event: Event) -> str | None:
        """Return the idempotency key of a notification; None for a new one if the event has no identity."""
        if event.identity is None:
            return None
        # The place distinguishes the notifiers of one event; a notifier that a user's function calls has none.
        place: int | str | None = event.position
        if place is None:
            place = json.dumps(self._arguments, skipkeys=True, default=lambda value: type(value).__name__)
        return event_key(*event.identity, *self._target, place)

    def _rendered(self, context: Any) -> OktaFlowNotifier:
        """Return a copy with rendered fields: the DAG processor calls the same notifier for several tasks."""
        rendered = copy(self)
        # Where a context lacks these, a template that names one would lose the notification of a task that died.
        context = copy(context)
        for name in ("dag", "exception", "reason"):
            context.setdefault(name, None)
        environment = self.get_template_env(dag=context.get("dag"))
        for name in self.template_fields:
            try:
                value = self.render_template(getattr(self, name), context, environment)
            except Exception as error:  # a template is a user's code
                raise OktaConfigurationError(
                    f"The template of {name} cannot be rendered: {_problem(error)}.",
                    hint="OKW-1661: Correct the template. In a deadline alert only dag_run and deadline have values.",
                ) from None
            setattr(rendered, name, value)
        return rendered

    @contextmanager
    def _reporting(self, context: Any) -> Iterator[None]:
        """Log an error instead of raising it: a notification must not fail the task or DAG run that it is about."""
        try:
            yield
        except OktaWorkflowsError as error:
            self._report(context, str(error))
        except Exception as error:
            self._report(context, _problem(error))

    def _report(self, context: Any, text: str) -> None:
        try:
            name = read_event(context, self._original).name
        except Exception:  # whatever the context is, there has to be a line in the log
            name = "an unknown event"
        log.error("The notification failed: %s\n%s", name, text)  # without a traceback, which may quote a payload


def _problem(error: Exception) -> str:
    """Return the class and the message of an error whose text is not ours."""
    return f"{type(error).__name__}: {first_line(error, cleaner(()))}".rstrip(": .")
