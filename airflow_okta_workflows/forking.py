"""What a forked child can go on with, though it has only one of its parent's threads.

Airflow's workers fork each task. A lock that another thread holds at that moment stays held in the child for ever,
since nobody is left there to release it. So each lock of this package is one of these.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

T = TypeVar("T")


class ForkSafeLock:
    """A lock that is free in a forked child, whichever thread of the parent held it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        if self._lock.locked():  # not in a child that was forked in between
            self._lock.release()

    def renew(self) -> None:
        """Replace the lock by one that is free."""
        self._lock = threading.Lock()


_locks: WeakSet[ForkSafeLock] = WeakSet()


def _renew_locks() -> None:
    for lock in _locks:
        lock.renew()


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
