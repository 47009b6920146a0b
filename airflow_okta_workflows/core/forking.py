"""What a forked child can go on with, though it has only one of its parent's threads.

Airflow's workers fork each task. A lock that another thread holds at that moment stays held in the child for ever,
since nobody is left there to release it. So each lock of this package is replaced in the child.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

T = TypeVar("T")


_owners: WeakKeyDictionary[object, str] = WeakKeyDictionary()


def renew_in_child(owner: object, name: str) -> None:
    """Replace a lock by a free one in each forked child, whichever thread of the parent holds it then.

    The lock itself is a plain one: between a ``__enter__`` in Python and the block that it guards, a signal handler
    could raise, as that of a task's time-out does, and the lock would stay held.

    :param owner: the object or module that has the lock
    :param name: the attribute
    """
    _owners[owner] = name


def _renew_locks() -> None:
    for owner, name in _owners.items():
        setattr(owner, name, threading.Lock())


os.register_at_fork(after_in_child=_renew_locks)


class cached_property(Generic[T]):  # noqa: N801  # as in functools
    """``functools.cached_property`` without its lock.

    On Python 3.11 that one computes under a lock of the class: while one thread looks a connection up, a child that is
    forked could never do so. Two threads may compute a value twice here, which does no harm.

    :param compute: returns the value
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
