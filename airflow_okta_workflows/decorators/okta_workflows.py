"""TaskFlow decorators ``@task.okta_flow`` and ``@task.okta_flow_batch``: a function returns the payload or payloads."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.operators.batch_arguments import check_options
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context, TaskDecorator

    from airflow_okta_workflows.operators.base import FlowOperator


class _PayloadFunctionOperator(DecoratedOperator):
    """Base class of operators whose payload is what the decorated function returns.

    The returned value is not a template, and is not stored among the task's rendered fields.
    """

    flow: str
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **InvokeOktaFlowOperator.template_fields_renderers,
    }
    _context: Context

    def execute(self, context: Context) -> Any:
        """Begin the task.

        :param context: the task's context
        """
        self._context = context
        # Past DecoratedOperator.execute, which looks for assets among arguments and results; on Airflow 3.0 it needs an
        # attribute that operators no longer have.
        return super(DecoratedOperator, self).execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on with a task that was deferred; a worker may still have to invoke the flow.

        :param next_method: name of the method to call
        :param next_kwargs: its arguments
        :param context: the task's context
        """
        self._context = context
        return super().resume_execution(next_method, next_kwargs, context)

    @cached_property
    def _returned(self) -> Any:
        """What the function returns, which is called once in each process of the task."""
        context_merge(self._context, self.op_kwargs)
        kwargs = determine_kwargs(self.python_callable, self.op_args, self._context)
        returned = self.python_callable(*self.op_args, **kwargs)
        if returned is None:
            raise OktaConfigurationError(
                f"Function {self.python_callable.__name__} returned None, so flow {shown(self.flow)} was not invoked.",
                hint="OKW-1670: Return the payload. For a flow without a payload, use InvokeOktaFlowOperator.",
            )
        return returned


def _fields_beside(operator: type[FlowOperator], payload: str) -> tuple[str, ...]:
    """Return the template fields of an operator without its payload, and with the function's arguments."""
    return (*DecoratedOperator.template_fields, *(field for field in operator.template_fields if field != payload))


class _FlowOperator(_PayloadFunctionOperator, InvokeOktaFlowOperator):
    """Operator of ``@task.okta_flow``."""

    custom_operator_name = "@task.okta_flow"
    template_fields: Sequence[str] = _fields_beside(InvokeOktaFlowOperator, "payload")

    def __init__(self, **kwargs: Any) -> None:
        _require_absent("payload", kwargs)
        # Any payload will do here: one that is sent with GET is refused when the DAG is parsed.
        super().__init__(payload={}, **kwargs)

    def _read_payload(self) -> Any:
        return self._returned


class _FlowBatchOperator(_PayloadFunctionOperator, InvokeOktaFlowBatchOperator):
    """Operator of ``@task.okta_flow_batch``."""

    custom_operator_name = "@task.okta_flow_batch"
    template_fields: Sequence[str] = _fields_beside(InvokeOktaFlowBatchOperator, "payloads")

    def __init__(self, **kwargs: Any) -> None:
        _require_absent("payloads", kwargs)
        # Here too, because before Airflow 3 DecoratedOperator does not pass multiple_outputs on.
        check_options(kwargs, kwargs.get("records_path"))
        super().__init__(payloads=(), **kwargs)

    def _read_payloads(self, context: Context) -> Any:  # noqa: ARG002  # the signature of the base class
        return self._returned


def _require_absent(name: str, kwargs: dict[str, Any]) -> None:
    if name in kwargs:
        raise OktaConfigurationError(
            f"{name} is given, but the decorated function returns it.",
            hint=f"OKW-1671: Leave {name} out, or use the operator instead of the decorator.",
        )


def okta_flow_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool = False, **kwargs: Any
) -> TaskDecorator:
    """Decorate a function that returns the payload of a flow; the task invokes the flow with it.

    The function is called when the flow is about to be invoked, and so not by a retry that finds the response of an
    earlier try.

    :param python_callable: the function; it returns a JSON value or a string of JSON
    :param multiple_outputs: whether each member of the result, which has to be an object, is also an XCom of its own.
        The function's return annotation says nothing about it, since it is that of the payload
    :param kwargs: the arguments of :class:`~airflow_okta_workflows.operators.okta_workflows.InvokeOktaFlowOperator`
        except ``payload``
    """
    return task_decorator_factory(
        python_callable, multiple_outputs=multiple_outputs, decorated_operator_class=_FlowOperator, **kwargs
    )


def okta_flow_batch_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool = False, **kwargs: Any
) -> TaskDecorator:
    """Decorate a function that returns payloads for a flow; the task invokes the flow once for each.

    :param python_callable: the function; it returns an iterable of JSON values, or whatever else ``payloads`` takes
    :param multiple_outputs: whether ``path``, ``counts`` and ``first_errors`` are also XComs of their own; only with
        ``records_path``
    :param kwargs: the arguments of
        :class:`~airflow_okta_workflows.operators.okta_workflows.InvokeOktaFlowBatchOperator` except ``payloads``
    """
    return task_decorator_factory(
        python_callable, multiple_outputs=multiple_outputs, decorated_operator_class=_FlowBatchOperator, **kwargs
    )
