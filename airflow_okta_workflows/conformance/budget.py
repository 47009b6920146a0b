"""The number of requests that a run may send: counted here, and nowhere else."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

TOKEN_REQUESTS = 20
INVOCATIONS = 30
RATE_INVOCATIONS = 66
"""Invocations of the probe of the rate limit, which has a budget of its own."""


class BudgetExceededError(Exception):
    """The refusal to send a request that the budget does not cover."""


@dataclass
class Budget:
    """One budget of requests.

    :param most: how many may be sent
    :param sent: how many were sent
    """

    most: int
    sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self) -> None:
        """Count one request, just before it is sent.

        :raises BudgetExceededError: if it may not be sent any more
        """
        with self._lock:
            if self.sent >= self.most:
                raise BudgetExceededError(f"the budget of {self.most} requests is used up")
            self.sent += 1
