"""Errors without the frames in which they were raised: the locals of those hold keys, assertions and tokens."""

from __future__ import annotations

import sys
from traceback import StackSummary, walk_tb
from typing import TYPE_CHECKING, ClassVar

from airflow_okta_workflows.core.errors import CoreError

if TYPE_CHECKING:
    from types import TracebackType

_NOTE = "Raised at (without the frames, whose locals may hold secrets):"


class NoFrames:
    """A boundary that no frame passes.

    Whatever reports a traceback with its locals, as Airflow's Sentry integration does, would take the secrets in them.
    So each error that leaves the block loses its traceback up to here, and so do its causes, its contexts and the
    members of a group: also those that Airflow raises in the middle of whatever is running (a time-out, a cancellation,
    Ctrl-C), and those of its own connection look-up. An error that explains itself needs no more; any other one keeps
    the places in the code as a note.
    """

    explained: ClassVar[tuple[type[BaseException], ...]] = (CoreError,)
    """Errors that explain themselves."""

    def __enter__(self) -> None:
        self._outer = sys.exception()

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is None:
            return
        if isinstance(error, Exception) and not isinstance(error, self.explained):
            _note_places(error, traceback)
        del traceback
        _drop_tracebacks(error, self._outer)


def _note_places(error: Exception, traceback: TracebackType | None) -> None:
    if not any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ())):
        frames = StackSummary.extract(walk_tb(traceback), lookup_lines=False)
        error.add_note("\n  ".join([_NOTE, *(f"{one.filename}:{one.lineno} in {one.name}" for one in frames)]))


def _drop_tracebacks(error: BaseException, outer: BaseException | None) -> None:
    """Take the tracebacks off an error and off all that led to it, except for what was being handled before."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or one is outer or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
