"""Locks and cached properties that are safe to use after a fork.

Airflow's workers fork each task, and a child has only the thread that forked it. A lock that another thread holds at
that moment stays locked in the child forever, so each lock of this package is replaced in the child.
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
    """Replace a lock with an unlocked one in each forked child, whichever thread of the parent holds it.

    The lock is a plain ``threading.Lock``, not a wrapper in Python: between the wrapper's ``__enter__`` and the guarded
    block, a signal handler could raise, as that of a task's timeout does, and the lock would stay locked.

    :param owner: the object or module with the lock
    :param name: the attribute that refers to the lock
    """
    _owners[owner] = name


def _renew_locks() -> None:
    for owner, name in _owners.items():
        setattr(owner, name, threading.Lock())


os.register_at_fork(after_in_child=_renew_locks)


class cached_property(Generic[T]):  # noqa: N801  # as in functools
    """``functools.cached_property`` without its lock.

    On Python 3.11, ``functools.cached_property`` computes under one lock for all instances, so a child that is forked
    while a thread looks up a connection could never look one up. Without the lock, two threads may both compute a
    value, which does no harm.

    :param compute: returns the value, given the instance
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
