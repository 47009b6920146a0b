"""Removal of traceback frames from errors, because their locals contain keys, client assertions and tokens."""

from __future__ import annotations

import sys
from traceback import StackSummary, walk_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_NOTE = "Raised at (without the frames, whose locals may hold secrets):"


class NoFrames:
    """Context manager that removes the frames of its block from each error that leaves it.

    A tool that reports tracebacks with their locals, such as Airflow's Sentry integration, would report the secrets in
    them. So each error that leaves the block loses its traceback up to here, and so do its causes, its contexts and the
    members of an exception group. This includes errors that Airflow raises in the middle of running code (a timeout, a
    cancellation, Ctrl-C), and errors of its own connection lookup. An :class:`Exception` that has no hint about what to
    change gets a note with the places in the code.

    A public function needs two of these managers, one in the other. An interruption may arrive after an error was
    raised and before its frames are removed; the error is then the context of the interruption, and the manager that
    was interrupted cannot remove any more.
    """

    def __enter__(self) -> None:
        self._outer = sys.exception()

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is None:
            return
        if isinstance(error, Exception) and not hasattr(error, "hint"):
            _note_places(error, traceback)
        del traceback
        _drop_tracebacks(error, self._outer)


def _note_places(error: Exception, traceback: TracebackType | None) -> None:
    if not any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ())):
        frames = StackSummary.extract(walk_tb(traceback), lookup_lines=False)
        error.add_note("\n  ".join([_NOTE, *(f"{one.filename}:{one.lineno} in {one.name}" for one in frames)]))


def _drop_tracebacks(error: BaseException, outer: BaseException | None) -> None:
    """Remove the tracebacks of an error and of all that led to it, up to the one being handled before the block."""
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
