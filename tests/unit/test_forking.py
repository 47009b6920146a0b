from __future__ import annotations

import gc
import pkgutil
import re
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

import airflow_okta_workflows
from airflow_okta_workflows import masking
from airflow_okta_workflows.forking import ForkSafeLock, cached_property
from tests.forked import in_a_forked_child


def test_a_lock_excludes_others_and_comes_free() -> None:
    lock = ForkSafeLock()
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            with lock:
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) == 1
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    with lock:
        pass


def test_a_lock_that_a_thread_of_the_parent_holds_is_free_in_the_child() -> None:
    lock = ForkSafeLock()
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            go.wait(20)

    holding = threading.Thread(target=hold)
    holding.start()
    assert held.wait(10)

    def take() -> str:
        with lock:
            return "taken"

    assert in_a_forked_child(take) == "taken"
    go.set()
    holding.join()


def test_a_lock_may_be_left_in_a_child_that_was_forked_inside_it() -> None:
    lock = ForkSafeLock()

    def leave() -> str:
        lock.__exit__(None, None, None)
        with lock:
            return "left"

    with lock:
        assert in_a_forked_child(leave) == "left"


def test_a_lock_is_not_kept_for_the_sake_of_forks() -> None:
    lock = ForkSafeLock()
    gone = weakref.ref(lock)
    del lock
    gc.collect()

    assert gone() is None


def test_masking_goes_on_in_a_child_whose_parent_was_about_to_mask() -> None:
    with masking._lock:
        assert in_a_forked_child(lambda: masking.mask(("masked-in-the-child",))) == "None"


def test_a_value_is_computed_once_and_may_be_set() -> None:
    computed: list[Any] = []

    class Thing:
        @cached_property
        def value(self) -> int:
            """Return a number."""
            computed.append(self)
            return len(computed)

    thing, other = Thing(), Thing()

    assert (thing.value, thing.value, other.value) == (1, 1, 2)
    assert Thing.value.__doc__ == "Return a number."
    del thing.__dict__["value"]
    assert thing.value == 3
    thing.__dict__["value"] = 9
    assert thing.value == 9


def test_a_value_that_a_thread_of_the_parent_is_computing_is_computed_in_the_child() -> None:
    computing, go = threading.Event(), threading.Event()

    class Thing:
        def __init__(self, name: str) -> None:
            self._name = name

        @cached_property
        def value(self) -> str:
            if self._name == "slow":
                computing.set()
                go.wait(20)
            return self._name

    slow = threading.Thread(target=lambda: Thing("slow").value)
    slow.start()
    assert computing.wait(10)

    assert in_a_forked_child(lambda: Thing("other").value) == "other"
    go.set()
    slow.join()


def test_the_package_has_no_lock_that_is_not_safe() -> None:
    root = Path(airflow_okta_workflows.__path__[0])
    names = [module.name for module in pkgutil.walk_packages([str(root)])]
    assert len(names) > 20
    unsafe = re.compile(
        r"threading\.(R?Lock|Condition|(Bounded)?Semaphore|Barrier)\(|functools import .*cached_property"
    )

    found = sorted(path.name for path in root.rglob("*.py") if unsafe.search(path.read_text()))

    # The one of stopping.py is no mutual exclusion: it is held until it is released as a signal, in the child too.
    assert found == ["forking.py", "stopping.py"]
