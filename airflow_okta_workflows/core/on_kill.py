"""Base class of tasks that stop when Airflow kills them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_okta_workflows.core.stopping import StopSignal

if TYPE_CHECKING:
    from airflow_okta_workflows.core.runtime import Runtime


class StopsOnKill:
    """Base class of operators and sensors that send nothing once Airflow has called ``on_kill``."""

    _stop: StopSignal | None = None
    _began = False

    @property
    def stop_signal(self) -> StopSignal:
        """The stop signal of the current execution, or of the next one."""
        # Created on first use: Airflow copies operators, and each copy needs its own.
        if self._stop is None:
            self._stop = StopSignal()
        return self._stop

    @property
    def _runtime(self) -> Runtime:
        """The runtime of the current execution, or of the next one."""
        # Parsing a DAG does not need it.
        from airflow_okta_workflows.core.runtime import Runtime

        return Runtime(stop=self.stop_signal)

    def on_kill(self) -> None:
        """Send nothing more, and end waits. Airflow calls this when the task is marked failed, cleared or timed out."""
        self.stop_signal.request()

    def _begin(self) -> None:
        """Begin an execution. The first one in a process keeps a stop that ``on_kill`` requested before it."""
        if self._began:
            # Another try in the same process, as in dag.test(), needs a new signal.
            self._stop = None
            self.__dict__.pop("hook", None)
        self._began = True
