"""Event loop in a separate thread, which keeps the task's main thread free for signals.

Airflow interrupts the main thread for ``execution_timeout`` and ``on_kill`` at any point, and must find it waiting, not
in the middle of a conversation with the supervisor.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.stopping import StopSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class LoopThread:
    """Event loop in a separate thread, for one coroutine.

    :param main: the coroutine function
    :param name: name of the thread
    """

    def __init__(self, main: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._main = main
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        # Not a threading.Event: an exception that interrupts its wait(), such as the task's timeout, may leave its
        # inner lock held.
        self._ended = StopSignal()
        self._error: BaseException | None = None

    def run(self, interrupted: Callable[[], None], patience: float) -> None:
        """Return when the coroutine has ended, or raise its error.

        :param interrupted: called if this thread is interrupted, to end the coroutine
        :param patience: seconds that the coroutine then gets to end
        """
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(self._run_loop,), name=self._name, daemon=True)
        try:
            thread.start()
            self._ended.wait(threading.TIMEOUT_MAX)
        except BaseException:
            interrupted()
            if thread.is_alive():
                thread.join(patience)
            raise
        if self._error:
            raise self._error

    def call(self, function: Callable[[], None]) -> None:
        """Call a function on the event loop, if it runs. May be called from a signal handler.

        :param function: the function
        """
        if self._loop:
            with suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(function)

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._run_main())
        except BaseException as error:  # raised again in the task's own thread
            self._error = error
        finally:
            self._ended.request()

    async def _run_main(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._main()
