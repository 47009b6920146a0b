"""Ways in which an org may count the invocations of a flow per second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque


def takes_one_more(window: str, recent: deque[float], limit: int, now: float) -> bool:
    """Return whether a flow's limit allows another invocation, and if so, count it.

    :param window: how they are counted: in the last second (``sliding``), in one of the clock (``second``), or by a
        ``bucket`` of one second's invocations that refills steadily
    :param recent: the flow's record; only this function reads and changes it
    :param limit: invocations per second
    :param now: the time in seconds
    """
    if window == "bucket":
        # GCRA: the record is the one time at which the bucket will be full again.
        full_at = max(recent.pop(), now) if recent else now
        taken = full_at - now <= 1.0 - 1.0 / limit + 1e-6
        recent.append(full_at + 1.0 / limit if taken else full_at)
        return taken
    begin = float(int(now)) if window == "second" else now - 1.0
    while recent and (recent[0] < begin if window == "second" else recent[0] <= begin):
        recent.popleft()
    if len(recent) >= limit:
        return False
    recent.append(now)
    return True
