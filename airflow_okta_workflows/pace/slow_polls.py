"""Detection of polls that wait for their turn because their flow is polled more often than its rate allows."""

from __future__ import annotations

import logging

from airflow_okta_workflows.core.secret import shown

log = logging.getLogger(__name__)

_IN_A_ROW = 3
"""Number of polls of one sensor that have to be slow. Sensors that start together are slow only at first."""
_SLOW = 0.1
_VERY_SLOW = 1.0

_warned: set[str] = set()


class SlowPolls:
    """The waits of one sensor's polls for their turn.

    :param flow: the flow that is polled, as the user names it
    :param poke_interval: seconds between two polls
    """

    def __init__(self, flow: str, poke_interval: float) -> None:
        self._flow = flow
        self._interval = poke_interval
        self.in_a_row = 0
        """Number of polls, up to the last one, that were slow."""

    def record(self, waited: float) -> bool:
        """Record the wait of one poll, and return whether it calls for a warning: once in this process for each flow.

        :param waited: seconds for which the poll waited for its turns
        """
        # A second is not worth a warning, whatever the interval.
        share = waited / max(self._interval, 1.0 / _SLOW)
        self.in_a_row = self.in_a_row + 1 if share > _SLOW else 0
        return (self.in_a_row >= _IN_A_ROW or share > _VERY_SLOW) and self._flow not in _warned

    def warn(self, waited: float) -> None:
        """Warn that the polls of the flow are slow.

        :param waited: seconds for which the last poll waited
        """
        _warned.add(self._flow)
        log.warning(
            "Polls of flow %s wait up to %.0f s for their turn: together they exceed [okta_workflows] flow_rate, or the"
            " flow returned 429. Raise poke_interval of its sensors, or spread them over copies of the flow.",
            shown(self._flow),
            waited,
        )
