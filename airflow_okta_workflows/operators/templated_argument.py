"""Arguments of operators that have templated arguments of their own: ``StatusFlow`` and ``SqlRows``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow.providers.common.compat.sdk import DependencyMixin


class TemplatedArgument:
    """Base class of the arguments whose members Airflow renders."""

    template_fields: Sequence[str] = ()

    def serialize(self) -> dict[str, Any]:
        """Return the arguments, which Airflow shows among a task's rendered templates."""
        return dict(vars(self))


class PartialTask:
    """Operator that is about to be mapped, as ``partial`` returns it.

    :param partial: what Airflow's own ``partial`` returned
    """

    def __init__(self, partial: Any) -> None:
        self._partial = partial

    def expand(self, **mapped: Any) -> Any:
        """Map the operator over lists of arguments, as in Airflow.

        :param mapped: the lists
        """
        return self._related(self._partial.expand(**mapped), mapped)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> Any:
        """Map the operator over a list of dictionaries of arguments, as in Airflow.

        :param kwargs: the list
        :param strict: whether an argument that ``partial`` was given, too, is an error
        """
        return self._related(self._partial.expand_kwargs(kwargs, strict=strict), kwargs)

    def _related(self, task: DependencyMixin, mapped: object) -> DependencyMixin:
        set_upstream(task, [self._partial.kwargs, mapped])
        return task


def set_upstream(task: DependencyMixin, arguments: object) -> None:
    """Make a task depend on the tasks whose XComs are in templated arguments: Airflow looks only into lists and dicts.

    :param task: the task
    :param arguments: its arguments
    """
    values = [getattr(one, name) for one in _templated(arguments) for name in one.template_fields]
    if values:
        from airflow.providers.common.compat.sdk import XComArg

        XComArg.apply_upstream_relationship(task, values)


def is_xcom(value: object) -> bool:
    """Return whether a value is the XCom of another task, whose class is not imported for it.

    :param value: the value of an argument
    """
    return is_instance_of("XComArg", value)


def is_instance_of(name: str, value: object) -> bool:
    """Return whether a value is of a class that is not imported for it, because that would slow down parsing of DAGs.

    :param name: the name of the class
    :param value: the value of an argument
    """
    return any(kind.__name__ == name for kind in type(value).__mro__)


def _templated(value: object) -> Iterator[TemplatedArgument]:
    if isinstance(value, TemplatedArgument):
        yield value
    elif isinstance(value, Mapping):
        yield from _templated([*value.values()])
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _templated(one)
